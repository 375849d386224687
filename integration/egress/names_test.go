package egress

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// zone is what the world's name servers know: addresses by name, or one list of
// addresses after the other for a name whose answer changes. Who has been asked
// is what the taps see.
type zone struct {
	mu     sync.Mutex
	always map[string][]netip.Addr
	turns  map[string][][]netip.Addr
}

// names of the world. Those of rangeNames come on top.
var names = map[string]string{
	"good.example.com":          addressGood,
	"other.example.com":         addressOther,
	"git.example.com":           addressGood,
	"xn--bcher-kva.example.com": addressGood,
	"alias.example.com":         addressGood,
	"cdn.example.net":           addressCDN,
	"evilcdn.example.net":       addressEvil,
	"*.cdn.example.net":         addressCDN,
	"db.example.com":            addressDB,
	"six.example.com":           addressSix,
	"dual.example.com":          addressGood + " 2606:2800:220:1::7",
	"shadowed.example.com":      addressEvil, // the host's own file says otherwise
	"blocked.example.com":       addressGood, // blocked by the host's own file
	"private.example.com":       "10.20.30.40",
	"mixed.example.com":         "10.20.30.40 127.0.0.1 " + addressGood,
	"halfdead.example.com":      "93.184.215.99 " + addressGood, // the first refuses port 7777
	"allbad.example.com":        "127.0.0.1 10.20.30.40",
	"deadmixed.example.com":     "93.184.215.99 10.20.30.40", // only the second has port 7001
	"metadata.google.internal":  "169.254.169.254",
	"proxy.corp.example":        addressProxy,
	"evil.test":                 addressEvil,
	"*.evil.test":               addressEvil,
	"localtest.example.com":     "127.0.0.1",
}

func newZone() *zone {
	z := &zone{always: map[string][]netip.Addr{}, turns: map[string][][]netip.Addr{}}
	for name, list := range names {
		z.always[name] = addresses(list)
	}
	for _, r := range ranges {
		z.always[r.name()] = addresses(r.address)
	}
	return z
}

func addresses(list string) (out []netip.Addr) {
	for a := range strings.FieldsSeq(list) {
		out = append(out, netip.MustParseAddr(a))
	}
	return out
}

// turn makes the answers for a name change: the first list is for the first
// lookup, the last for all that follow. A lookup is a question for A.
func (z *zone) turn(name string, lists ...string) {
	z.mu.Lock()
	defer z.mu.Unlock()
	z.turns[name] = nil
	for _, list := range lists {
		z.turns[name] = append(z.turns[name], addresses(list))
	}
}

func (z *zone) lookup(name string, kind dnsmessage.Type) ([]netip.Addr, bool) {
	z.mu.Lock()
	defer z.mu.Unlock()
	if list := z.turns[name]; len(list) > 0 {
		if kind == dnsmessage.TypeA && len(list) > 1 {
			z.turns[name] = list[1:]
		}
		return list[0], true
	}
	if list, ok := z.always[name]; ok {
		return list, true
	}
	for labels := name; ; {
		_, rest, more := strings.Cut(labels, ".")
		if !more {
			return nil, false
		}
		if list, ok := z.always["*."+rest]; ok {
			return list, true
		}
		labels = rest
	}
}

// serveNames answers questions at the host's name server and at those that
// programs know by heart.
func (w *world) serveNames() error {
	for _, host := range []string{nameServer, "8.8.8.8", "1.1.1.1", publicV6} {
		at := net.JoinHostPort(host, "53")
		udp, err := net.ListenPacket("udp", at)
		if err != nil {
			return err
		}
		go func() {
			for b := make([]byte, 4096); ; {
				n, from, err := udp.ReadFrom(b)
				if err != nil {
					return
				}
				_, _ = udp.WriteTo(w.zone.answer(b[:n]), from)
			}
		}()
		if err := w.open([]service{{at, each(w.zone.stream)}}); err != nil {
			return err
		}
	}
	return nil
}

// stream answers questions on a TCP connection.
func (z *zone) stream(c *recorded) {
	for {
		var length [2]byte
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return
		}
		q := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(c, q); err != nil {
			return
		}
		a := z.answer(q)
		_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(a))), a...))
	}
}

// answer is the message that answers q: addresses, a TXT record for any name,
// nothing of other types.
func (z *zone) answer(q []byte) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(q); err != nil || len(m.Questions) != 1 {
		return nil
	}
	ask := m.Questions[0]
	name := strings.ToLower(strings.TrimSuffix(ask.Name.String(), "."))
	list, known := z.lookup(name, ask.Type)
	m.Response, m.RecursionAvailable, m.Authoritative = true, true, true
	m.Additionals = nil
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	}
	head := dnsmessage.ResourceHeader{Name: ask.Name, Type: ask.Type, Class: ask.Class}
	for _, a := range list {
		switch {
		case ask.Type == dnsmessage.TypeA && a.Is4():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AResource{A: a.As4()}})
		case ask.Type == dnsmessage.TypeAAAA && a.Is6():
			m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
		}
	}
	if ask.Type == dnsmessage.TypeTXT && known {
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: head, Body: &dnsmessage.TXTResource{TXT: []string{"text"}}})
	}
	b, err := m.Pack()
	if err != nil {
		panic(fmt.Sprint(err))
	}
	return b
}
