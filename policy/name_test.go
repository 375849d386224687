package policy

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

func TestCanonicalName(t *testing.T) {
	label := strings.Repeat("a", 63)
	longest := strings.Join([]string{label, label, label, label[:61]}, ".")
	for _, c := range []struct{ name, want, err string }{
		{"a.example", "a.example", ""},
		{"A.EXAMPLE.", "a.example", ""},
		{"A", "a", ""},
		{"_x._tcp.a.example", "_x._tcp.a.example", ""},
		{"0a.9.b", "0a.9.b", ""},
		{"0xg", "0xg", ""},
		{"7f000001", "7f000001", ""},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", ""},
		{"BÜCHER.example", "xn--bcher-kva.example", ""},
		{"ex\u00adam\u200bple.com", "example.com", ""}, // what cannot be seen is nothing
		{longest, longest, ""},
		{longest + ".", longest, ""},

		{"", "", "empty"},
		{".", "", "empty"},
		{"..", "", "an empty label"},
		{"a..", "", "an empty label"},
		{longest + "a", "", "253"},
		{label + "a", "", "63"},
		{strings.Repeat("a.", 600) + "b", "", "too long"},
		{"a b", "", `" " cannot stand in a name`},
		{"a\x00b", "", `"\x00" cannot stand in a name`},
		{"a.example\x00.evil.test", "", "cannot stand in a name"},
		{"a%b", "", `"%" cannot`},
		{"fe80::1%eth0", "", "is an address"},
		{"a:1", "", `":" cannot`},
		{"a/b", "", `"/" cannot`},
		{"a\xffb", "", "is no name"},
		{"a@b", "", `"@" cannot`},
		{"*.a", "", `"*" cannot`},

		{"127.0.0.1", "", "127.0.0.1 is an address and no name"},
		{"127.0.0.1.", "", "127.0.0.1 is an address and no name"},
		{"::1", "", "::1 is an address and no name"},
		{"[::1]", "", "::1 is an address and no name"},
		{"::ffff:127.0.0.1", "", "is an address and no name"},
		{"127.0.0.1..", "", "an empty label"},
		{"1.2.3.4.5", "", "ends in a number"},
		{"a.example.1", "", "ends in a number"},
		{"a.0x", "", "ends in a number"},
		{"256.0.0.1", "", "ends in a number"},
		{"127.0.0.256", "", "ends in a number"},
		{"4294967296", "", "ends in a number"},
		{"127.0.0.08", "", "ends in a number"},
	} {
		got, err := CanonicalName(c.name)
		switch {
		case c.err == "" && (err != nil || got != c.want):
			t.Errorf("%q: %q, %v", c.name, got, err)
		case c.err != "" && (err == nil || got != "" || !strings.Contains(err.Error(), c.err)):
			t.Errorf("%q: %q, %v, want %s", c.name, got, err, c.err)
		}
	}
}

// notations writes an address in every way that inet_aton(3) reads: one to four
// parts, each decimal, octal or hexadecimal.
func notations(a netip.Addr) []string {
	b := a.As4()
	tails := []uint32{
		uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]),
		uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]), uint32(b[2])<<8 | uint32(b[3]), uint32(b[3]),
	}
	var list []string
	for heads, tail := range tails {
		texts := []string{""}
		for i := range heads + 1 {
			n := tail
			if i < heads {
				n = uint32(b[i])
			}
			var next []string
			for _, text := range texts {
				for _, format := range []string{"%d", "0%o", "000%o", "0x%x", "0X%X", "0x00%x"} {
					next = append(next, strings.TrimPrefix(text+"."+fmt.Sprintf(format, n), "."))
				}
			}
			texts = next
		}
		list = append(list, texts...)
	}
	return list
}

// wide writes ASCII as another script has it; UTS 46 maps it back.
func wide(s string) string {
	return strings.Map(func(c rune) rune {
		if c == '.' {
			return '。'
		}
		return c - '!' + '！'
	}, s)
}

