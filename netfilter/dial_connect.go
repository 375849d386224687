package netfilter

import (
	"context"
	"net"
	"net/netip"
	"syscall"
	"time"
)

// connect connects to the first address that answers. The next one is tried when
// one has failed, or is silent; the attempts that come too late are given up.
// judge is asked once more for what the kernel is about to be given, so that
// nothing that happens in between has a say.
func connect(ctx context.Context, list []netip.AddrPort, judge func(netip.AddrPort) error) (*net.TCPConn, netip.AddrPort, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	over := make(chan struct{}) // nobody waits for the rest
	defer close(over)
	type attempt struct {
		at   netip.AddrPort
		conn *net.TCPConn
		err  error
	}
	results := make(chan attempt)
	start := func(at netip.AddrPort) {
		go func() {
			c, err := connectTo(ctx, at, judge)
			select {
			case results <- attempt{at, c, err}:
			case <-over:
				if c != nil {
					c.Close()
				}
			}
		}()
	}
	var first error
	next := time.NewTimer(0)
	defer next.Stop()
	for waiting := 0; ; {
		var turn <-chan time.Time
		if len(list) > 0 {
			turn = next.C
		}
		select {
		case <-turn:
			start(list[0])
			list = list[1:]
			waiting++
			next.Reset(stagger)
		case a := <-results:
			if a.err == nil {
				return a.conn, a.at, nil
			}
			if first == nil {
				first = a.err
			}
			if waiting--; waiting == 0 && len(list) == 0 {
				return nil, netip.AddrPort{}, first
			}
			next.Reset(0)
		}
	}
}

// connectTo makes one attempt.
func connectTo(ctx context.Context, want netip.AddrPort, judge func(netip.AddrPort) error) (*net.TCPConn, error) {
	d := net.Dialer{
		FallbackDelay: -1,
		ControlContext: func(_ context.Context, _, address string, raw syscall.RawConn) error {
			at, err := netip.ParseAddrPort(address) // with its zone, if it has one
			if err != nil {
				return err
			}
			if at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port()); at != want {
				return errOtherAddr
			}
			if err := judge(at); err != nil {
				return err
			}
			if cerr := raw.Control(func(fd uintptr) { err = inline(int(fd)) }); cerr != nil {
				return cerr
			}
			return err
		},
	}
	d.SetMultipathTCP(false) // whatever GODEBUG says: splice(2) needs plain TCP
	network := "tcp4"
	if want.Addr().Is6() {
		network = "tcp6"
	}
	c, err := d.DialContext(ctx, network, want.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}
