package netfilter

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// question is the wire form of a question with these labels.
func question(qtype, class uint16, labels ...string) []byte {
	var b []byte
	for _, l := range labels {
		b = append(b, vector(1, []byte(l))...)
	}
	b = append(b, 0)
	b = binary.BigEndian.AppendUint16(b, qtype)
	return binary.BigEndian.AppendUint16(b, class)
}

// dnsMessage puts a header with these bits and counts before sections.
func dnsMessage(bits uint16, counts [4]uint16, sections ...[]byte) []byte {
	b := []byte{0xab, 0xcd}
	b = binary.BigEndian.AppendUint16(b, bits)
	for _, n := range counts {
		b = binary.BigEndian.AppendUint16(b, n)
	}
	return append(b, bytes.Join(sections, nil)...)
}

func asks(qtype uint16, labels ...string) []byte {
	return dnsMessage(dnsRD, [4]uint16{1}, question(qtype, 1, labels...))
}

// opt is an OPT record.
func opt(version byte, options []byte) []byte {
	return append([]byte{0, 0, 41, 4, 0xd0, 0, version, 0x80, 0}, vector(2, options)...)
}

const (
	qA     = 1
	qNS    = 2
	qNULL  = 10
	qPTR   = 12
	qTXT   = 16
	qAAAA  = 28
	qHTTPS = 65
)

var virtual = netip.MustParseAddr("29.77.0.1")