// TestAddressesInDisguise: no notation of an address is a name or a rule, but the
// one with four decimal numbers; each error says what the address is.
func TestAddressesInDisguise(t *testing.T) {
	for _, a := range []string{"127.0.0.1", "169.254.169.254"} {
		addr := netip.MustParseAddr(a)
		all := notations(addr)
		if len(all) != 6+36+216+1296 {
			t.Fatalf("%d notations", len(all))
		}
		for _, text := range all {
			for _, s := range []string{text, text + ".", wide(text)} {
				want := a + " is an address"
				if s != a && s != a+"." {
					want = "is a way of writing the address " + a
				}
				if name, err := CanonicalName(s); err == nil || !strings.Contains(err.Error(), want) {
					t.Fatalf("CanonicalName(%q) = %q, %v; want %s", s, name, err, want)
				}
				for _, rule := range []string{s + ":443", "tcp://" + s + ":443", "*." + s + ":443", "[" + s + "]:443", "x." + s + ":443"} {
					r, err := ParseRule(rule, Origin{})
					if s == a && (rule == s+":443" || rule == "tcp://"+s+":443") {
						if err != nil || r.Prefix.Addr() != addr {
							t.Fatalf("%q: %+v, %v", rule, r, err)
						}
					} else if err == nil {
						t.Fatalf("%q is accepted: %+v", rule, r)
					}
				}
			}
		}
	}
}

