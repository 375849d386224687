package netfilter

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/policy"
)

// dialer makes every connection that leaves. Whoever calls it has a rule that
// allows the name or the address; what is left to it is that the name does not
// lead into this machine or its network; see [forbidden].
// Its methods may be called from any goroutine. No proxy variable of the
// environment has an effect.
type dialer struct {
	// resolver looks names up; nil stands for Go's own, which follows
	// /etc/hosts, nsswitch.conf and resolv.conf.
	resolver *net.Resolver
	asked    lookups
	// below reports whether a name is one that only a suffix allows; nil for
	// none.
	below func(name string) bool
	// own lists the addresses of this machine; it is asked at each dial, as
	// they change. If they cannot be had, nothing is dialled.
	own func() ([]netip.Addr, error)
	// route says why the kernel would not deliver to an address elsewhere, as
	// [delivery] does. It is asked last, of what is about to be dialled; if it
	// cannot tell, that is not dialled.
	route func(netip.AddrPort) (string, error)
	// permits reports whether a rule names an address itself.
	permits func(a netip.Addr, port uint16) bool
	// timeout bounds a whole dial, from the look-up to the reply of the proxy;
	// 0 leaves that to the context.
	timeout time.Duration
	// proxy is the way out; nil: directly.
	proxy *policy.Proxy
}

const (
	// maxAttempts is how many addresses of a name are tried.
	maxAttempts = 16
	// stagger is how long the next address of a name waits for the one before
	// (RFC 8305, 5), since a family that leads nowhere is silent.
	stagger = 300 * time.Millisecond
)

// dialName resolves a canonical name and connects to the first of its addresses
// that answers, in the order of the resolver. Forbidden addresses are left out,
// also as a last resort, unless a rule names them. It returns the connection and
// the address dialled. Each dial asks anew, unless that were too often, see
// [lookups]; it judges each address itself, and dials the very one that it judged.
//
// With a proxy the name is the proxy's to resolve, so that its answer cannot be
// judged; the address returned is then the proxy's.
//
// Errors: a *refusal if all addresses are forbidden, with the rule that would
// name the first; else those of the network, of the first address tried.
func (d *dialer) dialName(ctx context.Context, name string, port uint16) (*net.TCPConn, netip.AddrPort, error) {
	ctx, cancel := d.bound(ctx)
	defer cancel()
	if d.proxy != nil {
		return d.dialProxy(ctx, net.JoinHostPort(name, strconv.Itoa(int(port))))
	}
	own, err := d.ownAddrs()
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	list, err := d.lookup(ctx, name, port)
	if err != nil {
		return nil, netip.AddrPort{}, err
	}
	var first error
	list = slices.DeleteFunc(list, func(at netip.AddrPort) bool {
		err := d.judge(at, own)
		if first == nil {
			first = err
		}
		return err != nil
	})
	if len(list) == 0 {
		return nil, netip.AddrPort{}, first
	}
	return connect(ctx, list[:min(len(list), maxAttempts)], func(at netip.AddrPort) error { return d.judgeLast(at, own) })
}

// dialAddr connects to an address that a rule names: through the proxy, if there
// is one, unless it is an address of this machine or this link, which mean
// something else at the proxy.
func (d *dialer) dialAddr(ctx context.Context, at netip.AddrPort) (*net.TCPConn, error) {
	ctx, cancel := d.bound(ctx)
	defer cancel()
	at = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	if err := d.judgeNamed(at); err != nil {
		return nil, err
	}
	if d.proxy != nil {
		own, err := d.ownAddrs()
		if err != nil {
			return nil, err
		}
		if a := at.Addr(); !a.IsLoopback() && !a.IsLinkLocalUnicast() && !slices.Contains(own, a) {
			c, _, err := d.dialProxy(ctx, at.String())
			return c, err
		}
	}
	c, _, err := connect(ctx, []netip.AddrPort{at}, d.judgeNamed)
	return c, err
}

func (d *dialer) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	if d.timeout == 0 {
		return context.WithCancel(ctx)
	}
	return context.WithTimeout(ctx, d.timeout)
}

func (d *dialer) ownAddrs() ([]netip.Addr, error) {
	own, err := d.own()
	if err != nil {
		return nil, fmt.Errorf("the addresses of this machine, which a name must not lead to, cannot be listed: %w", err)
	}
	return own, nil
}

// lookup lists the addresses of a name, each once.
func (d *dialer) lookup(ctx context.Context, name string, port uint16) ([]netip.AddrPort, error) {
	r := d.resolver
	if r == nil {
		r = &net.Resolver{PreferGo: true}
	}
	// Without the final dot a name that does not exist would become one of the
	// search list of resolv.conf: another host than the rule says. A name of one
	// label can only mean such a one.
	question := name
	if _, err := netip.ParseAddr(name); err != nil && strings.Contains(name, ".") {
		question += "."
	}
	addrs, err := d.asked.ask(ctx, name, d.proxy == nil && d.below != nil && d.below(name), func() ([]netip.Addr, error) {
		return r.LookupNetIP(ctx, "ip", question)
	})
	if err != nil {
		return nil, err
	}
	var list []netip.AddrPort
	for _, a := range addrs {
		if at := netip.AddrPortFrom(a.Unmap(), port); !slices.Contains(list, at) {
			list = append(list, at)
		}
	}
	if len(list) == 0 {
		return nil, &net.DNSError{Err: "no addresses", Name: name, IsNotFound: true}
	}
	return list, nil
}

// judge says whether an address that a name has may be dialled: nil or a
// *refusal.
func (d *dialer) judge(at netip.AddrPort, own []netip.Addr) error {
	why := forbidden(at.Addr(), own)
	if why == "" || d.judgeNamed(at) == nil {
		return nil
	}
	return leads(at, why)
}

// judgeLast is judge for an address that is about to be dialled, when where it
// leads matters, too.
func (d *dialer) judgeLast(at netip.AddrPort, own []netip.Addr) error {
	if err := d.judge(at, own); err != nil || d.judgeNamed(at) == nil {
		return err
	}
	why, err := d.route(at)
	if err != nil || why == "" {
		return err
	}
	return leads(at, why)
}

// leads is the refusal of an address that a name has and should not have.
func leads(at netip.AddrPort, why string) error {
	bad := &refusal{reason: "the name leads to " + at.Addr().String() + ", " + why}
	if policy.IsMetadata(at.Addr()) {
		return bad // what hands out this machine's credentials is nobody's to be proposed
	}
	if rule, err := policy.ParseRule(at.String(), policy.Origin{}); err == nil {
		bad.allow = rule.String()
		bad.reason += "; a rule for that is " + bad.allow
	}
	return bad
}

// judgeNamed says whether a rule names an address, and whether it is one at all:
// connect(2) to 0.0.0.0 reaches this machine.
func (d *dialer) judgeNamed(at netip.AddrPort) error {
	a := at.Addr()
	if !a.IsValid() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) ||
		d.permits == nil || !d.permits(a, at.Port()) {
		return errUnnamed
	}
	return nil
}

var errUnnamed = &refusal{reason: "no rule names that address"}

var errOtherAddr = errors.New("not the address that was judged")
