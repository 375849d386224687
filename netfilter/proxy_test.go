package netfilter

import (
	"bufio"
	"context"
	"encoding/base64"
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/policy"
)

// fakeProxy is a proxy whose every word a test decides.
type fakeProxy struct {
	*policy.Proxy
	requests chan string // heads, as received; closed connections give none
}

// newFakeProxy serves connections with answer, once their head is there.
func newFakeProxy(t *testing.T, answer func(*net.TCPConn)) *fakeProxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	at := l.Addr().(*net.TCPAddr)
	p := &fakeProxy{&policy.Proxy{Host: at.IP.String(), Port: uint16(at.Port)}, make(chan string, 16)}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				var head strings.Builder
				for r := bufio.NewReaderSize(c, 16); !strings.HasSuffix(head.String(), "\r\n\r\n"); {
					b, err := r.ReadByte()
					if err != nil {
						return
					}
					head.WriteByte(b)
				}
				p.requests <- head.String()
				answer(c.(*net.TCPConn))
			}()
		}
	}()
	return p
}

func (p *fakeProxy) dialer() *dialer {
	return &dialer{
		own:     func() ([]netip.Addr, error) { return nil, nil },
		permits: func(netip.Addr, uint16) bool { return true },
		timeout: 10 * time.Second, proxy: p.Proxy,
	}
}

const established = "HTTP/1.1 200 Connection established\r\n\r\n"

func TestProxyReplies(t *testing.T) {
	padded := func(n int) string {
		head := "HTTP/1.1 200 OK\r\nX: "
		return head + strings.Repeat("x", n-len(head)-4) + "\r\n\r\n"
	}
	for _, c := range []struct{ name, reply, err, rest string }{
		{"established", established, "", ""},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\n", "", ""},
		{"no reason", "HTTP/1.1 200\r\n\r\n", "", ""},
		{"other 2xx", "HTTP/1.1 204 No Content\r\nVia: x\r\n\r\n", "", ""},
		{"first word of the other side", established + "220 mail.test ESMTP\r\n", "", "220 mail.test ESMTP\r\n"},
		{"looks like another head", established + established, "", established},
		{"empty lines", established + "\r\n\r\n", "", "\r\n\r\n"},
		{"no body", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nhello", "", "hello"},
		{"interim", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + established + "hi", "", "hi"},
		{"as long as may be", padded(maxProxyHead) + "hi", "", "hi"},
		{"large first word", established + strings.Repeat("0123456789", 5000), "", strings.Repeat("0123456789", 5000)},

		{"too long", padded(maxProxyHead + 1), "does not end within 8192 bytes", ""},
		{"too many interim", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 400) + established, "does not end within", ""},
		{"wants a password", "HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"x\"\r\nContent-Length: 2\r\n\r\nno", "[network] proxy", ""},
		{"forbids", "HTTP/1.1 403 Forbidden\r\n\r\n", `"HTTP/1.1 403 Forbidden"`, ""},
		{"redirects", "HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n", "302", ""},
		{"cannot", "HTTP/1.1 502 " + strings.Repeat("a", 300) + "\r\n\r\n", "502 aaa", ""},
		{"switches", "HTTP/1.1 101 Switching Protocols\r\n\r\n", "101", ""},
		{"bare LF", "HTTP/1.1 200 OK\n\n", "byte 0x0a", ""},
		{"bare CR", "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", "CR without LF", ""},
		{"NUL", "HTTP/1.1 200 O\x00K\r\n\r\n", "byte 0x00", ""},
		{"HTTP/2", "HTTP/2 200\r\n\r\n", "not HTTP/1", ""},
		{"another protocol", "SSH-2.0-OpenSSH_9.2\r\n", "not HTTP/1", ""},
		{"a code of four digits", "HTTP/1.1 2000 OK\r\n\r\n", "not HTTP/1", ""},
		{"a code of two", "HTTP/1.1 20 OK\r\n\r\n", "not HTTP/1", ""},
		{"nothing", "", "closed the connection", ""},
		{"half a head", "HTTP/1.1 200 OK\r\n", "closed the connection", ""},
	} {
		for _, size := range []int{len(c.reply) + 1, 7, 1} {
			if size < 7 && len(c.reply) > 2000 {
				continue
			}
			p := newFakeProxy(t, func(c2 *net.TCPConn) {
				for b := []byte(c.reply); len(b) > 0; {
					n := min(size, len(b))
					if _, err := c2.Write(b[:n]); err != nil {
						return
					}
					b = b[n:]
				}
				c2.CloseWrite()
				io.Copy(io.Discard, c2)
			})
			conn, at, err := p.dialer().dialName(context.Background(), "api.test", 443)
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || len(err.Error()) > 400 {
					t.Errorf("%s by %d: %v, want %q", c.name, size, err, c.err)
				}
				if bad, ok := err.(*refusal); ok {
					t.Errorf("%s: a refusal, %v: that is for rules", c.name, bad)
				}
				continue
			}
			if err != nil || at.Port() != p.Port {
				t.Errorf("%s by %d: %v, %v", c.name, size, at, err)
				continue
			}
			rest, err := io.ReadAll(conn)
			if string(rest) != c.rest || err != nil {
				t.Errorf("%s by %d: %.60q after the head (%v), want %.60q", c.name, size, rest, err, c.rest)
			}
			conn.Close()
		}
	}
}