// TestWrongAddresses: addresses of no machine, and IPv4 inside IPv6.
func TestWrongAddresses(t *testing.T) {
	for _, c := range []struct{ host, want string }{
		{"0.0.0.0", "write 127.0.0.1:443"},
		{"0.1.2.3", "write 127.0.0.1:443"},
		{"0.0.0.0/8", "holds 0.0.0.0/8"},
		{"224.0.0.1", "is multicast"},
		{"239.255.255.255", "is multicast"},
		{"224.0.0.0/8", "is multicast"},
		{"240.0.0.1", "is broadcast or reserved"},
		{"255.255.255.255", "is broadcast or reserved"},
		{"[::]", "write [::1]:443"},
		{"[0:0:0:0:0:0:0:0]", "write [::1]:443"},
		{"[::/127]", "holds ::/128"},
		{"[::2]", "is IPv4 in the form of IPv6"},
		{"[::127.0.0.1]", "is IPv4 in the form of IPv6"},
		{"[::ffff:127.0.0.1]", "is IPv4 in the form of IPv6; write 127.0.0.1:443"},
		{"[::ffff:7f00:1]", "is IPv4 in the form of IPv6"},
		{"[::ffff:0:0/96]", "is IPv4 in the form of IPv6"},
		{"[::ffff:10.0.0.0/104]", "is IPv4 in the form of IPv6"},
		{"[64:ff9b::a9fe:a9fe]", "is IPv4 behind NAT64"},
		{"[64:ff9b::/96]", "is IPv4 behind NAT64"},
		{"[64:ff9b:1::1]", "is IPv4 behind NAT64"},
		{"[2002:7f00:1::]", "is IPv4 in 6to4"},
		{"[2001:0:1::1]", "is IPv4 in Teredo"},
		{"[2001::/32]", "is IPv4 in Teredo"},
		{"[fe80::1]", "needs the name of an interface"},
		{"[fe80::1%eth0]", "no zone of an address"},
		{"[fe80::1%25eth0]", "no zone of an address"},
		{"10.0.0.1%eth0", "no zone of an address"},
		{"[ff02::1]", "is multicast"},
		{"[10.0.0.1]", "brackets stand around an IPv6 address only; write 10.0.0.1:443"},
		{"[10.0.0.0/8]", "write 10.0.0.0/8:443"},
		{"[a.example]", "is no IPv6 address"},
		{"[]", "is no IPv6 address"},
		{"[::1", "the brackets do not match"},
		{"::1]", "more than one colon"},
		{"[[::1]]", "after the brackets there can only be a port"},
		{"[[::1]", "the brackets do not match"},
		{"[::1]x", "after the brackets there can only be a port"},
		{"x[::1]", "more than one colon"},
		{"[:1]", "is no IPv6 address"},
		{"[:::1]", "is no IPv6 address"},
		{"[1::2::3]", "is no IPv6 address"},
		{"[12345::]", "is no IPv6 address"},
		{"[::1.2.3]", "is no IPv6 address"},
		{"[::01.2.3.4]", "is no IPv6 address"},
		{"::1", "write [::1]:443"},
		{"2001:DB8::1", "write [2001:db8::1]:443"},
		{"2001:db8:1", "no IPv6 address in brackets"},
		{"fe80::1.ipv6-literal.net", "more than one colon"},
	} {
		if r, err := ParseRule(c.host+":443", Origin{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v, want %s", c.host, r, err, c.want)
		}
	}
	if _, err := ParseRule("2001:db8::1", Origin{}); err == nil || !strings.Contains(err.Error(), "write [2001:db8::1]:443") {
		t.Error(err)
	}
}

// FuzzRule: a rule is refused, or reads back from its canonical form as the
// same; its name is one label after the other of letters, digits, "-" and "_",
// and to no program an address.
func FuzzRule(f *testing.F) {
	for _, s := range []string{
		"api.github.com:443", "*.example.co.uk:443,8443", "tcp://db:5432", "10.0.0.0/8:80-90", "[2001:db8::/48]:1", "[::1]:80",
		"0x7f.1:80", "１２７.0.0.1:80", "bücher.example:443", "xn--bcher-kva.example:443", "[::ffff:1.2.3.4]:80", "a.example.:1-52,54",
		"https://a.example/x", "010.0.0.1:1", "2130706433:80", "a%00b:80", "fe80::1%lo:80", "①.②.③.④:80", "*.github.io:443", "1.2.3.0x4:5",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRule(s, Origin{Flag: "--egress"})
		if err != nil {
			if !strings.HasPrefix(err.Error(), "--egress: network rule ") {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		again, err := ParseRule(r.String(), Origin{Flag: "--egress"})
		if err != nil || again.String() != r.String() || again.MatchName(r.Name) != r.MatchName(r.Name) ||
			again.Raw != r.Raw || again.Name != r.Name || again.Suffix != r.Suffix || again.Prefix != r.Prefix {
			t.Fatalf("%q is %s, which is %+v, %v", s, r, again, err)
		}
		for i, p := range r.Ports {
			if p.First == 0 || p.Last < p.First || i > 0 && int(p.First) <= int(r.Ports[i-1].Last)+1 || r.HasPort(53) {
				t.Fatalf("%q: ports %v", s, r.Ports)
			}
		}
		if len(r.Ports) == 0 || (r.Name == "") != r.Prefix.IsValid() {
			t.Fatalf("%q: %+v", s, r)
		}
		if r.Name == "" {
			a := r.Prefix.Addr()
			if !r.Raw || r.Suffix || r.Prefix != r.Prefix.Masked() || a.Is4In6() || a.Zone() != "" || a.IsUnspecified() || a.IsMulticast() {
				t.Fatalf("%q: %+v", s, r)
			}
			if !strings.Contains(s, a.String()) && a.Is4() {
				t.Fatalf("%q writes %s in another way", s, a)
			}
			return
		}
		if name, err := CanonicalName(r.Name); err != nil || name != r.Name {
			t.Fatalf("%q: CanonicalName(%q) = %q, %v", s, r.Name, name, err)
		}
		if len(r.Name) > 253 || strings.Trim(r.Name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") != "" ||
			strings.Contains("."+r.Name+".", "..") || strings.Trim(r.Name[strings.LastIndexByte(r.Name, '.')+1:], "0123456789") == "" {
			t.Fatalf("%q: name %q", s, r.Name)
		}
		if _, ok := anyNotation(r.Name); ok {
			t.Fatalf("%q: the name %q is an address", s, r.Name)
		}
		if r.Suffix && (publicSuffix(r.Name) == r.Name || r.MatchName(r.Name) || !r.MatchName("a."+r.Name)) {
			t.Fatalf("%q: suffix %q", s, r.Name)
		}
	})
}
