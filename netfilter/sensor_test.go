package netfilter

import (
	"encoding/hex"
	"strings"
	"testing"
)

// Packets as the kernel makes them, headers of IP onwards.
const (
	rst4 = "45000028 00004000 40061234 01010101 1d4d0001 01bbd4f2 00000000 12345678 50140000 abcd0000"
	rst6 = "60000000 00140640 20010db8000000000000000000000002 00000000000000000000000000000001 01bbd4f2 00000000 12345678 50140000 abcd0000"
	udp4 = "45c00039 00000000 4001abcd 08080808 08080808 0303abcd 00000000 4500001d 00004000 4011abcd 0a000001 08080808 9c4001bb 0009abcd 71"
	udp6 = "60000000 00390 13a 20010db8000000000000000000000009 00000000000000000000000000000001 0104abcd 00000000 60000000 00091140 00000000000000000000000000000001 20010db8000000000000000000000009 9c4001bb 0009abcd 71"
)

func packetOf(t testing.TB, text string) []byte {
	t.Helper()
	p, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestReadRefusal(t *testing.T) {
	for _, c := range []struct{ name, packet, want string }{
		{"RST", rst4, "tcp 1.1.1.1:443"},
		{"RST over IPv6", rst6, "tcp [2001:db8::2]:443"},
		{"port unreachable", udp4, "udp 8.8.8.8:443"},
		{"port unreachable over IPv6", udp6, "udp [2001:db8::9]:443"},
		{"RST of a connection", strings.Replace(rst4, "01bbd4f2 00000000", "01bbd4f2 00000001", 1), ""},
		{"RST without ACK", strings.Replace(rst4, "5014", "5004", 1), ""},
		{"host unreachable", strings.Replace(udp4, "0303abcd", "0301abcd", 1), ""},
		{"echo reply", strings.Replace(udp4, "0303abcd", "0000abcd", 1), ""},
		{"about TCP", strings.Replace(udp4, "4011abcd", "4006abcd", 1), ""},
		{"neither IPv4 nor IPv6", "00" + rst4[2:], ""},
		{"header longer than the packet", "4f" + rst4[2:], ""},
	} {
		got := ""
		if ip, ok := readIP(packetOf(t, c.packet)); ok {
			if proto, at, ok := readRefusal(ip); ok {
				got = proto + " " + at.String()
			}
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func FuzzReadRefusal(f *testing.F) {
	for _, text := range []string{rst4, rst6, udp4, udp6} {
		f.Add(packetOf(f, text))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		ip, whole := readIP(p)
		if proto, at, ok := readRefusal(ip); ok && (!whole || !at.IsValid() || proto == "") {
			t.Errorf("%x: %q %v", p, proto, at)
		}
	})
}
