package netfilter

import (
	"net/netip"
	"strings"
	"testing"
)

func TestForbidden(t *testing.T) {
	own := []netip.Addr{
		netip.MustParseAddr("93.184.216.34"),
		netip.MustParseAddr("2a00:1450::5"),
		netip.MustParseAddr("fe80::5054:ff:fe00:1%eth0"),
		netip.MustParseAddr("::ffff:93.184.216.35"),
	}
	for _, c := range []struct{ addrs, why string }{
		// What is to be reached.
		{"1.1.1.1 9.255.255.255 11.0.0.1 100.63.255.255 100.128.0.1 126.255.255.255 128.0.0.1", ""},
		{"169.253.255.255 169.255.0.1 172.15.255.255 172.32.0.1 191.255.255.255 192.0.1.1 192.167.255.255 192.169.0.1", ""},
		{"198.17.255.255 198.20.0.1 223.255.255.255 168.63.129.15 ::ffff:8.8.8.8", ""},
		{"2606:4700:4700::1111 2001:4860:4860::8888 2001:200::1 2a00:1450::6 3ffe::1 2003::1", ""},
		{"64:ff9b::8.8.8.8 2002:808:808::1 2001:0:808:808::f7f7:f7f7", ""},

		{"0.0.0.0 0.1.2.3 0.255.255.255 ::ffff:0.0.0.0", "this host"},
		{"10.0.0.0 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 192.168.255.255 ::ffff:10.1.1.1", "private"},
		{"100.64.0.1 100.127.255.255", "provider"},
		{"127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1", "loopback"},
		{"169.254.0.1 169.254.255.254 fe80::1 febf::1", "link-local"},
		{"169.254.169.254 169.254.170.2 100.100.100.200 168.63.129.16 fd00:ec2::254 ::ffff:169.254.169.254", "metadata"},
		{"192.0.0.1 192.0.0.255 2001:1::1 2001:2::1 2001:1ff::1", "for protocols"},
		{"198.18.0.1 198.19.255.255", "benchmarks"},
		{"224.0.0.1 239.255.255.255 ff02::1 ff0e::1", "multicast"},
		{"240.0.0.1 254.255.255.255", "reserved"},
		{"255.255.255.255", "broadcast"},
		{"::", "this host"},
		{"fc00::1 fdff::1 fec0::1 feff::1", "private"},
		{"64:ff9b:1::8.8.8.8 64:ff9b:1:ffff::1", "translator"},
		{"::1.2.3.4 ::2 100::1 1fff::1 4000::1 5f00::1 e000::1 64:ff9c::1 64:ff9b:0:1::8.8.8.8", "not an address of the Internet"},

		// IPv4 in IPv6.
		{"64:ff9b::10.0.0.1 2002:a00:1::1", "IPv6 for 10.0.0.1, a private address"},
		{"64:ff9b::127.0.0.1 2002:7f00:1::", "IPv6 for 127.0.0.1, a loopback address"},
		{"64:ff9b::169.254.169.254 2002:a9fe:a9fe::1", "IPv6 for 169.254.169.254, a cloud's metadata service"},
		{"2001:0:7f00:1::f7f7:f7f7 2001:0:808:808::80ff:fffe", "IPv6 for 127.0.0.1, a loopback address"},
		{"2001::", "IPv6 for 0.0.0.0"},
		{"64:ff9b::93.184.216.34 2002:5db8:d822::1", "IPv6 for 93.184.216.34, an address of this machine"},

		// This machine, and one link.
		{"93.184.216.34 ::ffff:93.184.216.34 93.184.216.35 2a00:1450::5 fe80::5054:ff:fe00:1", "an address of this machine"},
		{"fe80::1%eth0 fe80::5054:ff:fe00:1%eth0 2606:4700:4700::1111%eth0 ::1%1", "one link"},
	} {
		for text := range strings.FieldsSeq(c.addrs) {
			got := forbidden(netip.MustParseAddr(text), own)
			if (got == "") != (c.why == "") || !strings.Contains(got, c.why) {
				t.Errorf("%s: %q, want %q", text, got, c.why)
			}
		}
	}
	if forbidden(netip.Addr{}, nil) == "" {
		t.Error("the zero address may be dialled")
	}
}

// Whatever the range tables say: these must never pass.
func FuzzForbidden(f *testing.F) {
	for _, text := range []string{"1.1.1.1", "::1", "::ffff:127.0.0.1", "64:ff9b::1", "2002:7f00:1::", "fe80::1", "2001::", "ff02::1"} {
		f.Add(netip.MustParseAddr(text).AsSlice())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, ok := netip.AddrFromSlice(b)
		if !ok {
			return
		}
		why := forbidden(a, nil)
		if u := a.Unmap(); why == "" && (u.IsLoopback() || u.IsPrivate() || u.IsUnspecified() || u.IsMulticast() ||
			u.IsLinkLocalUnicast() || u.IsInterfaceLocalMulticast() || !u.IsGlobalUnicast()) {
			t.Errorf("%s may be dialled", a)
		}
		if a.Is4() && forbidden(netip.AddrFrom16(a.As16()), nil) != why {
			t.Errorf("%s is judged otherwise in its IPv6 form", a)
		}
		if why == "" && forbidden(a, []netip.Addr{a}) == "" {
			t.Errorf("%s of this machine may be dialled", a)
		}
	})
}
