package netfilter

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

var websocket = with("Connection: keep-alive, Upgrade", "Upgrade: WebSocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==")

func TestForwardUpgrade(t *testing.T) {
	lost := errors.New("the origin is gone")
	const frames = "\x81\x05hello\x00\n"
	for _, c := range []struct {
		name, in, out string
		yes           bool
		err           error
		reason        string
	}{
		{name: "switched", in: websocket, out: websocket, yes: true, err: errSwitched},
		{name: "declined", in: websocket, out: websocket},
		{name: "declined, then a request", in: websocket + get, out: websocket + get},
		{name: "declined, then another host", in: websocket + strings.ReplaceAll(get, "good", "evil"), out: websocket, reason: `"evil.test" is not`},
		{name: "declined, then frames", in: websocket + frames, out: websocket, reason: "byte 0x81"},
		{name: "no answer", in: websocket + get, out: websocket, err: lost},
		{name: "second", in: get + websocket, out: get, yes: true, reason: "in use"},
		{name: "declined, then again", in: websocket + websocket, out: websocket, reason: "in use"},
	} {
		for _, way := range ways {
			var out bytes.Buffer
			asked := 0
			err := forwardRequests(plain{&out}, way.of(c.in), testHost, testPort, func() (bool, error) {
				asked++
				if out.String() != websocket {
					t.Errorf("%s, %s: asked when the origin had %q", c.name, way.name, out.String())
				}
				if c.err == lost {
					return false, lost
				}
				return c.yes, nil
			})
			if c.reason != "" {
				checkRefusal(t, err, c.reason)
			} else if err != c.err {
				t.Errorf("%s, %s: error %v", c.name, way.name, err)
			}
			if out.String() != c.out {
				t.Errorf("%s, %s: forwarded %q", c.name, way.name, out.String())
			}
			if want := strings.Count(c.out, "WebSocket:") + strings.Count(c.out, "Upgrade: "); asked != min(want, 1) {
				t.Errorf("%s, %s: asked %d times", c.name, way.name, asked)
			}
		}
	}

	// What came with the request belongs to the new protocol, and what was not
	// read yet is left to the caller.
	in := strings.NewReader(websocket + frames)
	var out bytes.Buffer
	err := forwardRequests(plain{&out}, in, testHost, testPort, func() (bool, error) { return true, nil })
	rest, _ := io.ReadAll(in)
	if err != errSwitched || out.String()+string(rest) != websocket+frames || len(rest) == len(frames) {
		t.Errorf("forwarded %q, left %q, error %v", out.String(), rest, err)
	}

	_, err = forwardAll(strings.NewReader(websocket), nil)
	checkRefusal(t, err, "upgrade")
}

func TestReadStatus(t *testing.T) {
	for _, c := range []struct {
		data    string
		code, n int
		reason  string // "short" for errShort
	}{
		{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81", 101, 56, ""},
		{"HTTP/1.1 200 OK\r\n\r\nbody", 200, 19, ""},
		{"HTTP/1.0 404 \r\n\r\n", 404, 17, ""},
		{"HTTP/1.1 101\r\n\r\n", 101, 16, ""},
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 101 x\r\n\r\n", 100, 25, ""},
		{"HTTP/1.1 200 ü\r\nX: \xff\r\n\r\n", 200, 25, ""},
		{"", 0, 0, "short"},
		{"HTT", 0, 0, "short"},
		{"HTTP/1.1 10", 0, 0, "short"},
		{"HTTP/1.1 101\r", 0, 0, "short"},
		{"HTTP/1.1 101 x\r\nA: b\r\n\r", 0, 0, "short"},
		{"HTTP/2 101", 0, 0, "not HTTP/1"},
		{"HTTP/1.1 1010", 0, 0, "not HTTP/1"},
		{"HTTP/1.1  101", 0, 0, "not HTTP/1"},
		{"HTTP/1.1 +10", 0, 0, "not HTTP/1"},
		{"HTTP/1.1 101\n\n", 0, 0, "not HTTP/1"},
		{"HTTP/1.1 101\rX", 0, 0, "CR without LF"},
		{"HTTP/1.1 101 x\n\n", 0, 0, "byte 0x0a"},
		{"HTTP/1.1 101 x\r\n\n", 0, 0, "byte 0x0a"},
		{"HTTP/1.1 101 x\r\nA: \x00\r\n\r\n", 0, 0, "byte 0x00"},
		{"HTTP/1.1 099 x\r\n\r\n", 0, 0, "status 099"},
		{"SSH-2.0-x\r\n", 0, 0, "not HTTP/1"},
		{"\x00", 0, 0, "not HTTP/1"},
		{"HTTP/1.1 200 " + strings.Repeat("x", maxHead-17) + "\r\n\r\n", 200, maxHead, ""},
		{"HTTP/1.1 200 " + strings.Repeat("x", maxHead-16) + "\r\n\r\n", 0, 0, "more than 65536"},
		{"HTTP/1.1 200 " + strings.Repeat("x", maxHead), 0, 0, "more than 65536"},
		{"HTTP/1.1 200 " + strings.Repeat("x", maxHead) + "\r\n\r\n", 0, 0, "more than 65536"},
	} {
		code, n, err := readStatus([]byte(c.data))
		if c.reason == "short" {
			if err != errShort {
				t.Errorf("%q: error %v", c.data, err)
			}
		} else {
			checkRefusal(t, err, c.reason)
		}
		if code != c.code || n != c.n {
			t.Errorf("%s: status %d of %d bytes", excerpt(c.data), code, n)
		}
		for i := range min(n, 100) {
			if _, _, err := readStatus([]byte(c.data[:i])); err != errShort {
				t.Errorf("%q of %q: error %v", c.data[:i], c.data, err)
			}
		}
	}
}
