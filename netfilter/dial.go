package netfilter

import (
	"context"
	"net"
	"net/netip"
	"time"

	"github.com/mcpbox/mcpbox/policy"
)

// dialer makes the connections that leave.
type dialer struct {
	resolver *net.Resolver
	own      func() ([]netip.Addr, error)
	permits  func(a netip.Addr, port uint16) bool
	timeout  time.Duration
	proxy    *policy.Proxy
}

// dialName connects to a name.
func (d *dialer) dialName(ctx context.Context, name string, port uint16) (*net.TCPConn, netip.AddrPort, error) {
	r := d.resolver
	if r == nil {
		r = &net.Resolver{PreferGo: true}
	}
	own, err := d.own()
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	list, err := r.LookupNetIP(ctx, "ip", name)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	err = &refusal{reason: "no address of " + name + " may be dialled"}
	for _, a := range list {
		if forbidden(a, own) != "" && !d.permits(a.Unmap(), port) {
			continue
		}
		at := netip.AddrPortFrom(a.Unmap(), port)
		c, derr := d.dialAddr(ctx, at)
		if derr == nil {
			return c, at, nil
		}
		err = derr
	}
	return nil, netip.AddrPort{}, err
}

// dialAddr connects to an address.
func (d *dialer) dialAddr(ctx context.Context, a netip.AddrPort) (*net.TCPConn, error) {
	c, err := (&net.Dialer{Timeout: d.timeout}).DialContext(ctx, "tcp", a.String())
	if err != nil {
		return nil, err
	}
	return c.(*net.TCPConn), nil
}
