package netfilter

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

type dnsReply struct {
	code dnsmessage.RCode
	addr netip.Addr
	bare bool
}

// readReply has package dnsmessage read a reply, and checks what holds of every
// one.
func readReply(t *testing.T, query, reply []byte) (r dnsReply) {
	t.Helper()
	if len(reply) > 512 {
		t.Fatalf("a reply of %d bytes", len(reply))
	}
	// Names are echoed that dnsmessage does not read: with dots in labels.
	readable := bytes.Clone(reply)
	if binary.BigEndian.Uint16(reply[4:]) == 1 {
		for at := dnsHeader; readable[at] != 0; at += 1 + int(readable[at]) {
			label := readable[at+1:][:readable[at]]
			copy(label, bytes.ReplaceAll(label, []byte("."), []byte("-")))
		}
	}
	var m dnsmessage.Message
	if err := m.Unpack(readable); err != nil {
		t.Fatalf("dnsmessage cannot read the reply %x: %v", reply, err)
	}
	h := m.Header
	if want := binary.BigEndian.Uint16(query); h.ID != want || !h.Response || !h.RecursionAvailable || h.Authoritative || h.Truncated || h.AuthenticData ||
		h.RecursionDesired != (query[2]&1 != 0) || h.OpCode != dnsmessage.OpCode(query[2]>>3&15) {
		t.Errorf("header %+v of a reply to %x", h, query)
	}
	r.code = h.RCode
	r.bare = len(m.Questions) == 0
	if n := len(m.Questions); n > 1 || n == 1 && !bytes.HasPrefix(query[dnsHeader:], reply[dnsHeader:][:questionLength(reply[dnsHeader:])]) {
		t.Errorf("questions %v of a reply to %x", m.Questions, query)
	}
	for _, a := range m.Answers {
		body, isA := a.Body.(*dnsmessage.AResource)
		if !isA || len(m.Answers) > 1 || a.Header.TTL != dnsTTL || a.Header.Class != dnsmessage.ClassINET || a.Header.Name != m.Questions[0].Name {
			t.Fatalf("answers %+v", m.Answers)
		}
		r.addr = netip.AddrFrom4(body.A)
	}
	for _, a := range m.Additionals {
		if a.Header.Type != dnsmessage.TypeOPT || len(m.Additionals) > 1 || a.Header.Class != dnsUDP || len(a.Body.(*dnsmessage.OPTResource).Options) > 0 || a.Header.DNSSECAllowed() {
			t.Errorf("additional records %+v", m.Additionals)
		}
		r.code = a.Header.ExtendedRCode(h.RCode)
	}
	hadOPT := binary.BigEndian.Uint16(query[10:]) == 1 && h.RCode != dnsmessage.RCodeFormatError && h.RCode != dnsmessage.RCodeNotImplemented
	if len(m.Authorities) > 0 || hadOPT != (len(m.Additionals) == 1) {
		t.Errorf("reply %+v to %x", m, query)
	}
	return r
}

// questionLength is the length of the question that b begins with.
func questionLength(b []byte) int {
	n := 0
	for b[n] != 0 {
		n += 1 + int(b[n])
	}
	return n + 5
}
