package netfilter

import (
	"net/netip"
	"slices"

	"github.com/mcpbox/mcpbox/policy"
)

// virtualBits is the length of a range that can hold the addresses that stand for
// names.
const virtualBits = 16

// virtualRanges are such ranges. They are never announced to the internet, and
// yet no program's own guard against private addresses objects to them: Python's
// ipaddress calls them global.
func virtualRanges() []netip.Prefix {
	var list []netip.Prefix
	for _, first := range []byte{29, 22, 26, 28, 33, 55} {
		list = append(list, netip.PrefixFrom(netip.AddrFrom4([4]byte{first, 77, 0, 0}), virtualBits))
	}
	return list
}

// virtualRange is the first of them of which no rule has a part; if there is
// none, the first, where then names come before ranges.
func virtualRange(rules []policy.Rule) netip.Prefix {
	list := virtualRanges()
	for _, p := range list {
		if !slices.ContainsFunc(rules, func(r policy.Rule) bool { return r.Prefix.IsValid() && !r.Prefix.IsSingleIP() && r.Prefix.Overlaps(p) }) {
			return p
		}
	}
	return list[0]
}

// Address is a virtual address that stands for no name: the box's own.
func Address() netip.Addr { return virtualRange(nil).Addr().Next() }

// destination is a name that rules allow.
type destination struct {
	name    string
	virtual netip.Addr
	rules   []policy.Rule
}

// rule is the one that allows port; nil if none does. One that asks for nothing
// about what is said wins.
func (d *destination) rule(port uint16) *policy.Rule {
	var found *policy.Rule
	for i := range d.rules {
		if d.rules[i].HasPort(port) && (found == nil || d.rules[i].Raw) {
			found = &d.rules[i]
		}
	}
	return found
}

// plan is what follows from the rules alone.
type plan struct {
	rules  []policy.Rule
	exact  []*destination
	listen []netip.AddrPort
	spare  int // unbound sockets for names below suffixes
	last   netip.Addr
}

func newPlan(rules []policy.Rule) plan {
	p := plan{rules: rules, last: virtualRange(rules).Addr().Next()}
	wide := map[netip.AddrPort]bool{} // ports with a listener for all addresses
	for _, r := range rules {
		if r.Name == "" && !r.Prefix.IsSingleIP() {
			any := netip.IPv4Unspecified()
			if r.Prefix.Addr().Is6() {
				any = netip.IPv6Unspecified()
			}
			for port := range ports(r) {
				at := netip.AddrPortFrom(any, port)
				if !wide[at] {
					wide[at] = true
					p.listen = append(p.listen, at)
				}
			}
		}
		if r.Suffix {
			p.spare = maxNames
		}
	}
	add := func(a netip.Addr, port uint16) {
		any := netip.IPv4Unspecified()
		if a.Is6() {
			any = netip.IPv6Unspecified()
		}
		at := netip.AddrPortFrom(a, port)
		if !wide[netip.AddrPortFrom(any, port)] && !slices.Contains(p.listen, at) {
			p.listen = append(p.listen, at)
		}
	}
	for _, r := range rules {
		switch {
		case r.Name == "" && r.Prefix.IsSingleIP():
			for port := range ports(r) {
				add(r.Prefix.Addr(), port)
			}
		case r.Name != "" && !r.Suffix && !slices.ContainsFunc(p.exact, func(d *destination) bool { return d.name == r.Name }):
			d := p.destination(r.Name)
			p.exact = append(p.exact, d)
			for _, also := range d.rules {
				for port := range ports(also) {
					add(d.virtual, port)
				}
			}
		}
	}
	return p
}

// destination gives a name an address of its own.
func (p *plan) destination(name string) *destination {
	d := &destination{name: name}
	for _, r := range p.rules {
		if r.MatchName(name) {
			d.rules = append(d.rules, r)
		}
	}
	for {
		p.last = p.last.Next()
		if !slices.ContainsFunc(p.rules, func(r policy.Rule) bool { return r.Prefix.IsSingleIP() && r.Prefix.Addr() == p.last }) {
			break
		}
	}
	d.virtual = p.last
	return d
}

// ports yields each port of a rule.
func ports(r policy.Rule) func(func(uint16) bool) {
	return func(yield func(uint16) bool) {
		for _, span := range r.Ports {
			for port := int(span.First); port <= int(span.Last); port++ {
				if !yield(uint16(port)) {
					return
				}
			}
		}
	}
}

// covers reports whether a listener for all addresses has this port.
func (p *plan) covers(a netip.Addr, port uint16) bool {
	any := netip.IPv4Unspecified()
	if a.Is6() {
		any = netip.IPv6Unspecified()
	}
	return slices.Contains(p.listen, netip.AddrPortFrom(any, port))
}
