package netfilter

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/policy"
	"golang.org/x/net/dns/dnsmessage"
)

// engine is a filter between a program and an origin, all of them on loopback:
// what is missing is the box's network namespace, which integration/egress has.
type engine struct {
	*Filter
	t        *testing.T
	origin   netip.AddrPort
	listener net.Listener

	mu     sync.Mutex
	events []Event
	heard  []byte // all that the origin read
	// instead is what the origin does, unless it answers each line with itself.
	instead func(net.Conn)
	served  sync.WaitGroup
}

// newEngine makes one whose origin answers each line with itself. In rules, PORT
// is its port. Every name leads to 127.0.0.1.
func newEngine(t *testing.T, bytes int64, rules ...string) *engine {
	t.Helper()
	e := &engine{t: t}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	e.origin = l.Addr().(*net.TCPAddr).AddrPort()
	e.listener = l
	e.served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			e.served.Go(func() { e.echo(c) })
		}
	})
	n := policy.Network{}
	for _, text := range rules {
		r, err := policy.ParseRule(strings.ReplaceAll(text, "PORT", fmt.Sprint(e.origin.Port())), policy.Origin{})
		if err != nil {
			t.Fatal(err)
		}
		n.Allow = append(n.Allow, r)
	}
	e.Filter = New(Config{Network: n, Bytes: bytes, Resolver: loopbackResolver(t), Report: func(ev Event) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.events = append(e.events, ev)
	}})
	t.Cleanup(func() { e.Close() })
	return e
}

func (e *engine) echo(c net.Conn) {
	defer c.Close()
	e.mu.Lock()
	instead := e.instead
	e.mu.Unlock()
	if instead != nil {
		instead(c)
		return
	}
	for r := bufio.NewReader(c); ; {
		line, err := r.ReadString('\n')
		e.mu.Lock()
		e.heard = append(e.heard, line...)
		e.mu.Unlock()
		if err != nil {
			return
		}
		io.WriteString(c, line)
	}
}

// loopbackResolver asks a name server that knows every name.
func loopbackResolver(t *testing.T) *net.Resolver {
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	go func() {
		buf := make([]byte, 512)
		for {
			n, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			reply, _ := answer(buf[:n], func(string, dnsmessage.Type) (netip.Addr, dnsVerdict) {
				return netip.MustParseAddr("127.0.0.1"), dnsFound
			})
			c.WriteTo(reply, from)
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", c.LocalAddr().String())
	}}
}

// at is what the program connects to for the origin's port of name.
func (e *engine) at(name string) netip.AddrPort {
	e.t.Helper()
	d, err := e.names.find(name, nil)
	if err != nil {
		e.t.Fatal(err)
	}
	return netip.AddrPortFrom(d.virtual, e.origin.Port())
}

// connect is a connection of the box's to name at the origin's port, as the
// program sees it.
func (e *engine) connect(name string) net.Conn {
	e.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		e.t.Fatal(err)
	}
	defer l.Close()
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		e.t.Fatal(err)
	}
	e.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	theirs, err := l.Accept()
	if err != nil {
		e.t.Fatal(err)
	}
	if !e.begin() {
		reset(theirs.(*net.TCPConn))
		return c
	}
	at := e.at(name)
	go func() {
		defer e.serving.Done()
		if v := e.decide(at); v.reason != "" {
			reset(theirs.(*net.TCPConn))
		} else {
			e.serve(theirs.(*net.TCPConn), at, v)
		}
	}()
	return c
}

// whole is kinds, once all connections are over.
func (e *engine) whole() ([]Kind, Event) {
	e.serving.Wait()
	return e.kinds()
}

// kinds closes the filter, and returns what it has reported.
func (e *engine) kinds() (kinds []Kind, last Event) {
	e.Close()
	e.listener.Close()
	e.served.Wait()
	for _, ev := range e.events {
		kinds = append(kinds, ev.Kind)
		last = ev
	}
	return kinds, last
}

// ask sends text, and returns what comes back until the end.
func ask(c net.Conn, text string) string {
	_, werr := io.WriteString(c, text)
	c.(*net.TCPConn).CloseWrite()
	got, err := io.ReadAll(c)
	if err != nil || werr != nil {
		return string(got) + "!"
	}
	return string(got)
}

func TestCarries(t *testing.T) {
	e := newEngine(t, 0, "tcp://good.test:PORT", "127.0.0.1:PORT")
	if got := ask(e.connect("good.test"), "SELECT 1\n"); got != "SELECT 1\n" {
		t.Errorf("got %q", got)
	}
	kinds, last := e.kinds()
	if !slices.Equal(kinds, []Kind{Connected, Closed}) || last.Sent != 9 || last.Received != 9 || last.Name != "good.test" || last.Address.String() != "127.0.0.1" {
		t.Errorf("%v, %+v", kinds, last)
	}
}

// hello is the first flight of a TLS client.
func clientHello(t *testing.T, name string) string {
	ours, theirs := net.Pipe()
	defer ours.Close()
	go tls.Client(theirs, &tls.Config{ServerName: name, InsecureSkipVerify: true}).Handshake()
	buf := make([]byte, 8<<10)
	n, err := ours.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	return string(buf[:n])
}

