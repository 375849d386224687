package netfilter

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// The client and the server of net/http meet through forwardRequests, over TCP,
// with connections that are used again, bodies of both kinds, Expect, and an
// upgrade.
func TestForwardBetweenHTTPs(t *testing.T) {
	bodies := map[string]string{"empty": "", "short": "hello", "long": strings.Repeat("0123456789", 50<<10)}
	origin := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || r.Header.Get("Upgrade") != "" {
			w.Header().Set("Connection", "Upgrade")
			w.Header().Set("Upgrade", "websocket")
			w.WriteHeader(http.StatusSwitchingProtocols)
			return
		}
		fmt.Fprintf(w, "%s %s %d %v", r.Method, r.Host, len(body), bytes.Equal(body, []byte(bodies[r.URL.Path[1:]])))
	}))
	defer origin.Close()

	connections := 0
	ended := make(chan error, 100)
	transport := &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
		connections++
		client, box := socketPair(t)
		world, err := net.Dial("tcp", origin.Listener.Addr().String())
		if err != nil {
			return nil, err
		}
		go func() {
			_, _ = io.Copy(box, world)
			_ = box.Close()
			_ = world.Close()
		}()
		go func() {
			err := forwardRequests(world, box, testHost, testPort, func() (bool, error) { return true, nil })
			_ = world.(*net.TCPConn).CloseWrite()
			ended <- err
		}()
		return client, nil
	}}
	client := &http.Client{Transport: transport}
	do := func(method, path string, body io.Reader, fields ...string) string {
		t.Helper()
		req, err := http.NewRequest(method, "http://good.test:8080/"+path, body)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range fields {
			name, value, _ := strings.Cut(f, ": ")
			req.Header.Set(name, value)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode == http.StatusSwitchingProtocols {
			return "switched"
		}
		text, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	for range 3 {
		if got := do("GET", "empty", nil); got != "GET good.test:8080 0 true" {
			t.Errorf("GET: %s", got)
		}
		for name, body := range bodies {
			want := fmt.Sprintf("POST good.test:8080 %d true", len(body))
			if got := do("POST", name, strings.NewReader(body)); got != want {
				t.Errorf("POST of the %s body: %s", name, got)
			}
			unknown := struct{ io.Reader }{strings.NewReader(body)} // so it goes in chunks
			if got := do("POST", name, unknown, "Expect: 100-continue"); got != want {
				t.Errorf("POST of the %s body in chunks: %s", name, got)
			}
		}
	}
	if connections != 1 {
		t.Errorf("%d connections", connections)
	}
	transport.CloseIdleConnections()
	if err := <-ended; err != nil {
		t.Errorf("the connection ended with %v", err)
	}
	if got := do("GET", "empty", nil, "Connection: Upgrade", "Upgrade: websocket"); got != "switched" {
		t.Errorf("upgrade: %s", got)
	}
	if err := <-ended; err != errSwitched {
		t.Errorf("the upgraded connection: %v", err)
	}
}

// socketPair is two ends of a TCP connection.
func socketPair(t *testing.T) (a, b net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = a.Close()
		_ = b.Close()
	})
	return a, b
}
