package netfilter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcpbox/mcpbox/policy"
	"golang.org/x/sys/unix"
)

// The limits of one box.
const (
	maxFlows     = 512              // connections at once
	idleTimeout  = time.Hour        // without a byte, either way
	dialTimeout  = 15 * time.Second // from the first look-up to the last attempt
	sniffTimeout = 5 * time.Second  // for the first bytes to say what they are, once there is one
	maxNames     = 256              // names below suffix rules, and listeners for them
)

// Config is what a filter is made from.
type Config struct {
	// Network is the policy. Its mode is not looked at.
	Network policy.Network
	// Bytes bounds what all connections together may carry, both ways; 0 is
	// no bound.
	Bytes int64
	// Report is told of everything. It is called from many goroutines at
	// once, and each one waits for it.
	Report func(Event)
	// Resolver looks names up; nil stands for the order of this machine:
	// /etc/hosts, nsswitch.conf, resolv.conf.
	Resolver *net.Resolver
}

// Filter is the network of one box. Its methods may be called from any
// goroutine.
type Filter struct {
	config  Config
	plan    plan
	names   names
	dialer  *dialer
	meter   *meter
	queries limiter

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	deaf   bool // a sensor is missing
	isCut  atomic.Bool
	slots  chan struct{} // one for each connection

	serving sync.WaitGroup // connections
	mu      sync.Mutex
	flows   map[*net.TCPConn]struct{}
	closed  bool
	open    []interface{ Close() error }
}

// New returns a filter that is not connected to a box yet.
func New(c Config) *Filter {
	f := &Filter{
		config: c, plan: newPlan(c.Network.Allow), meter: newMeter(c.Bytes),
		queries: limiter{rate: 100, burst: 200},
		slots:   make(chan struct{}, maxFlows), flows: map[*net.TCPConn]struct{}{},
	}
	f.names.init(f.plan)
	f.dialer = &dialer{
		resolver: c.Resolver, own: interfaceAddrs, route: delivery, permits: f.permits,
		timeout: dialTimeout, proxy: c.Network.Proxy,
		below: func(name string) bool {
			return !slices.ContainsFunc(f.plan.exact, func(d *destination) bool { return d.name == name })
		},
	}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	return f
}

// Socket says what the filter needs in the box's network namespace: the
// arguments of socket(2).
type Socket struct {
	Domain, Type, Protocol int
	Optional               bool // the filter works without it
}

// fixed are the sockets that every box has, before those of its rules.
var fixed = [...]Socket{
	{unix.AF_INET, unix.SOCK_DGRAM, 0, false},
	{unix.AF_INET, unix.SOCK_STREAM, 0, false},
	{unix.AF_INET6, unix.SOCK_DGRAM, 0, true},
	{unix.AF_INET6, unix.SOCK_STREAM, 0, true},
}

// Sockets lists what Attach wants.
func (f *Filter) Sockets() []Socket {
	list := slices.Concat(sensors[:], fixed[:])
	for _, at := range f.plan.listen {
		s := Socket{unix.AF_INET, unix.SOCK_STREAM, 0, false}
		if at.Addr().Is6() {
			s.Domain, s.Optional = unix.AF_INET6, true
		}
		list = append(list, s)
	}
	for range f.plan.spare {
		list = append(list, Socket{unix.AF_INET, unix.SOCK_STREAM, 0, false})
	}
	return list
}

// Attach takes over the sockets that Sockets lists, nil for an optional one that
// cannot be had, and begins to work. They are closed by Close, or before an
// error is returned.
func (f *Filter) Attach(files []*os.File) error {
	rest := files
	next := func(n int) (some []*os.File) {
		some, rest = rest[:n], rest[n:]
		return some
	}
	if len(files) != len(sensors)+len(fixed)+len(f.plan.listen)+f.plan.spare {
		return errors.New("not the sockets that were asked for")
	}
	err := f.attach(next(len(sensors)), next(len(fixed)), next(len(f.plan.listen)), rest)
	if err != nil {
		for _, file := range files {
			if file != nil {
				file.Close()
			}
		}
		f.Close()
	}
	return err
}

func (f *Filter) attach(hearing, common, listeners, spare []*os.File) error {
	for i, file := range hearing {
		if file == nil {
			f.deaf = true
			continue
		}
		if err := f.startSensor(file, sensors[i]); err != nil {
			return fmt.Errorf("sensor: %w", err)
		}
	}
	for i, family := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
		if err := f.startResolver(common[2*i], common[2*i+1], family); err != nil {
			return fmt.Errorf("resolver: %w", err)
		}
	}
	for i, file := range listeners {
		if file == nil {
			continue
		}
		if err := f.listen(file, f.plan.listen[i]); err != nil {
			return fmt.Errorf("listen at %s: %w", f.plan.listen[i], err)
		}
	}
	f.names.setSpare(spare)
	f.keep(&f.names)
	return nil
}

// Hears reports, once attached, whether it is told of all that the kernel
// refuses.
func (f *Filter) Hears() bool { return !f.deaf }

// keep has Close close c.
func (f *Filter) keep(c interface{ Close() error }) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		c.Close()
		return
	}
	f.open = append(f.open, c)
}

// Close ends everything, and returns when there is nothing left to report. The
// box is cut off for good.
func (f *Filter) Close() error {
	f.cancel()
	f.mu.Lock()
	f.closed = true
	open := f.open
	f.open = nil
	f.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
	f.resetFlows()
	f.serving.Wait()
	return nil
}

// Cut refuses everything from now on, and ends what is connected, until Restore.
func (f *Filter) Cut() {
	f.isCut.Store(true)
	f.resetFlows()
}

// Restore ends what Cut began.
func (f *Filter) Restore() { f.isCut.Store(false) }

func (f *Filter) resetFlows() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.flows {
		reset(c)
	}
	clear(f.flows)
}

// permits reports whether a rule names this address.
func (f *Filter) permits(a netip.Addr, port uint16) bool { return f.addressRule(a, port) != nil }

func (f *Filter) report(e Event) {
	if f.config.Report != nil {
		f.config.Report(e)
	}
}

// interfaceAddrs are the addresses of this machine.
func interfaceAddrs() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, err
	}
	var own []netip.Addr
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				own = append(own, ip.Unmap())
			}
		}
	}
	return own, nil
}
