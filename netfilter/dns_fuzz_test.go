package netfilter

import (
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// Every type but A is answered without an address, and what is no type of
// records at all never heard of.
func TestAnswerEveryType(t *testing.T) {
	for qtype := range 1 << 16 {
		query := asks(uint16(qtype), "good", "test")
		asked := false
		reply, ok := answer(query, func(name string, kind dnsmessage.Type) (netip.Addr, dnsVerdict) {
			asked = name == "good.test" && int(kind) == qtype
			return virtual, dnsFound
		})
		if !ok {
			t.Fatalf("type %d: no reply", qtype)
		}
		meta := qtype == 41 || qtype >= 128 && qtype < 255
		r := readReply(t, query, reply)
		if r.addr.IsValid() != (qtype == qA) || asked == meta || (r.code == dnsmessage.RCodeSuccess) == meta {
			t.Fatalf("type %d: %+v, looked up: %v", qtype, r, asked)
		}
	}
}

// Names of every byte, at every place of a label.
func TestAnswerEveryByte(t *testing.T) {
	for c := range 256 {
		for _, label := range []string{string([]byte{byte(c)}), "a" + string([]byte{byte(c)}), string([]byte{byte(c), 'a'})} {
			heard := ""
			query := asks(qA, label, "test")
			reply, ok := answer(query, func(name string, _ dnsmessage.Type) (netip.Addr, dnsVerdict) {
				heard = name
				return virtual, dnsFound
			})
			want := ""
			if strings.IndexByte("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", byte(c)) >= 0 {
				want = strings.ToLower(label) + ".test"
			}
			if !ok || heard != want || readReply(t, query, reply).addr.IsValid() != (want != "") {
				t.Errorf("label %q: heard %q, reply %x", label, heard, reply)
			}
		}
	}
}

// Queries as package dnsmessage, the resolver of Go, builds them.
func TestAnswerBuiltQueries(t *testing.T) {
	for _, edns := range []bool{false, true} {
		b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: 7, RecursionDesired: true})
		must := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		must(b.StartQuestions())
		must(b.Question(dnsmessage.Question{Name: dnsmessage.MustNewName("Good.test."), Type: dnsmessage.TypeA, Class: dnsmessage.ClassINET}))
		if edns {
			must(b.StartAdditionals())
			var h dnsmessage.ResourceHeader
			must(h.SetEDNS0(1232, dnsmessage.RCodeSuccess, true))
			must(b.OPTResource(h, dnsmessage.OPTResource{}))
		}
		query, err := b.Finish()
		must(err)
		reply, ok := answer(query, func(string, dnsmessage.Type) (netip.Addr, dnsVerdict) { return virtual, dnsFound })
		if !ok || readReply(t, query, reply).addr != virtual {
			t.Errorf("reply %x", reply)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(asks(qA, "good", "test"))
	f.Add(asks(qHTTPS, "GOOD", "test"))
	f.Add(asks(qA, "good.test"))
	f.Add(asks(qA, "evil", "test\x00"))
	f.Add(dnsMessage(dnsRD, [4]uint16{1, 0, 0, 1}, question(qA, 1, "good", "test"), opt(0, []byte{0, 10, 0, 2, 1, 2})))
	f.Add(dnsMessage(0, [4]uint16{1, 0, 0, 1}, question(qTXT, 3, "version", "bind"), opt(1, nil)))
	f.Add(dnsMessage(0, [4]uint16{1}, []byte{1, 'a', 0xc0, 12, 0, 1, 0, 1}))
	f.Fuzz(func(t *testing.T, query []byte) {
		heard := ""
		reply, ok := answer(query, func(name string, qtype dnsmessage.Type) (netip.Addr, dnsVerdict) {
			if heard != "" {
				t.Fatal("lookup was asked twice")
			}
			heard = name
			if again, ok := wireName(name); !ok || again != name {
				t.Fatalf("lookup heard %q", name)
			}
			// dnsmessage reads the same name, of the same type.
			var p dnsmessage.Parser
			if _, err := p.Start(query); err != nil {
				t.Fatal(err)
			}
			q, err := p.Question()
			if err != nil || lowerASCII(q.Name.String()) != name+"." || q.Type != qtype || q.Class != dnsmessage.ClassINET {
				t.Fatalf("dnsmessage reads %v (%v), we %q of type %d", q, err, name, qtype)
			}
			return virtual, dnsVerdict(len(query) % 5)
		})
		if !ok {
			if len(reply) > 0 || heard != "" || len(query) >= dnsHeader && query[2]&0x80 == 0 {
				t.Fatalf("no reply, but %x; lookup heard %q", reply, heard)
			}
			return
		}
		if r := readReply(t, query, reply); r.addr.IsValid() && (heard == "" || r.addr != virtual) {
			t.Fatalf("%+v without a lookup", r)
		}
	})
}
