package netfilter

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// A bad chunk is found when its request has been let go, so only it and what
// follows is held back.
func TestRefuseChunks(t *testing.T) {
	const head = "POST /a HTTP/1.1\r\nHost: good.test\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, c := range []struct{ name, good, bad, reason string }{
		{"extension", "", "5;a=b\r\nhello\r\n0\r\n\r\n", `chunk size "5;"`},
		{"extension of the last", "5\r\nhello\r\n", "0;a\r\n\r\n", "chunk size"},
		{"space behind the size", "", "5 \r\nhello\r\n0\r\n\r\n", "chunk size"},
		{"space before the size", "", " 5\r\nhello\r\n0\r\n\r\n", "chunk size"},
		{"0x", "", "0x5\r\nhello\r\n0\r\n\r\n", "chunk size"},
		{"sign", "", "+5\r\nhello\r\n0\r\n\r\n", "chunk size"},
		{"negative", "", "-1\r\nhello\r\n0\r\n\r\n", "chunk size"},
		{"leading zero", "", "05\r\nhello\r\n0\r\n\r\n", "leading zero"},
		{"two zeros", "", "00\r\n\r\n", "leading zero"},
		{"underscore", "", "1_0\r\n0123456789abcdef\r\n0\r\n\r\n", "chunk size"},
		{"no size", "", "\r\nhello\r\n0\r\n\r\n", "chunk size"},
		{"no digit", "", "g\r\n", "chunk size"},
		{"16 digits", "", "1000000000000000\r\n", "chunk size"},
		{"64 bits and 5", "", "10000000000000005\r\nhello\r\n0\r\n\r\n", "chunk size"},
		{"endless size", "", strings.Repeat("1", 1<<20), "chunk size"},
		{"LF behind the size", "", "5\nhello\r\n0\r\n\r\n", "chunk size"},
		{"CR behind the size", "", "5\rXhello\r\n0\r\n\r\n", "chunk size"},
		{"NUL behind the size", "", "5\x00\r\nhello\r\n0\r\n\r\n", "chunk size"},
		{"data too long", "5\r\nhello", "!\r\n0\r\n\r\n", "does not fit"},
		{"data too short", "5\r\nhi\r\n0\r\n", "\r\n", "chunk size"},
		{"LF behind data", "5\r\nhello", "\n0\r\n\r\n", "does not fit"},
		{"CR X behind data", "5\r\nhello", "\rX0\r\n\r\n", "does not fit"},
		{"trailer", "0\r\n", "Host: evil.test\r\n\r\n", "trailer"},
		{"request for a trailer", "0\r\n", get, "trailer"},
		{"LF at the end", "0\r\n", "\n", "trailer"},
		{"CR X at the end", "0\r\n", "\rX", "trailer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, way := range ways {
				out, err := forwardAll(way.of(head+c.good+c.bad), never)
				checkRefusal(t, err, c.reason)
				if !strings.HasPrefix(out, head) || !strings.HasPrefix(head+c.good, out) {
					t.Errorf("%s: forwarded %s", way.name, excerpt(out))
				}
			}
		})
	}
}

// Whatever a request is cut off at, the error is one, and nothing is made up.
func TestForwardTruncated(t *testing.T) {
	first := post("hello") + chunked("5\r\nhello\r\n0\r\n\r\n")
	whole := first + get
	ends := map[int]bool{0: true, len(post("hello")): true, len(first): true, len(whole): true}
	for n := range len(whole) + 1 {
		for _, way := range ways {
			out, err := forwardAll(way.of(whole[:n]), never)
			if want := io.ErrUnexpectedEOF; ends[n] && err != nil || !ends[n] && err != want {
				t.Fatalf("%d bytes %s: error %v", n, way.name, err)
			}
			if !strings.HasPrefix(whole[:n], out) || ends[n] && out != whole[:n] {
				t.Fatalf("%d bytes %s: forwarded %s", n, way.name, excerpt(out))
			}
		}
	}
}

// The largest numbers are still numbers.
func TestForwardLargest(t *testing.T) {
	for _, in := range []string{postWith("Content-Length: 999999999999999") + "x", chunked("fffffffffffffff\r\nx")} {
		if out, err := forwardAll(strings.NewReader(in), never); err != io.ErrUnexpectedEOF || out != in {
			t.Errorf("forwarded %q, error %v", out, err)
		}
	}
}

func TestForwardErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, in := range []string{"", "GET /", get, get + get[:5], post("hello")[:len(post("hello"))-1], chunked("5\r\nhe")} {
		_, err := forwardAll(io.MultiReader(strings.NewReader(in), iotest.ErrReader(broken)), never)
		if err != broken {
			t.Errorf("reading after %q: %v", in, err)
		}
	}
	for _, in := range []string{get, post("hello"), chunked("5\r\nhello\r\n0\r\n\r\n"), post(strings.Repeat("x", 3*directCopy))} {
		room := 0
		err := errFull
		for ; err == errFull; room++ {
			err = forwardRequests(&full{room: room}, strings.NewReader(in), testHost, testPort, never)
		}
		if err != nil || room < 2 {
			t.Errorf("%s with room for %d writes: %v", excerpt(in), room-1, err)
		}
	}
	if _, err := forwardAll(stuck{}, never); err != io.ErrNoProgress {
		t.Errorf("a reader that returns nothing: %v", err)
	}
}

var errFull = errors.New("full")

// full takes so many writes.
type full struct{ room int }

func (f *full) Write(b []byte) (int, error) {
	if f.room--; f.room < 0 {
		return 0, errFull
	}
	return len(b), nil
}

type stuck struct{}

func (stuck) Read([]byte) (int, error) { return 0, nil }

// roomy knows the most memory that a Read was given.
type roomy struct {
	in   io.Reader
	most int
}

func (p *roomy) Read(b []byte) (int, error) {
	p.most = max(p.most, len(b))
	return p.in.Read(b)
}

func TestForwardMemory(t *testing.T) {
	const long = 4 << 20
	zeros := func(n int64) io.Reader { return io.LimitReader(&endless{"0"}, n) }
	for _, c := range []struct {
		name string
		in   io.Reader
		most int
	}{
		{"a long body", io.MultiReader(strings.NewReader(strings.Replace(post(""), "Length: 0", "Length: 4194304", 1)), zeros(long)), bodyBuffer},
		{"one long chunk", io.MultiReader(strings.NewReader(chunked("400000\r\n")), zeros(long), strings.NewReader("\r\n0\r\n\r\n")), bodyBuffer},
		{"many chunks", io.MultiReader(strings.NewReader(chunked("")), io.LimitReader(&endless{"1\r\nx\r\n"}, 3<<20), strings.NewReader("0\r\n\r\n")), bodyBuffer},
		{"small requests", strings.NewReader(strings.Repeat(get, 3)), idleBuffer},
		{"small, after a large one", io.MultiReader(strings.NewReader(headOf(maxHead)), strings.NewReader(get)), maxHead},
	} {
		src := &roomy{in: c.in}
		if err := forwardRequests(plain{io.Discard}, src, testHost, testPort, never); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if src.most > c.most {
			t.Errorf("%s: a buffer of %d bytes", c.name, src.most)
		}
	}

	s := &stream{dst: io.Discard, src: strings.NewReader(headOf(maxHead) + get)}
	for i, most := range []int{maxHead, idleBuffer} {
		head, err := s.head()
		if err != nil || cap(s.buf) > most {
			t.Errorf("head %d: a buffer of %d bytes, error %v", i, cap(s.buf), err)
		}
		if err := s.pass(len(head)); err != nil {
			t.Error(err)
		}
		s.shrink()
	}
}

// Long stretches go past the buffer, where the kernel can join two connections.
func TestForwardDirectly(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for in, want := range map[string]int{
		post(long) + get: 1,
		chunked("100000\r\n" + long + "\r\n0\r\n\r\n"):   1,
		chunked(strings.Repeat("5\r\nhello\r\n", 1<<18)): 0,
		post(long[:directCopy/2]):                        0,
	} {
		var dst direct
		_ = forwardRequests(&dst, strings.NewReader(in), testHost, testPort, never)
		if dst.calls != want || dst.String() != in {
			t.Errorf("%s: %d direct copies, %d bytes", excerpt(in), dst.calls, dst.Len())
		}
	}
}

// direct counts how often it was told to read by itself.
type direct struct {
	bytes.Buffer
	calls int
}

func (d *direct) ReadFrom(r io.Reader) (int64, error) {
	d.calls++
	return d.Buffer.ReadFrom(r)
}

// endless repeats a text.
type endless struct{ text string }

func (e *endless) Read(b []byte) (int, error) {
	n := 0
	for n < len(b) {
		n += copy(b[n:], e.text)
	}
	n -= n % len(e.text)
	return n, nil
}
