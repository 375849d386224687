package egress

import (
	"bufio"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// serveHTTP serves the site of whatever name it is called by.
func (w *world) serveHTTP(l net.Listener) { _ = w.server().Serve(l) }

// serveTLS does the same with a certificate for that name.
func (w *world) serveTLS(l net.Listener) {
	s := w.server()
	s.TLSConfig = &tls.Config{GetCertificate: w.ca.certificate, NextProtos: []string{"h2", "http/1.1"}}
	_ = s.ServeTLS(l, "", "")
}

func (w *world) server() *http.Server {
	return &http.Server{
		Handler:     http.HandlerFunc(w.site),
		IdleTimeout: time.Minute,
		ErrorLog:    log.New(io.Discard, "", 0), // attacks are not the server's errors
	}
}

// site answers with how it was called, by default.
func (w *world) site(out http.ResponseWriter, r *http.Request) {
	w.watch.said(w.watch.hear(), fmt.Appendf(nil, "%s %s %s", r.Method, r.Host, r.URL))
	scheme := "http"
	if r.TLS != nil {
		scheme = "https"
	}
	verb, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	switch verb {
	case "redirect": // to the host named in the rest
		http.Redirect(out, r, scheme+"://"+rest+"/", http.StatusFound)
	case "bytes": // as many as the rest says
		n, _ := strconv.ParseInt(rest, 10, 64)
		out.Header().Set("Content-Length", rest)
		_, _ = io.CopyN(out, zeros{}, n)
	case "drip": // chunks, one at a time
		for i := range 5 {
			fmt.Fprintf(out, "%d\n", i)
			out.(http.Flusher).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	case "sum": // of the body
		h := sha256.New()
		n, _ := io.Copy(h, r.Body)
		fmt.Fprintf(out, "%d %x\n", n, h.Sum(nil)[:8])
	case "socket":
		socket(out, r)
	case "git":
		w.git(out, r)
	default:
		fmt.Fprintf(out, "%s %s %s\n", r.Proto, scheme, r.Host)
	}
}

// socket answers as a WebSocket server does, as far as a client sees that does
// not look into frames, and then says what it hears.
func socket(out http.ResponseWriter, r *http.Request) {
	if !strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		http.Error(out, "no upgrade", http.StatusBadRequest)
		return
	}
	c, buffered, err := out.(http.Hijacker).Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n")
	_, _ = io.Copy(struct{ io.Writer }{c}, struct{ *bufio.Reader }{buffered.Reader})
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}
