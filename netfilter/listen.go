package netfilter

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/mcpbox/mcpbox/policy"
	"golang.org/x/sys/unix"
)

// backlog bounds the connections that wait to be accepted (listen(2)). Of more
// than that the kernel drops the first packet, to come again a second later.
const backlog = maxFlows

// bind gives a socket of the box its address. The launcher may, also a port
// below 1024: it owns the user namespace that owns the network namespace
// (capabilities(7), user_namespaces(7)).
func bind(fd int, at netip.AddrPort) error {
	if at.Addr().Is6() {
		// An address of its own, whatever bindv6only says, and any address
		// (ip(7), IP_FREEBIND): a local route alone does not allow it here.
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
		return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrInet6{Port: int(at.Port()), Addr: at.Addr().As16()}))
	}
	return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrInet4{Port: int(at.Port()), Addr: at.Addr().As4()}))
}

// listenTCP turns an unbound socket into a listener, and closes file.
func listenTCP(file *os.File, at netip.AddrPort) (*net.TCPListener, error) {
	defer file.Close()
	fd := int(file.Fd())
	if err := bind(fd, at); err != nil {
		return nil, err
	}
	if err := inline(fd); err != nil {
		return nil, err
	}
	if err := unix.Listen(fd, backlog); err != nil {
		return nil, os.NewSyscallError("listen", err)
	}
	l, err := net.FileListener(file)
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

// listen begins to accept connections at an address of the box.
func (f *Filter) listen(file *os.File, at netip.AddrPort) error {
	l, err := listenTCP(file, at)
	if err != nil {
		return err
	}
	f.keep(l)
	go accept(l, f.admit)
	return nil
}

// accept hands each connection to serve, until the listener is closed.
func accept(l *net.TCPListener, serve func(*net.TCPConn)) {
	for {
		c, err := l.AcceptTCP()
		switch {
		case err == nil:
			serve(c)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			time.Sleep(10 * time.Millisecond) // no descriptors, for one
		}
	}
}

// admit decides about a new connection of the box, and begins to serve it.
func (f *Filter) admit(c *net.TCPConn) {
	to := target(c)
	v := f.decide(to)
	if v.reason == "" {
		select {
		case f.slots <- struct{}{}:
			if !f.begin() { // the box has ended, and nobody waits for an answer
				<-f.slots
				reset(c)
				return
			}
			go func() {
				defer f.serving.Done()
				defer func() { <-f.slots }()
				f.serve(c, to, v)
			}()
			return
		default:
			v.reason = "more than 512 connections at once"
		}
	}
	reset(c)
	f.report(v.refused(to))
}

const reasonCut = "the box is cut off"

// begin counts one more connection to wait for; false if the filter is closed.
func (f *Filter) begin() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.closed {
		f.serving.Add(1)
	}
	return !f.closed
}

// target is the address that the program connected to.
func target(c *net.TCPConn) netip.AddrPort {
	at := c.LocalAddr().(*net.TCPAddr).AddrPort()
	return netip.AddrPortFrom(at.Addr().Unmap().WithZone(""), at.Port())
}

// verdict is what the rules say about an address and a port.
type verdict struct {
	to     *destination // the name that the address stands for; nil for an address of the world
	rule   *policy.Rule
	reason string // why not, if not
}

// decide is the only place that lets a connection through.
func (f *Filter) decide(at netip.AddrPort) verdict {
	v := verdict{to: f.names.at(at.Addr())}
	if v.to != nil {
		v.rule = v.to.rule(at.Port())
	} else {
		v.rule = f.addressRule(at.Addr(), at.Port())
	}
	switch {
	case f.isCut.Load():
		v.reason = reasonCut
	case v.rule == nil:
		v.reason = errUnknownName.Error()
	}
	return v
}

// addressRule is the rule that names an address; nil if none does.
func (f *Filter) addressRule(a netip.Addr, port uint16) *policy.Rule {
	for i := range f.plan.rules {
		if r := &f.plan.rules[i]; r.MatchAddr(a) && r.HasPort(port) {
			return r
		}
	}
	return nil
}

// refused is the event of a connection that does not come about.
func (v verdict) refused(at netip.AddrPort) Event {
	e := Event{Kind: Refused, Proto: "tcp", Port: at.Port(), Reason: v.reason}
	if v.to != nil {
		e.Name = v.to.name
	} else {
		e.Address = at.Addr()
	}
	if v.rule != nil {
		e.Rule = v.rule.Text
	} else {
		e.Allow = allowing(e.Name, e.Address, e.Port)
	}
	return e
}

// allowing is the rule that would allow a destination, "" if there is none, or
// none that should be proposed: a metadata service hands out the machine's
// credentials.
func allowing(name string, a netip.Addr, port uint16) string {
	if policy.IsMetadata(a) || policy.IsMetadataName(name) {
		return ""
	}
	host := name
	if host == "" {
		host = a.String()
		if a.Is6() {
			host = "[" + host + "]"
		}
	}
	if port == 0 {
		port = 443 // a guess, but for a name alone the best there is
	}
	r, err := policy.ParseRule(host+":"+itoa(port), policy.Origin{})
	if err != nil {
		return ""
	}
	return r.String()
}
