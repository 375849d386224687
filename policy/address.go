package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// parseAddresses reads the host of an address rule. The zero prefix is none, and
// the host something else. ports are those to advise.
func parseAddresses(host, ports string) (netip.Prefix, error) {
	wrong := func(why, form string) (netip.Prefix, error) {
		return netip.Prefix{}, &advice{why: why, forms: []string{form + ":" + ports}}
	}
	inner, brackets := strings.CutPrefix(host, "[")
	if brackets {
		inside, after, ok := strings.Cut(inner, "]")
		switch {
		case !ok || after == "" && strings.ContainsAny(inside, "[]"):
			return wrong("the brackets do not match", "[ADDRESS]")
		case strings.HasPrefix(after, "/"):
			return wrong("the length of a prefix stands inside the brackets", "["+inside+after+"]")
		case after != "":
			return wrong("after the brackets there can only be a port", "["+inside+"]")
		}
		inner = inside
	} else if strings.ContainsAny(host, "[]") {
		return wrong("brackets stand around an IPv6 address", "[ADDRESS]")
	}
	var p netip.Prefix
	if a, err := netip.ParseAddr(inner); err == nil {
		p = netip.PrefixFrom(a, a.BitLen())
	} else if p, err = netip.ParsePrefix(inner); err != nil {
		return netip.Prefix{}, badAddress(inner, brackets, ports)
	}
	if brackets && p.Addr().Is4() {
		return wrong("brackets stand around an IPv6 address only", inner)
	}
	return p, checkAddresses(p, ports)
}

// badAddress says what is wrong with something that is no address; nil if it may
// be a name.
func badAddress(s string, brackets bool, ports string) error {
	if brackets {
		return &advice{why: fmt.Sprintf("%q is no IPv6 address", s), forms: []string{"[ADDRESS]:" + ports, "[ADDRESS/BITS]:" + ports}}
	}
	before, bits, ok := strings.Cut(s, "/")
	if a, err := netip.ParseAddr(before); ok && err == nil {
		return &advice{why: fmt.Sprintf("/%s is no length of a prefix", bits), forms: []string{a.String() + ":" + ports, "ADDRESS/BITS:" + ports}}
	}
	return nil
}

// wrongRange is addresses that no rule can name, since they are no address of
// any one machine, or have another way of being written.
type wrongRange struct {
	prefix netip.Prefix
	why    string
	// instead is what to write for an address of it; nil if there is nothing.
	instead func(netip.Addr) netip.Addr
}

func wrongRanges() []wrongRange {
	const nothing = "means this machine to some programs and nothing to others"
	always := func(text string) func(netip.Addr) netip.Addr {
		return func(netip.Addr) netip.Addr { return netip.MustParseAddr(text) }
	}
	carried := func(at int) func(netip.Addr) netip.Addr {
		return func(a netip.Addr) netip.Addr { b := a.As16(); return netip.AddrFrom4([4]byte(b[at : at+4])) }
	}
	return []wrongRange{
		{v4(0, 0, 0, 0, 8), nothing, always("127.0.0.1")},
		{v4(224, 0, 0, 0, 4), "is multicast, which does not leave a box", nil},
		{v4(240, 0, 0, 0, 4), "is broadcast or reserved, and no address of a machine", nil},
		{v6(128), nothing, always("::1")},
		{v6(96, 10, 0xff, 0xff), "is IPv4 in the form of IPv6", carried(12)},
		{v6(96, 0, 0x00, 0x64, 0xff, 0x9b), "is IPv4 behind NAT64", carried(12)},
		{v6(48, 0, 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01), "is IPv4 behind NAT64, which has an address of its own", nil},
		{v6(16, 0, 0x20, 0x02), "is IPv4 in 6to4", carried(2)},
		{v6(32, 0, 0x20, 0x01, 0x00, 0x00), "is IPv4 in Teredo, which has an address of its own", nil},
		{v6(10, 0, 0xfe, 0x80), "is link-local, and needs the name of an interface, which a rule cannot hold; use another address of that machine", nil},
		{v6(8, 0, 0xff), "is multicast, which does not leave a box", nil},
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
// addresses that are none. ports are those to advise.
func checkAddresses(p netip.Prefix, ports string) error {
	write := func(a netip.Addr) string { return bracketed(a, a.String()) + ":" + ports }
	// ::1.2.3.4, a form of IPv4 given up long ago (RFC 4291, 2.5.5.1).
	compatible := wrongRange{v6(96), "is IPv4 in the form of IPv6", wrongRanges()[4].instead}
	for _, w := range append(wrongRanges(), compatible) {
		switch {
		case !p.Overlaps(w.prefix), p.Addr() == netip.IPv6Loopback():
		case !p.IsSingleIP():
			return fmt.Errorf("%s holds %s, which %s", p, w.prefix, w.why)
		case w.instead == nil:
			return fmt.Errorf("%s %s", p.Addr(), w.why)
		default:
			return &advice{why: p.Addr().String() + " " + w.why, forms: []string{write(w.instead(p.Addr()))}}
		}
	}
	least := 8
	if p.Addr().Is6() {
		least = 32
	}
	switch {
	case p.Masked() != p:
		return &advice{
			why:   fmt.Sprintf("%s has bits set behind the first %d", p, p.Bits()),
			forms: []string{bracketed(p.Addr(), p.Masked().String()) + ":" + ports, write(p.Addr())},
		}
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

// metadataNames are names that clouds give those services.
func metadataNames() []string {
	return []string{
		"metadata", "metadata.google.internal", "metadata.goog", // Google
		"instance-data", "instance-data.ec2.internal", // Amazon
		"metadata.azure.com", "metadata.azure.internal", "metadata.tencentyun.com", "metadata.platformequinix.com",
	}
}

// IsMetadataName reports whether a canonical name is that of a cloud's metadata
// service.
func IsMetadataName(name string) bool { return slices.Contains(metadataNames(), name) }
