package netfilter

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

// seen is what a server makes of a request.
type seen struct {
	host   string // without port
	length int    // of the body as it stands on the wire, with chunk sizes
}

// cut divides what reached an origin, the way forwardRequests does.
func cut(in string) (all []seen, err error) {
	s := &stream{src: strings.NewReader(in)}
	for {
		s.dst = io.Discard
		head, err := s.head()
		if err == io.EOF {
			return all, nil
		} else if err != nil {
			return nil, err
		}
		r, err := parseHead(head, testHost, testPort)
		if err != nil {
			return nil, err
		}
		closes := bytes.Contains(bytes.ToLower(head), []byte("close\r\n"))
		if err := s.pass(len(head)); err != nil {
			return nil, err
		}
		var body tally
		s.dst = &body
		if r.chunked {
			err = s.chunks()
		} else {
			err = s.body(r.length)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, seen{testHost, int(body)})
		if r.last && (!closes || s.noMore() != nil) {
			return nil, errors.New("the last is not the last")
		}
		if r.plain {
			return nil, errors.New("it offers HTTP/2")
		}
	}
}

type tally int

func (c *tally) Write(b []byte) (int, error) { *c += tally(len(b)); return len(b), nil }

// checkReadAlike fails if a server could divide in, which has reached it, into
// other requests than we did, or find another host.
func checkReadAlike(t *testing.T, in string) {
	t.Helper()
	want, err := cut(in)
	if err != nil {
		t.Fatalf("let through, but %v: %s", err, excerpt(in))
	}
	if err := readByHTTP(in, len(want)); err != nil {
		t.Fatalf("net/http reads it otherwise: %v", err)
	}
	for _, l := range lenients() {
		got, err := l.read(in)
		if err != nil || len(got) != len(want) {
			t.Fatalf("a server that is lenient by %s reads %d requests, we %d: %v", l.name, len(got), len(want), err)
		}
		for i := range got {
			if got[i] != want[i] {
				t.Fatalf("a server that is lenient by %s reads %+v, we %+v", l.name, got[i], want[i])
			}
		}
	}
}

// readByHTTP has net/http read n requests for the host and nothing else.
func readByHTTP(in string, n int) error {
	r := bufio.NewReader(strings.NewReader(in))
	for i := range n {
		req, err := http.ReadRequest(r)
		if err != nil {
			return err
		}
		host, _, _ := strings.Cut(req.Host, ":")
		if got, _ := wireName(host); got != testHost {
			return errors.New("request " + strconv.Itoa(i) + " is for " + req.Host)
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return err
		}
	}
	if _, err := r.ReadByte(); err != io.EOF {
		return errors.New("more than we saw")
	}
	return nil
}

func FuzzRequests(f *testing.F) {
	for _, in := range []string{
		with("Connection: TE, upgrade", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA") + get,
		strings.Replace(post("hello"), "POST", "GET", 1), strings.Replace(chunked("1\r\nx\r\n0\r\n\r\n"), "POST", "DELETE", 1) + get,
		get, get + get, post("hello") + get, chunked("5\r\nhello\r\n0\r\n\r\n") + get, websocket,
		"GET http://good.test:8080/ HTTP/1.1\r\nHost: good.test:8080\r\n\r\n",
		"OPTIONS * HTTP/1.0\r\nHost: Good.Test.\r\n\r\n",
		postWith("Content-Length: 5\r\nTransfer-Encoding: chunked") + "0\r\n\r\n",
		postWith("Expect: 100-continue\r\nConnection: close\r\nContent-Length: 2") + "ab",
		with("Host: evil.test"), with("X: a", " b"), "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		f.Add(in)
	}
	f.Fuzz(func(t *testing.T, in string) {
		out, err := forwardAll(strings.NewReader(in), func() (bool, error) { return false, nil })
		lower := strings.ToLower(in + out)
		isEdited := strings.Contains(lower, "h2c") || strings.Contains(lower, "close\r\n\r\n")
		if !isEdited && !strings.HasPrefix(in, out) {
			t.Fatalf("forwarded what was not sent: %s", excerpt(out))
		}
		var r *refusal
		if errors.As(err, &r) {
			checkRefusal(t, err, r.reason)
		} else if err != nil && err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
		slow, slowErr := forwardAll(ways[2].of(in), func() (bool, error) { return false, nil })
		if err == nil != (slowErr == nil) || err == nil && slow != out {
			t.Fatalf("byte by byte: %s, %v; at once: %s, %v", excerpt(slow), slowErr, excerpt(out), err)
		}
		if err == nil {
			checkReadAlike(t, out)
		}
	})
}
