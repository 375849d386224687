package netfilter

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/policy"
)

// accepting is an engine whose origin does with each connection what it is told.
func accepting(t *testing.T, origin func(net.Conn), rules ...string) *engine {
	e := newEngine(t, 0, rules...)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.instead = origin
	return e
}

func listens(c net.Conn) { io.Copy(io.Discard, c) }

// Every connection has its records, also one on which nothing is said, and such a
// one is no refusal.
func TestNothingSaid(t *testing.T) {
	defer func(d time.Duration) { quietTimeout = d }(quietTimeout)
	quietTimeout = 200 * time.Millisecond
	closes := func(c net.Conn) { c.Close() }
	waits := func(c net.Conn) {
		if n, err := c.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("%d bytes, %v: want an end in peace", n, err)
		}
	}
	says := func(text string) func(net.Conn) {
		return func(c net.Conn) { io.WriteString(c, text); listens(c) }
	}
	both := []Kind{Connected, Closed}
	for _, c := range []struct {
		name    string
		origin  func(net.Conn)
		program func(net.Conn)
		want    []Kind
		reason  string
	}{
		{"the program closes", listens, closes, both, "without a byte"},
		{"the program resets", listens, func(c net.Conn) { reset(c.(*net.TCPConn)) }, both, "without a byte"},
		{"nobody says anything", listens, waits, both, "too long"},
		{"the origin closes", closes, waits, both, "the other side closed"},
		{"the origin says that it was too long", says("HTTP/1.1 408 Request Timeout\r\n\r\n"), waits, both, "the other side closed"},
		{"the origin alerts", says("\x15\x03\x03\x00\x02\x01\x00"), waits, both, "the other side closed"},
	} {
		e := accepting(t, c.origin, "good.test:PORT", "127.0.0.1:PORT")
		arrived := make(chan bool, 1)
		e.mu.Lock()
		e.instead = func(n net.Conn) { arrived <- true; c.origin(n) }
		e.mu.Unlock()
		p := e.connect("good.test")
		<-arrived
		time.Sleep(10 * time.Millisecond) // so that the dialer knows, too
		c.program(p)
		p.Close()
		kinds, last := e.whole()
		if !slices.Equal(kinds, c.want) || !strings.Contains(last.Reason, c.reason) || last.Name != "good.test" {
			t.Errorf("%s: %v, %+v", c.name, kinds, last)
		}
	}

	// One that is closed before it was there, or that the end of the box ends.
	silent := func(asked chan bool) *net.Resolver {
		return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			select {
			case asked <- true:
			default:
			}
			<-ctx.Done()
			return nil, ctx.Err()
		}}
	}
	for _, c := range []struct {
		rule, reason string
		end          func(*engine, net.Conn)
	}{
		{"good.test:PORT", "without a byte", func(e *engine, c net.Conn) { c.Close(); e.serving.Wait() }},
		{"good.test:PORT", "", func(e *engine, c net.Conn) { e.Close() }},
		{"tcp://good.test:PORT", "the box ended", func(e *engine, c net.Conn) { e.Close() }},
	} {
		e := newEngine(t, 0, c.rule, "127.0.0.1:PORT")
		asked := make(chan bool, 1)
		e.dialer.resolver = silent(asked)
		p := e.connect("good.test")
		<-asked
		c.end(e, p)
		if kinds, last := e.kinds(); !slices.Equal(kinds, []Kind{Abandoned}) || last.Rule == "" || last.Name != "good.test" || !strings.Contains(last.Reason, c.reason) {
			t.Errorf("%s: %v, %+v", c.rule, kinds, last)
		}
	}

	// One that arrives when the box is cut off.
	e := newEngine(t, 0, "good.test:PORT", "127.0.0.1:PORT")
	ours, theirs := tcpPair(t)
	at := e.at("good.test")
	v := e.decide(at)
	e.Cut()
	e.serve(theirs, at, v)
	expectEnd(t, ours, true)
	if kinds, last := e.kinds(); !slices.Equal(kinds, []Kind{Refused}) || last.Reason != reasonCut {
		t.Errorf("%v, %+v", kinds, last)
	}
}

// A server that speaks first is neither TLS nor HTTP. That is told at once, with
// the rule that is needed: clients do not wait for seconds.
func TestOriginSpeaksFirst(t *testing.T) {
	for _, greeting := range []string{
		"220 mail.example.com ESMTP\r\n", "SSH-2.0-OpenSSH_9.2\r\n", "\x4a\x00\x00\x00\x0a8.0.36\x00", "+OK POP3\r\n", "R",
	} {
		heard := make(chan int64, 1)
		e := accepting(t, func(c net.Conn) {
			io.WriteString(c, greeting)
			n, _ := io.Copy(io.Discard, c)
			heard <- n
		}, "good.test:PORT", "127.0.0.1:PORT")
		began := time.Now()
		c := e.connect("good.test").(*net.TCPConn)
		expectEnd(t, c, true)
		if d := time.Since(began); d > sniffTimeout/2 {
			t.Errorf("%q: it took %s", greeting, d)
		}
		if kinds, last := e.kinds(); !slices.Equal(kinds, []Kind{Refused}) || last.Allow != "tcp://good.test:"+itoa(e.origin.Port()) || !strings.Contains(last.Reason, "speaks first") {
			t.Errorf("%q: %v, %+v", greeting, kinds, last)
		}
		if n := <-heard; n > 0 {
			t.Errorf("%q: the origin heard %d bytes", greeting, n)
		}
	}
	// With it, it is let through.
	e := accepting(t, func(c net.Conn) { io.WriteString(c, "220 hello\r\n"); c.Close() }, "tcp://good.test:PORT", "127.0.0.1:PORT")
	if got := ask(e.connect("good.test"), ""); got != "220 hello\r\n" {
		t.Errorf("got %q", got)
	}
}

