package netfilter

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
)

// What the tests let requests be for.
const (
	testHost = "good.test"
	testPort = 8080
)

// ways are the segments in which bytes may arrive.
var ways = []struct {
	name string
	of   func(string) io.Reader
}{
	{"at once", func(s string) io.Reader { return strings.NewReader(s) }},
	{"at once, with the end", func(s string) io.Reader { return iotest.DataErrReader(strings.NewReader(s)) }},
	{"byte by byte", func(s string) io.Reader { return iotest.OneByteReader(strings.NewReader(s)) }},
	{"in halves", func(s string) io.Reader { return iotest.HalfReader(strings.NewReader(s)) }},
}

// plain hides the ReadFrom of a buffer, as a connection of a test has none.
type plain struct{ io.Writer }

func forwardAll(src io.Reader, switched func() (bool, error)) (string, error) {
	var out bytes.Buffer
	err := forwardRequests(plain{&out}, src, testHost, testPort, switched)
	return out.String(), err
}

func never() (bool, error) { return false, errors.New("nobody asked for another protocol") }

const get = "GET / HTTP/1.1\r\nHost: good.test\r\n\r\n"

// post is a request with that body and its length.
func post(body string) string {
	return "POST /a HTTP/1.1\r\nHost: good.test\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

func chunked(body string) string {
	return "POST /a HTTP/1.1\r\nHost: good.test\r\nTransfer-Encoding: chunked\r\n\r\n" + body
}

// with is a GET with other field lines than Host.
func with(lines ...string) string {
	return "GET / HTTP/1.1\r\nHost: good.test\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func postWith(lines string) string {
	return "POST / HTTP/1.1\r\nHost: good.test\r\n" + lines + "\r\n\r\n"
}

func TestForwardWholeRequests(t *testing.T) {
	for _, c := range []struct{ name, in string }{
		{"nothing", ""},
		{"GET", get},
		{"two", get + get},
		{"HTTP/1.0", "GET / HTTP/1.0\r\nHost: good.test\r\n\r\n"},
		{"HTTP/1.0, keep-alive, and another", "GET / HTTP/1.0\r\nConnection: keep-alive\r\nHost: good.test\r\n\r\n" + get},
		{"port", "GET / HTTP/1.1\r\nHost: good.test:8080\r\n\r\n"},
		{"upper case", "GET / HTTP/1.1\r\nHOST: Good.TEST:8080\r\n\r\n"},
		{"trailing dot", "GET / HTTP/1.1\r\nhost: good.test.\r\n\r\n"},
		{"trailing dot and port", "GET / HTTP/1.1\r\nhost: good.test.:8080\r\n\r\n"},
		{"no space behind the colon", "GET / HTTP/1.1\r\nHost:good.test\r\n\r\n"},
		{"absolute form", "GET http://good.test/x?y HTTP/1.1\r\nHost: good.test\r\n\r\n"},
		{"absolute form, port, case", "GET HTTP://GOOD.test:8080/ HTTP/1.1\r\nHost: good.test:8080\r\n\r\n"},
		{"absolute form, no path", "GET http://good.test HTTP/1.1\r\nHost: good.test\r\n\r\n"},
		{"path of two slashes", "GET //evil.test/ HTTP/1.1\r\nHost: good.test\r\n\r\n"},
		{"query with another address", "GET /?u=http://evil.test/ HTTP/1.1\r\nHost: good.test\r\n\r\n"},
		{"options", "OPTIONS * HTTP/1.1\r\nHost: good.test\r\n\r\n"},
		{"webdav", "VERSION-CONTROL / HTTP/1.1\r\nHost: good.test\r\n\r\n"},
		{"fields of curl", with("User-Agent: curl/8.5.0", "Accept: */*")},
		{"field with tabs and empty field", with("X-A: a\tb \t", "X-B:", "X-C:  c")},
		{"every letter of a method", "ABCDEFGHIJKLMNOPQRSTUVWX / HTTP/1.1\r\nHost: good.test\r\n\r\n" + "Y-Z / HTTP/1.1\r\nHost: good.test\r\n\r\n"},
		{"every byte of a field name", with("azAZ09!#$%&'*+-.^_`|~: ~ }")},
		{"fields that begin like others", with("X-Host: evil.test", "Host2: a", "Content-Length-Hint: 5", "Transfer-Encodings: x")},
		{"keep-alive, TE", with("Connection: keep-alive, TE", "TE: trailers", "Keep-Alive: 5")},
		{"proxy connection", with("Proxy-Connection: Keep-Alive")},
		{"body", post("hello")},
		{"empty body", post("")},
		{"a body like a request", post("GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n")},
		{"body of every byte", post(allBytes())},
		{"bodies between", get + post("a") + get + post("bc") + get},
		{"GET without a body, in so many words", with("Content-Length: 0")},
		{"expect", postWith("Expect: 100-continue\r\nContent-Length: 2") + "ab"},
		{"PUT, PATCH, OPTIONS with a body", strings.ReplaceAll(post("x"), "POST", "PUT") + strings.ReplaceAll(post("x"), "POST", "PATCH") + strings.ReplaceAll(post("x"), "POST", "OPTIONS")},
		{"no chunk but the last", chunked("0\r\n\r\n")},
		{"chunks", chunked("5\r\nhello\r\nA\r\n0123456789\r\na\r\n0123456789\r\nF\r\n0123456789abcde\r\n0\r\n\r\n")},
		{"chunk like a request", chunked("23\r\nGET / HTTP/1.1\r\nHost: evil.test\r\n\r\n\r\n0\r\n\r\n") + get},
		{"chunks of every byte, then more", chunked("100\r\n"+allBytes()+"\r\n0\r\n\r\n") + get + post("x")},
		{"body of 100 KiB", post(strings.Repeat("x", 100<<10)) + get},
		{"body of directCopy", post(strings.Repeat("x", directCopy)) + get},
		{"a chunk of 100 KiB", chunked("19000\r\n"+strings.Repeat("x", 100<<10)+"\r\n0\r\n\r\n") + get},
		{"ten thousand chunks", chunked(strings.Repeat("1\r\nx\r\n", 10000)+"0\r\n\r\n") + get},
		{"a head of 64 KiB", headOf(maxHead) + get},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, way := range ways {
				out, err := forwardAll(way.of(c.in), never)
				if err != nil || out != c.in {
					t.Fatalf("%s: forwarded %s, error %v", way.name, excerpt(out), err)
				}
			}
			checkReadAlike(t, c.in)
		})
	}
}

func allBytes() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}

// headOf is a request head of n bytes.
func headOf(n int) string {
	return with("X: " + strings.Repeat("x", n-len(with("X: "))))
}

func excerpt(s string) string {
	return strconv.Quote(short(s)) + " of " + strconv.Itoa(len(s)) + " bytes"
}
