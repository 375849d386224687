package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// parseAddresses reads the host of an address rule. The zero prefix is none, and
// the host something else.
func parseAddresses(host string) (netip.Prefix, error) {
	inner, brackets := strings.CutPrefix(host, "[")
	if brackets {
		inside, after, ok := strings.Cut(inner, "]")
		switch {
		case !ok || after == "" && strings.ContainsAny(inside, "[]"):
			return netip.Prefix{}, errors.New("the brackets do not match; write [ADDRESS]:PORT")
		case strings.HasPrefix(after, "/"):
			return netip.Prefix{}, fmt.Errorf("the length of a prefix stands inside the brackets; write [%s%s]:PORT", inside, after)
		case after != "":
			return netip.Prefix{}, errors.New("after the brackets there can only be a port; write [ADDRESS]:PORT")
		}
		inner = inside
	} else if strings.ContainsAny(host, "[]") {
		return netip.Prefix{}, errors.New("brackets stand around an IPv6 address; write [ADDRESS]:PORT")
	}
	var p netip.Prefix
	if a, err := netip.ParseAddr(inner); err == nil {
		p = netip.PrefixFrom(a, a.BitLen())
	} else if p, err = netip.ParsePrefix(inner); err != nil {
		return netip.Prefix{}, badAddress(inner, brackets)
	}
	if brackets && p.Addr().Is4() {
		return netip.Prefix{}, fmt.Errorf("brackets stand around an IPv6 address only; write %s:PORT", inner)
	}
	return p, checkAddresses(p)
}

// badAddress says what is wrong with something that is no address; nil if it may
// be a name.
func badAddress(s string, brackets bool) error {
	if brackets {
		return fmt.Errorf("%q is no IPv6 address; write [ADDRESS]:PORT or [ADDRESS/BITS]:PORT", s)
	}
	before, bits, ok := strings.Cut(s, "/")
	if _, err := netip.ParseAddr(before); ok && err == nil {
		return fmt.Errorf("/%s is no length of a prefix; write ADDRESS/BITS, such as 10.1.0.0/16", bits)
	}
	return nil
}

// wrongRange is addresses that no rule can name, since they are no address of
// any one machine, or have another way of being written.
type wrongRange struct {
	prefix netip.Prefix
	why    string
}

func wrongRanges() []wrongRange {
	return []wrongRange{
		{v4(0, 0, 0, 0, 8), "means this machine to some programs and nothing to others; write 127.0.0.1 for this machine"},
		{v4(224, 0, 0, 0, 4), "is multicast, which does not leave a box"},
		{v4(240, 0, 0, 0, 4), "is broadcast or reserved, and no address of a machine"},
		{v6(128), "means this machine to some programs and nothing to others; write [::1] for this machine"},
		{v6(96, 10, 0xff, 0xff), "is IPv4 in the form of IPv6; write the IPv4 address"},
		{v6(96, 0, 0x00, 0x64, 0xff, 0x9b), "is IPv4 behind NAT64; write the IPv4 address"},
		{v6(48, 0, 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01), "is IPv4 behind NAT64; write the IPv4 address"},
		{v6(16, 0, 0x20, 0x02), "is IPv4 in 6to4; write the IPv4 address"},
		{v6(32, 0, 0x20, 0x01, 0x00, 0x00), "is IPv4 in Teredo; write the IPv4 address"},
		{v6(10, 0, 0xfe, 0x80), "is link-local, and needs the name of an interface, which a rule cannot hold; use another address of that machine"},
		{v6(8, 0, 0xff), "is multicast, which does not leave a box"},
	}
}

func v4(a, b, c, d byte, bits int) netip.Prefix {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{a, b, c, d}), bits)
}

// v6 makes a prefix: its length, how many zero bytes come first, and the others.
func v6(bits int, at ...byte) netip.Prefix {
	var a [16]byte
	if len(at) > 0 {
		copy(a[at[0]:], at[1:])
	}
	return netip.PrefixFrom(netip.AddrFrom16(a), bits)
}

// checkAddresses refuses ranges that are wider than anybody means, and
// addresses that are none.
func checkAddresses(p netip.Prefix) error {
	for _, w := range wrongRanges() {
		if !p.Overlaps(w.prefix) {
			continue
		}
		if p.IsSingleIP() {
			return fmt.Errorf("%s %s", p.Addr(), w.why)
		}
		return fmt.Errorf("%s holds %s, which %s", p, w.prefix, w.why)
	}
	// ::1.2.3.4, a form of IPv4 given up long ago (RFC 4291, 2.5.5.1).
	if compatible := v6(96); p.Overlaps(compatible) && p.Addr() != netip.IPv6Loopback() {
		return fmt.Errorf("%s is IPv4 in the form of IPv6; write the IPv4 address", p.Addr())
	}
	least := 8
	if p.Addr().Is6() {
		least = 32
	}
	switch {
	case p.Masked() != p:
		return fmt.Errorf("%s has bits set behind the first %d; write %s for the range, or the address without /%d", p, p.Bits(), p.Masked(), p.Bits())
	case p.Bits() < least:
		return fmt.Errorf("%s is too wide a range; the widest is /%d", p, least)
	}
	return nil
}

// metadata lists where clouds tell a machine about itself, handing out
// credentials to whoever asks. No range covers them.
func metadata() []netip.Addr {
	return []netip.Addr{
		netip.AddrFrom4([4]byte{169, 254, 169, 254}),                     // nearly all
		netip.AddrFrom4([4]byte{169, 254, 170, 2}),                       // Amazon ECS
		netip.AddrFrom4([4]byte{169, 254, 170, 23}),                      // Amazon EKS
		netip.AddrFrom4([4]byte{100, 100, 100, 200}),                     // Alibaba
		netip.AddrFrom4([4]byte{168, 63, 129, 16}),                       // Azure
		netip.AddrFrom4([4]byte{192, 0, 0, 192}),                         // Oracle
		netip.AddrFrom16([16]byte{0xfd, 0, 0xe, 0xc2, 14: 2, 15: 0x54}),  // Amazon
		netip.AddrFrom16([16]byte{0xfd, 0, 0xe, 0xc2, 15: 0x23}),         // Amazon EKS
		netip.AddrFrom16([16]byte{0xfd, 0x20, 0, 0xce, 14: 2, 15: 0x54}), // Google
	}
}

// loopbackRanges are this machine.
func loopbackRanges() []netip.Prefix {
	return []netip.Prefix{v4(127, 0, 0, 0, 8), v6(128, 15, 1)}
}

// privateRanges are networks that are not the internet's.
func privateRanges() []netip.Prefix {
	return []netip.Prefix{
		v4(10, 0, 0, 0, 8), v4(100, 64, 0, 0, 10), v4(169, 254, 0, 0, 16), v4(172, 16, 0, 0, 12),
		v4(192, 0, 0, 0, 24), v4(192, 168, 0, 0, 16), v4(198, 18, 0, 0, 15),
		v6(7, 0, 0xfc), v6(10, 0, 0xfe, 0xc0),
	}
}

// IsMetadata reports whether an address is that of a cloud's metadata service.
func IsMetadata(a netip.Addr) bool { return slices.Contains(metadata(), a) }