// Protocols of text look like HTTP at first, and so are told with what to write,
// too; what is HTTP, or was, is not.
func TestForeignText(t *testing.T) {
	for _, c := range []struct {
		say     string
		foreign bool
	}{
		{"EHLO me.example\r\n", true},
		{"EHLO me.example\n", true},
		{"USER anonymous\r\n", true},
		{"GET key\r\n", true},
		{"SELECT 1\n", true},
		{"SELECT a, b FROM c\n", true},
		{"SELECT a b\r\n", true},
		{"PING\r\n", true},
		{"*1\r\n$4\r\nPING\r\n", true},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", true},
		{"GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", false},
		{"GET / HTTP/1.1\nHost: good.test\n\n", false},
		{"GET / HTTP/3.1\r\n\r\n", false},
		{"CONNECT evil.test:443 HTTP/1.1\r\n\r\n", false},
		{"GET / HTTP/1.1\r\nHost: good.test\r\n\r\nSELECT 1\r\n", false},
	} {
		e := newEngine(t, 0, "good.test:PORT", "127.0.0.1:PORT")
		ask(e.connect("good.test"), c.say)
		e.kinds()
		i := slices.IndexFunc(e.events, func(ev Event) bool { return ev.Kind == Refused })
		if i < 0 {
			t.Errorf("%q: %+v", c.say, e.events)
			continue
		}
		want := ""
		if c.foreign {
			want = "tcp://good.test:" + itoa(e.origin.Port())
		}
		if e.events[i].Allow != want {
			t.Errorf("%q: %+v, want it allowed by %q", c.say, e.events[i], want)
		}
	}
}

// What hands out a machine's credentials is proposed in no form.
func TestMetadataIsNotProposed(t *testing.T) {
	f := New(Config{Network: policy.Network{Allow: rules(t, "metadata.google.internal:80")}})
	defer f.Close()
	v := verdict{to: f.plan.exact[0], rule: &f.plan.rules[0]}
	at := netip.AddrPortFrom(v.to.virtual, 80)
	metadata := netip.MustParseAddrPort("169.254.169.254:80")
	for _, e := range []Event{
		f.explain(errForeign, at, v), f.explain(leads(metadata, "x"), at, v), f.unheard("tcp", metadata),
		f.unheard("tcp", netip.MustParseAddrPort("[fd00:ec2::254]:80")),
	} {
		if e.Kind != Refused || e.Allow != "" || strings.Contains(e.Reason, "a rule for that") {
			t.Errorf("%+v", e)
		}
	}
}

// A program that is gone is gone for the origin, too, whatever either of them is
// about.
func TestHTTPReset(t *testing.T) {
	const request = "GET / HTTP/1.1\r\nHost: good.test\r\n\r\n"
	for _, c := range []struct {
		name    string
		program func(*net.TCPConn)
		reads   bool // whether the origin does
	}{
		{"between requests", func(c *net.TCPConn) { io.WriteString(c, request) }, true},
		{"after half of it was closed", func(c *net.TCPConn) { io.WriteString(c, request); c.CloseWrite() }, true},
		{"while the origin takes its time with an upgrade", func(c *net.TCPConn) {
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: good.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
		}, true},
		{"while the origin does not read", func(c *net.TCPConn) {
			io.WriteString(c, "POST / HTTP/1.1\r\nHost: good.test\r\nContent-Length: 999999999\r\n\r\n")
			c.SetWriteDeadline(time.Now().Add(time.Second))
			io.Copy(c, zeros{})
		}, false},
	} {
		got, end := make(chan bool, 1), make(chan error, 1)
		e := accepting(t, func(n net.Conn) {
			n.SetReadDeadline(time.Now().Add(10 * time.Second))
			n.Read(make([]byte, 10))
			got <- true
			if c.reads {
				_, err := io.Copy(io.Discard, n)
				if err != nil { // an end may come first
					end <- err
					return
				}
			}
			raw, _ := n.(*net.TCPConn).SyscallConn()
			for until := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
				events := int16(0)
				raw.Control(func(fd uintptr) { events = hangups(fd) })
				if events != 0 || time.Now().After(until) {
					if !wasReset(n.(*net.TCPConn)) {
						end <- errors.New("no reset")
					} else {
						end <- syscall.ECONNRESET
					}
					return
				}
			}
		}, "good.test:PORT", "127.0.0.1:PORT")
		p := e.connect("good.test").(*net.TCPConn)
		c.program(p)
		<-got
		time.Sleep(20 * time.Millisecond)
		reset(p)
		if err := <-end; !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: the origin heard %v", c.name, err)
		}
		if _, last := e.kinds(); last.Kind != Closed || !strings.Contains(last.Reason, "reset") {
			t.Errorf("%s: %+v", c.name, last)
		}
	}
}