func TestProxyRequests(t *testing.T) {
	const basic = "Proxy-Authorization: Basic dXNlcjpwQHNzOndvcmQ=\r\n"
	if text, _ := base64.StdEncoding.DecodeString("dXNlcjpwQHNzOndvcmQ="); string(text) != "user:p@ss:word" {
		t.Fatal(text)
	}
	for _, c := range []struct {
		target, user, password, want string
	}{
		{"api.test:443", "", "", "CONNECT api.test:443 HTTP/1.1\r\nHost: api.test:443\r\n\r\n"},
		{"api.test:8443", "user", "p@ss:word", "CONNECT api.test:8443 HTTP/1.1\r\nHost: api.test:8443\r\n" + basic + "\r\n"},
		{"203.0.113.5:22", "", "", "CONNECT 203.0.113.5:22 HTTP/1.1\r\nHost: 203.0.113.5:22\r\n\r\n"},
		{"[2001:db8::1]:443", "", "", "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n"},
	} {
		p := newFakeProxy(t, func(c *net.TCPConn) { io.WriteString(c, established) })
		p.User, p.Password = c.user, c.password
		var conn net.Conn
		var err error
		if at, perr := netip.ParseAddrPort(c.target); perr == nil {
			conn, err = p.dialer().dialAddr(context.Background(), at)
		} else {
			host, _, _ := strings.Cut(c.target, ":")
			conn, _, err = p.dialer().dialName(context.Background(), host, map[bool]uint16{true: 443, false: 8443}[strings.HasSuffix(c.target, ":443")])
		}
		if err != nil {
			t.Errorf("%s: %v", c.target, err)
			continue
		}
		conn.Close()
		if got := <-p.requests; got != c.want {
			t.Errorf("%s: %q, want %q", c.target, got, c.want)
		}
	}
	// What would be read as more than a name is not sent.
	p := newFakeProxy(t, func(c *net.TCPConn) { io.WriteString(c, established) })
	for _, name := range []string{"a.test HTTP/1.1\r\nX: y", "a\r\nb", "a b", "a\tb", "a\x00b", "ä.test", "a\x7f"} {
		if _, _, err := p.dialer().dialName(context.Background(), name, 443); err == nil {
			t.Errorf("%q was asked for", name)
		}
	}
	if len(p.requests) > 0 {
		t.Errorf("the proxy got %q", <-p.requests)
	}
}

// Addresses of this machine mean another one at the proxy.
func TestProxyNotForThisMachine(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := newFakeProxy(t, func(c *net.TCPConn) { io.WriteString(c, established) })
	at := l.Addr().(*net.TCPAddr).AddrPort()
	c, err := p.dialer().dialAddr(context.Background(), at)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.RemoteAddr().String() != at.String() || len(p.requests) > 0 {
		t.Errorf("connected to %s, %d requests", c.RemoteAddr(), len(p.requests))
	}
}

// The proxy resolves names; only its own is looked up here.
func TestProxyResolves(t *testing.T) {
	s := newNameServer(t)
	s.set("proxy.test", "127.0.0.1")
	p := newFakeProxy(t, func(c *net.TCPConn) { io.WriteString(c, established) })
	p.Host = "proxy.test"
	d := p.dialer()
	d.resolver = s.resolver()
	c, _, err := d.dialName(context.Background(), "api.test", 443)
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	if s.questions("proxy.test") != 1 || s.questions("api.test") != 0 {
		t.Errorf("asked: %v", s.asked)
	}
}

// A proxy that says nothing, or never comes to an end, costs a dial's time. No
// error says the password.
func TestProxySlow(t *testing.T) {
	for name, answer := range map[string]func(*net.TCPConn){
		"silent": func(c *net.TCPConn) { io.Copy(io.Discard, c) },
		"endless": func(c *net.TCPConn) {
			for _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n"); err == nil; _, err = c.Write([]byte("x")) {
				time.Sleep(5 * time.Millisecond)
			}
		},
		"resets": func(c *net.TCPConn) { reset(c) },
		"refuses": func(c *net.TCPConn) {
			io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
		},
	} {
		p := newFakeProxy(t, answer)
		p.User, p.Password = "user", "secret-word"
		d := p.dialer()
		d.timeout = 200 * time.Millisecond
		began := time.Now()
		_, _, err := d.dialName(context.Background(), "api.test", 443)
		if err == nil || time.Since(began) > 5*time.Second {
			t.Errorf("%s: %v after %v", name, err, time.Since(began))
			continue
		}
		for _, secret := range []string{"secret-word", base64.StdEncoding.EncodeToString([]byte("user:secret-word"))} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if !strings.Contains(err.Error(), "proxy 127.0.0.1:") {
			t.Errorf("%s: %v does not say that it is the proxy", name, err)
		}
	}
	// Nobody listens there.
	p := newFakeProxy(t, nil)
	p.Port = 1
	if _, _, err := p.dialer().dialName(context.Background(), "api.test", 443); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("no proxy: %v", err)
	}
}

// The limit of the dial does not outlive it.
func TestProxyLeavesNoDeadline(t *testing.T) {
	late := make(chan struct{})
	p := newFakeProxy(t, func(c *net.TCPConn) {
		io.WriteString(c, established)
		<-late
		io.WriteString(c, "late")
	})
	d := p.dialer()
	d.timeout = 500 * time.Millisecond
	c, _, err := d.dialName(context.Background(), "api.test", 443)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	time.AfterFunc(d.timeout+200*time.Millisecond, func() { close(late) })
	if got, err := io.ReadAll(c); string(got) != "late" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
}
