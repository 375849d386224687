package netfilter

import (
	"net/netip"
	"slices"
)

// forbidden says why an address must not be dialled for a name, in words that
// follow "which is"; "" if it may. Whoever answers for an allowed name could
// otherwise have the launcher, which stands inside the host's network, connect
// to what is meant for that network alone (server-side request forgery), and
// could change the answer between check and use (DNS rebinding). own are the
// addresses of this machine: its services listen at the public ones, too.
//
// Of IPv6 only what is given out as global unicast may be dialled (IANA: IPv6
// Address Space). An IPv6 address that carries an IPv4 address is judged by
// that, since a translator or tunnel on the way would deliver there.
//
// What it cannot know are public addresses that are reachable only because this
// machine is where it is, and translators with a prefix of the site's own
// (RFC 6052, 2.2).
func forbidden(a netip.Addr, own []netip.Addr) string {
	switch {
	case !a.IsValid():
		return "no address"
	case a.Zone() != "":
		return "an address of one link"
	}
	a = a.Unmap()
	if slices.ContainsFunc(own, func(o netip.Addr) bool { return o.Unmap().WithZone("") == a }) {
		return "an address of this machine"
	}
	if carried, ok := carriedIPv4(a); ok {
		for _, v4 := range carried {
			if why := forbidden(v4, own); why != "" {
				return "IPv6 for " + v4.String() + ", " + why
			}
		}
		return ""
	}
	for _, n := range special() {
		if n.prefix.Contains(a) {
			return n.why
		}
	}
	if a.Is6() && !globalUnicast().Contains(a) {
		return "not an address of the Internet"
	}
	return ""
}

// specialNet is a range that is not of the Internet.
type specialNet struct {
	prefix netip.Prefix
	why    string
}

// globalUnicast is all of IPv6 that has ever been given out.
func globalUnicast() netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0x20}), 3)
}

// special lists ranges by the IANA registries of special-purpose addresses
// (RFC 6890), narrow ones before those they lie in. Documentation ranges are
// missing: nobody is there.
func special() []specialNet {
	const metadata = "a cloud's metadata service"
	v4 := func(a, b, c, d byte, bits int, why string) specialNet {
		return specialNet{netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, c, d}), bits), why}
	}
	v6 := func(a, b, c byte, bits int, why string) specialNet {
		return specialNet{netip.PrefixFrom(netip.AddrFrom16([16]byte{a, b, c}), bits), why}
	}
	return []specialNet{
		v4(169, 254, 169, 254, 32, metadata),
		v4(169, 254, 170, 2, 32, metadata), // of a task, Amazon ECS
		v4(100, 100, 100, 200, 32, metadata),
		v4(168, 63, 129, 16, 32, metadata), // Azure; a public address that never leaves the host
		{netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 2: 0x0e, 3: 0xc2, 14: 0x02, 15: 0x54}), 128), metadata},

		v4(0, 0, 0, 0, 8, `"this host"`), // connect(2) to 0.0.0.0 reaches localhost
		v4(10, 0, 0, 0, 8, "a private address"),
		v4(100, 64, 0, 0, 10, "an address inside a provider's network"),
		v4(127, 0, 0, 0, 8, "a loopback address"),
		v4(169, 254, 0, 0, 16, "a link-local address"),
		v4(172, 16, 0, 0, 12, "a private address"),
		v4(192, 0, 0, 0, 24, "an address for protocols"),
		v4(192, 168, 0, 0, 16, "a private address"),
		v4(198, 18, 0, 0, 15, "an address for benchmarks"),
		v4(224, 0, 0, 0, 4, "a multicast address"),
		v4(255, 255, 255, 255, 32, "the broadcast address"),
		v4(240, 0, 0, 0, 4, "a reserved address"),

		{netip.PrefixFrom(netip.IPv6Unspecified(), 128), `"this host"`},
		{netip.PrefixFrom(netip.IPv6Loopback(), 128), "a loopback address"},
		v6(0xfc, 0, 0, 7, "a private address"),
		v6(0xfe, 0x80, 0, 10, "a link-local address"),
		v6(0xfe, 0xc0, 0, 10, "a private address"), // site-local, as it was called
		v6(0xff, 0, 0, 8, "a multicast address"),
		{netip.PrefixFrom(netip.AddrFrom16([16]byte{1: 0x64, 2: 0xff, 3: 0x9b, 5: 1}), 48), "an address of a translator inside a network"},
		// Such as the one at which the nearest router takes orders (RFC 7723).
		v6(0x20, 0x01, 0, 23, "an address for protocols"),
	}
}

// carriedIPv4 lists the IPv4 addresses that an IPv6 address stands for. ok means
// that it is of a range that exists for that: NAT64 (RFC 6052), 6to4 (RFC 3056)
// or Teredo (RFC 4380), which has a server's and, inverted, a client's.
// Addresses of the kind ::1.2.3.4 need no care, as ::/8 is not global unicast.
func carriedIPv4(a netip.Addr) (list []netip.Addr, ok bool) {
	if a.Is4() {
		return nil, false
	}
	b := a.As16()
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte(b[i : i+4])) }
	switch {
	case [12]byte(b[:12]) == [12]byte{1: 0x64, 2: 0xff, 3: 0x9b}:
		return []netip.Addr{at(12)}, true
	case b[0] == 0x20 && b[1] == 0x02:
		return []netip.Addr{at(2)}, true
	case [4]byte(b[:4]) == [4]byte{0x20, 0x01}:
		for i := 12; i < 16; i++ {
			b[i] = ^b[i]
		}
		return []netip.Addr{at(4), at(12)}, true
	}
	return nil, false
}