func TestSniffs(t *testing.T) {
	get := func(host string) string { return "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n" }
	for _, c := range []struct {
		name, say string
		reason    string // "" if it passes
		heard     string // of say, by the origin
	}{
		{"TLS", clientHello(t, "good.test") + "\n", "", ""},
		{"TLS for another name", clientHello(t, "evil.test"), `TLS server name is "evil.test"`, "none"},
		{"HTTP", get("good.test"), "", ""},
		{"HTTP for another host", get("evil.test"), "evil.test", "none"},
		{"the second request for another host", get("good.test") + get("evil.test"), "evil.test", get("good.test")},
		{"something else", "SSH-2.0-OpenSSH\r\n", "neither TLS nor HTTP", "none"},
		{"nothing whole", "\x16\x03", "did not finish", "none"},
	} {
		e := newEngine(t, 0, "good.test:PORT", "127.0.0.1:PORT")
		ask(e.connect("good.test"), c.say)
		kinds, last := e.kinds()
		refused := slices.IndexFunc(e.events, func(ev Event) bool { return ev.Kind == Refused })
		switch {
		case c.reason == "" && (refused >= 0 || last.Kind != Closed):
			t.Errorf("%s: %v, %+v", c.name, kinds, e.events)
		case c.reason != "" && (refused < 0 || !strings.Contains(e.events[refused].Reason, c.reason)):
			t.Errorf("%s: %v, want a refusal with %q", c.name, e.events, c.reason)
		}
		want := c.heard
		if c.reason == "" {
			want = c.say
		} else if want == "none" {
			want = ""
		}
		if string(e.heard) != want {
			t.Errorf("%s: the origin heard %q, want %q", c.name, e.heard, want)
		}
	}
}

// A request that begins and does not go on holds a connection of the origin's for
// a few seconds only.
func TestHalfRequest(t *testing.T) {
	defer func(d time.Duration) { headTimeout = d }(headTimeout)
	headTimeout = 100 * time.Millisecond
	e := newEngine(t, 0, "good.test:PORT", "127.0.0.1:PORT")
	c := e.connect("good.test")
	io.WriteString(c, "GET / HTTP/1.1\r\nHo")
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("%d bytes came", n)
	}
	if kinds, _ := e.kinds(); !slices.Equal(kinds, []Kind{Connected, Refused, Closed}) || len(e.heard) > 0 {
		t.Errorf("%v, the origin heard %q", kinds, e.heard)
	}
	// A whole one may take its time with the next.
	e = newEngine(t, 0, "good.test:PORT", "127.0.0.1:PORT")
	c = e.connect("good.test")
	for range 2 {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: good.test\r\n\r\n")
		if _, err := io.ReadFull(c, make([]byte, 35)); err != nil {
			t.Error(err)
		}
		time.Sleep(2 * headTimeout)
	}
}

// A name that leads into this machine is refused, unless a rule names the
// address, too; the report says which rule that would be.
func TestForbiddenAddress(t *testing.T) {
	e := newEngine(t, 0, "good.test:PORT")
	if got := ask(e.connect("good.test"), "GET / HTTP/1.1\r\nHost: good.test\r\n\r\n"); got != "!" {
		t.Errorf("got %q", got)
	}
	kinds, last := e.kinds()
	if !slices.Equal(kinds, []Kind{Refused}) || last.Allow != e.origin.String() || !strings.Contains(last.Reason, "127.0.0.1") {
		t.Errorf("%v, %+v", kinds, last)
	}
	if len(e.heard) > 0 {
		t.Errorf("the origin heard %q", e.heard)
	}
}

// What cannot be dialled is told at once, and not after the program has said
// what it wants.
func TestDialFails(t *testing.T) {
	e := newEngine(t, 0, "good.test:1", "127.0.0.1:1") // nobody listens there
	e.origin = netip.AddrPortFrom(e.origin.Addr(), 1)
	began := time.Now()
	if _, err := e.connect("good.test").Read(make([]byte, 1)); err == nil {
		t.Error("something came")
	}
	if d := time.Since(began); d > sniffTimeout/2 {
		t.Errorf("it took %s", d)
	}
	if kinds, last := e.kinds(); !slices.Equal(kinds, []Kind{Failed}) || !strings.Contains(last.Reason, "refused") {
		t.Errorf("%v, %+v", kinds, last)
	}
}

func TestCut(t *testing.T) {
	e := newEngine(t, 0, "tcp://good.test:PORT", "127.0.0.1:PORT")
	say := func(c net.Conn) error {
		io.WriteString(c, "ping\n")
		_, err := io.ReadFull(c, make([]byte, 5))
		return err
	}
	old := e.connect("good.test")
	if err := say(old); err != nil {
		t.Fatal(err)
	}
	e.Cut()
	if err := say(old); err == nil {
		t.Error("an old connection goes on")
	}
	if err := say(e.connect("good.test")); err == nil {
		t.Error("a new connection gets through")
	}
	if _, v := e.lookup("good.test", dnsmessage.TypeA); v != dnsBusy {
		t.Errorf("the resolver answers %v", v)
	}
	e.Restore()
	if err := say(e.connect("good.test")); err != nil {
		t.Errorf("restored: %v", err)
	}
	e.Close()
	if err := say(e.connect("good.test")); err == nil {
		t.Error("closed, and a connection gets through")
	}
}

func TestBudget(t *testing.T) {
	e := newEngine(t, 1000, "tcp://good.test:PORT", "127.0.0.1:PORT")
	ask(e.connect("good.test"), strings.Repeat("x", 5000)+"\n")
	e.kinds()
	if len(e.heard) > 1000 {
		t.Errorf("the origin heard %d bytes", len(e.heard))
	}
	if !slices.ContainsFunc(e.events, func(ev Event) bool {
		return ev.Kind == Refused && strings.Contains(ev.Reason, "egress_bytes")
	}) {
		t.Errorf("%+v", e.events)
	}
}
