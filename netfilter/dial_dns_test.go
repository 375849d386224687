package netfilter

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer is a name server on loopback whose answers a test decides.
type nameServer struct {
	addr string

	mu      sync.Mutex
	answers map[string][][]string // by name: the answers of the first, second, … question; the last one stays
	asked   map[string]int        // how many questions there were, by name, space and type
	silent  bool
}

func newNameServer(t *testing.T) *nameServer {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s := &nameServer{addr: c.LocalAddr().String(), answers: map[string][][]string{}, asked: map[string]int{}}
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if reply := s.reply(buf[:n]); reply != nil {
				c.WriteTo(reply, from)
			}
		}
	}()
	return s
}

// set gives a name its answers, each one addresses with spaces between. An
// address may be preceded by "alias>", a CNAME.
func (s *nameServer) set(name string, answers ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answers[name] = nil
	clear(s.asked)
	for _, a := range answers {
		s.answers[name] = append(s.answers[name], strings.Fields(a))
	}
}

// questions is how many dials have asked for a name.
func (s *nameServer) questions(name string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[name+" TypeA"]
}

// hush makes s answer nobody.
func (s *nameServer) hush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = true
}

// reply is nil for no reply.
func (s *nameServer) reply(query []byte) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	var m dnsmessage.Message
	if m.Unpack(query) != nil || len(m.Questions) != 1 || s.silent {
		return nil
	}
	q := m.Questions[0]
	name := strings.TrimSuffix(q.Name.String(), ".")
	m.Response, m.RecursionAvailable, m.Additionals = true, true, nil
	rounds := s.answers[name]
	if len(rounds) == 0 {
		m.RCode = dnsmessage.RCodeNameError
	} else {
		// The questions for A and AAAA of one dial come in any order.
		round := s.asked[name+" "+q.Type.String()]
		s.asked[name+" "+q.Type.String()]++
		for _, text := range rounds[min(round, len(rounds)-1)] {
			m.Answers = append(m.Answers, resources(q, text)...)
		}
	}
	out, err := m.Pack()
	if err != nil {
		panic(err)
	}
	return out
}

func resources(q dnsmessage.Question, text string) (list []dnsmessage.Resource) {
	h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class} // TTL 0
	if alias, rest, ok := strings.Cut(text, ">"); ok {
		target := dnsmessage.MustNewName(alias + ".")
		h.Type = dnsmessage.TypeCNAME
		list = append(list, dnsmessage.Resource{Header: h, Body: &dnsmessage.CNAMEResource{CNAME: target}})
		h.Name, text = target, rest
	}
	a := netip.MustParseAddr(text)
	h.Type = q.Type
	switch {
	case a.Is4() && q.Type == dnsmessage.TypeA:
		list = append(list, dnsmessage.Resource{Header: h, Body: &dnsmessage.AResource{A: a.As4()}})
	case a.Is6() && q.Type == dnsmessage.TypeAAAA:
		list = append(list, dnsmessage.Resource{Header: h, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}})
	}
	return list
}

// resolver asks only s.
func (s *nameServer) resolver() *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", s.addr)
	}}
}
