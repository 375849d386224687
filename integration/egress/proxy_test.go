package egress

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
)

// serveProxy is an HTTP proxy that makes tunnels for whoever has the password.
// It resolves names itself: it is in the world, and not the host.
func (w *world) serveProxy(l net.Listener) { each(w.tunnel)(l) }

func (w *world) tunnel(c *recorded) {
	in := bufio.NewReader(c)
	r, err := http.ReadRequest(in)
	if err != nil || r.Method != http.MethodConnect {
		_, _ = io.WriteString(c, "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n")
		return
	}
	if r.Header.Get("Proxy-Authorization") != "Basic dXNlcjpwYXNz" { // user:pass
		_, _ = io.WriteString(c, "HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
		return
	}
	w.watch.note("connect " + r.Host)
	host, port, err := net.SplitHostPort(r.Host)
	if err != nil {
		return
	}
	if list, ok := w.zone.lookup(host, 1); ok {
		host = list[0].String()
	}
	var to net.Conn
	err = w.away(func() (err error) {
		to, err = net.Dial("tcp", net.JoinHostPort(host, port))
		return err
	})
	if err != nil {
		_, _ = io.WriteString(c, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	defer to.Close()
	// What follows the head in the same packet must not be lost.
	_, _ = io.WriteString(c, "HTTP/1.1 200 Connection established\r\nVia: test\r\n\r\n")
	var both sync.WaitGroup
	both.Go(func() {
		_, _ = io.Copy(to, in)
		_ = to.(*net.TCPConn).CloseWrite()
	})
	both.Go(func() {
		_, _ = io.Copy(struct{ io.Writer }{c}, to)
		_ = c.CloseWrite()
	})
	both.Wait()
}