func TestAnswer(t *testing.T) {
	found := func(string) (netip.Addr, dnsVerdict) { return virtual, dnsFound }
	label63 := strings.Repeat("a", 63)
	for _, c := range []struct {
		name   string
		query  []byte
		asked  string // what lookup must hear; "" for nothing
		says   func(string) (netip.Addr, dnsVerdict)
		code   dnsmessage.RCode
		addr   bool
		silent bool // no reply
		bare   bool // a reply without the question
	}{
		{name: "A", query: asks(qA, "good", "test"), asked: "good.test", addr: true},
		{name: "upper case", query: asks(qA, "GooD", "tEST"), asked: "good.test", addr: true},
		{name: "mapped address", query: asks(qA, "good", "test"), asked: "good.test", addr: true,
			says: func(string) (netip.Addr, dnsVerdict) { return netip.AddrFrom16(virtual.As16()), dnsFound }},
		{name: "one label", query: asks(qA, "good"), asked: "good", addr: true},
		{name: "underscore", query: asks(qA, "_a", "good", "test"), asked: "_a.good.test", addr: true},
		{name: "longest label", query: asks(qA, label63, "test"), asked: label63 + ".test", addr: true},
		{name: "longest name", query: asks(qA, label63, label63, label63, strings.Repeat("b", 61)), asked: strings.Repeat(label63+".", 3) + strings.Repeat("b", 61), addr: true},
		{name: "name of many labels", query: asks(qA, strings.Split(strings.Repeat("a.", 126)+"a", ".")...), asked: strings.Repeat("a.", 126) + "a", addr: true},
		{name: "AAAA", query: asks(qAAAA, "good", "test"), asked: "good.test"},
		{name: "HTTPS", query: asks(qHTTPS, "good", "test"), asked: "good.test"},
		{name: "TXT", query: asks(qTXT, "good", "test"), asked: "good.test"},
		{name: "NULL", query: asks(qNULL, "good", "test"), asked: "good.test"},
		{name: "ANY", query: asks(255, "good", "test"), asked: "good.test"},
		{name: "type 0", query: asks(0, "good", "test"), asked: "good.test"},
		{name: "private type", query: asks(65280, "good", "test"), asked: "good.test"},
		{name: "OPT", query: dnsMessage(0, [4]uint16{1, 0, 0, 1}, question(qA, 1, "good", "test"), opt(0, nil)), asked: "good.test", addr: true},
		{name: "OPT with a cookie and padding", query: dnsMessage(0, [4]uint16{1, 0, 0, 1}, question(qA, 1, "good", "test"), opt(0, []byte{0, 10, 0, 2, 1, 2, 0, 12, 0, 1, 0})), asked: "good.test", addr: true},
		{name: "other bits", query: dnsMessage(dnsRA|dnsCD|1<<5|1<<6|1<<10|15, [4]uint16{1}, question(qA, 1, "good", "test")), asked: "good.test", addr: true},

		{name: "unknown", query: asks(qA, "evil", "test"), asked: "evil.test", code: dnsmessage.RCodeNameError,
			says: func(string) (netip.Addr, dnsVerdict) { return virtual, dnsUnknown }},
		{name: "the zero verdict", query: asks(qA, "evil", "test"), asked: "evil.test", code: dnsmessage.RCodeNameError,
			says: func(string) (a netip.Addr, v dnsVerdict) { return }},
		{name: "no such verdict", query: asks(qA, "evil", "test"), asked: "evil.test", code: dnsmessage.RCodeNameError,
			says: func(string) (netip.Addr, dnsVerdict) { return virtual, 99 }},
		{name: "busy", query: asks(qA, "good", "test"), asked: "good.test", code: dnsmessage.RCodeServerFailure,
			says: func(string) (netip.Addr, dnsVerdict) { return virtual, dnsBusy }},
		{name: "refused", query: asks(qA, "good", "test"), asked: "good.test", code: dnsmessage.RCodeRefused,
			says: func(string) (netip.Addr, dnsVerdict) { return virtual, dnsRefused }},
		{name: "found without an address", query: asks(qA, "good", "test"), asked: "good.test", code: dnsmessage.RCodeServerFailure,
			says: func(string) (netip.Addr, dnsVerdict) { return netip.Addr{}, dnsFound }},
		{name: "found with an address of version 6", query: asks(qA, "good", "test"), asked: "good.test", code: dnsmessage.RCodeServerFailure,
			says: func(string) (netip.Addr, dnsVerdict) { return netip.IPv6Loopback(), dnsFound }},
		{name: "PTR", query: asks(qPTR, "1", "0", "77", "29", "in-addr", "arpa"), asked: "1.0.77.29.in-addr.arpa", code: dnsmessage.RCodeNameError,
			says: func(string) (a netip.Addr, v dnsVerdict) { return }},

		{name: "root", query: asks(qNS)},
		{name: "dot in a label", query: asks(qA, "good.test"), code: dnsmessage.RCodeNameError},
		{name: "dot alone", query: asks(qA, ".", "test"), code: dnsmessage.RCodeNameError},
		{name: "NUL", query: asks(qA, "good", "test\x00"), code: dnsmessage.RCodeNameError},
		{name: "NUL and another name", query: asks(qA, "good", "test\x00", "evil", "test"), code: dnsmessage.RCodeNameError},
		{name: "space", query: asks(qA, "good ", "test"), code: dnsmessage.RCodeNameError},
		{name: "UTF-8", query: asks(qA, "bücher", "test"), code: dnsmessage.RCodeNameError},
		{name: "bytes", query: asks(qA, "\xff\xfe", "test"), code: dnsmessage.RCodeNameError},
		{name: "Kelvin sign", query: asks(qA, "\u212aelvin", "test"), code: dnsmessage.RCodeNameError},
		{name: "asterisk", query: asks(qA, "*", "good", "test"), code: dnsmessage.RCodeNameError},
		{name: "backslash", query: asks(qA, `good\.test`), code: dnsmessage.RCodeNameError},
		{name: "percent", query: asks(qA, "fe80%lo"), code: dnsmessage.RCodeNameError},
		{name: "colon", query: asks(qA, "good", "test:53"), code: dnsmessage.RCodeNameError},

		{name: "CHAOS", query: dnsMessage(0, [4]uint16{1}, question(qTXT, 3, "version", "bind")), code: dnsmessage.RCodeRefused},
		{name: "class ANY", query: dnsMessage(0, [4]uint16{1}, question(qA, 255, "good", "test")), code: dnsmessage.RCodeRefused},
		{name: "class NONE", query: dnsMessage(0, [4]uint16{1}, question(qA, 254, "good", "test")), code: dnsmessage.RCodeRefused},
		{name: "mDNS unicast bit", query: dnsMessage(0, [4]uint16{1}, question(qA, 0x8001, "good", "test")), code: dnsmessage.RCodeRefused},
		{name: "zone transfer", query: asks(252, "good", "test"), code: dnsmessage.RCodeRefused},
		{name: "incremental transfer", query: asks(251, "good", "test"), code: dnsmessage.RCodeRefused},
		{name: "TKEY", query: asks(249, "good", "test"), code: dnsmessage.RCodeRefused},
		{name: "question for OPT", query: asks(41, "good", "test"), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "EDNS version 1", query: dnsMessage(0, [4]uint16{1, 0, 0, 1}, question(qA, 1, "good", "test"), opt(1, nil)), code: 16},

		{name: "nothing", silent: true},
		{name: "eleven bytes", query: asks(qA, "good", "test")[:11], silent: true},
		{name: "a reply", query: dnsMessage(dnsQR, [4]uint16{1}, question(qA, 1, "good", "test")), silent: true},
		{name: "a refused reply", query: dnsMessage(dnsQR|5, [4]uint16{}), silent: true},
		{name: "header alone", query: dnsMessage(0, [4]uint16{}), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "no question but bytes", query: dnsMessage(0, [4]uint16{}, question(qA, 1, "good", "test")), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "two questions", query: dnsMessage(0, [4]uint16{2}, question(qA, 1, "good", "test"), question(qA, 1, "evil", "test")), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "65535 questions", query: dnsMessage(0, [4]uint16{65535}, question(qA, 1, "good", "test")), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "bytes behind the question", query: append(asks(qA, "good", "test"), "secret"...), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "an answer", query: dnsMessage(0, [4]uint16{1, 1}, question(qA, 1, "good", "test"), []byte{0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 1, 2, 3, 4}), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "an authority", query: dnsMessage(0, [4]uint16{1, 0, 1}, question(qA, 1, "good", "test"), []byte{0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 1, 2, 3, 4}), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "an answer that is missing", query: dnsMessage(0, [4]uint16{1, 1}, question(qA, 1, "good", "test")), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "an authority that is missing", query: dnsMessage(0, [4]uint16{1, 0, 1}, question(qA, 1, "good", "test")), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "another additional", query: dnsMessage(0, [4]uint16{1, 0, 0, 1}, question(qA, 1, "good", "test"), []byte{0, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 1, 2, 3, 4}), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "two OPT", query: dnsMessage(0, [4]uint16{1, 0, 0, 2}, question(qA, 1, "good", "test"), opt(0, nil), opt(0, nil)), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "OPT with a name", query: dnsMessage(0, [4]uint16{1, 0, 0, 1}, question(qA, 1, "good", "test"), append([]byte{1, 'a'}, opt(0, nil)...)), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "OPT that is short", query: dnsMessage(0, [4]uint16{1, 0, 0, 1}, question(qA, 1, "good", "test"), opt(0, []byte{1, 2, 3, 4})[:13]), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "OPT that is missing", query: dnsMessage(0, [4]uint16{1, 0, 0, 1}, question(qA, 1, "good", "test")), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "bytes behind OPT", query: dnsMessage(0, [4]uint16{1, 0, 0, 1}, question(qA, 1, "good", "test"), opt(0, nil), []byte{0}), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "truncated", query: dnsMessage(dnsTC, [4]uint16{1}, question(qA, 1, "good", "test")), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "name that points to itself", query: dnsMessage(0, [4]uint16{1}, []byte{0xc0, 12, 0, 1, 0, 1}), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "pointers in a circle", query: dnsMessage(0, [4]uint16{1}, []byte{0xc0, 14, 0xc0, 12, 0, 1, 0, 1}), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "label and pointer to it", query: dnsMessage(0, [4]uint16{1}, []byte{1, 'a', 0xc0, 12, 0, 1, 0, 1}), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "pointer into the header", query: dnsMessage(0, [4]uint16{1}, []byte{0xc0, 0, 0, 1, 0, 1}), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "pointer beyond the end", query: dnsMessage(0, [4]uint16{1}, []byte{0xff, 0xff, 0, 1, 0, 1}), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "half a pointer", query: dnsMessage(0, [4]uint16{1}, []byte{0xc0}), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "label of 64", query: asks(qA, strings.Repeat("a", 64), "test"), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "label type 0x80", query: dnsMessage(0, [4]uint16{1}, []byte{0x81, 'a', 0, 0, 1, 0, 1}), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "name of 256", query: asks(qA, label63, label63, label63, strings.Repeat("b", 62)), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "endless name", query: dnsMessage(0, [4]uint16{1}, bytes.Repeat([]byte{1, 'a'}, 30000)), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "label beyond the end", query: dnsMessage(0, [4]uint16{1}, []byte{9, 'a'}), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "no end of the name", query: dnsMessage(0, [4]uint16{1}, []byte{1, 'a'}), code: dnsmessage.RCodeFormatError, bare: true},
		{name: "no class", query: asks(qA, "good", "test")[:12+11+2], code: dnsmessage.RCodeFormatError, bare: true},
		{name: "NOTIFY", query: dnsMessage(4<<11, [4]uint16{1}, question(6, 1, "good", "test")), code: dnsmessage.RCodeNotImplemented, bare: true},
		{name: "UPDATE", query: dnsMessage(5<<11, [4]uint16{1}, question(6, 1, "good", "test")), code: dnsmessage.RCodeNotImplemented, bare: true},
		{name: "inverse query", query: dnsMessage(1<<11, [4]uint16{0, 1}), code: dnsmessage.RCodeNotImplemented, bare: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var heard []string
			reply, ok := answer(c.query, func(name string, qtype dnsmessage.Type) (netip.Addr, dnsVerdict) {
				heard = append(heard, name)
				if want := dnsmessage.Type(binary.BigEndian.Uint16(c.query[12+len(c.asked)+2:])); qtype != want {
					t.Errorf("asked for type %d, not %d", qtype, want)
				}
				if c.says != nil {
					return c.says(name)
				}
				return found(name)
			})
			if got := strings.Join(heard, ", "); got != c.asked || len(heard) > 1 {
				t.Errorf("lookup heard %q, want %q", heard, c.asked)
			}
			if ok == c.silent {
				t.Fatalf("reply %x, %v", reply, ok)
			}
			if c.silent {
				return
			}
			r := readReply(t, c.query, reply)
			if r.code != c.code || r.bare != c.bare || c.addr && r.addr != virtual || !c.addr && r.addr.IsValid() {
				t.Errorf("the reply says %+v", r)
			}
		})
	}
}
