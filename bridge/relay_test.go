package bridge

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
)

// ends holds the ends of a relay over pipes of the kernel, as the host and the
// server see them.
type ends struct {
	relay               *Relay
	hostIn, serverOut   *os.File // to write to
	hostOut, serverIn   *os.File // to read from
	relayIn, relayHostO *os.File
	result              chan error
}

func start(t testing.TB, change func(*Config)) *ends {
	t.Helper()
	pipe := func() (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		return r, w
	}
	e := &ends{result: make(chan error, 1)}
	var serverInW, serverOutR *os.File
	e.relayIn, e.hostIn = pipe()
	e.serverIn, serverInW = pipe()
	serverOutR, e.serverOut = pipe()
	e.hostOut, e.relayHostO = pipe()
	cfg := Config{HostIn: e.relayIn, HostOut: e.relayHostO, ServerIn: serverInW, ServerOut: serverOutR}
	if change != nil {
		change(&cfg)
	}
	e.relay = New(cfg)
	go func() {
		err := e.relay.Run()
		e.relayHostO.Close() // as the launcher's exit does
		e.result <- err
	}()
	return e
}

// wait ends the test if the relay does not end: nothing here takes a minute.
func (e *ends) wait(t testing.TB) error {
	t.Helper()
	select {
	case err := <-e.result:
		return err
	case <-time.After(time.Minute):
		t.Fatal("the relay did not end")
		return nil
	}
}

func (e *ends) waitHostClosed(t testing.TB) {
	t.Helper()
	select {
	case <-e.relay.HostClosed():
	case <-time.After(time.Minute):
		t.Fatal("the end of the host's input was not announced")
	}
}

// recorder keeps what passes; it lets everything through but lines with a word.
type recorder struct {
	mu     sync.Mutex
	seen   map[Direction][]byte
	refuse string
}

var errRefused = errors.New("not this one")

func (r *recorder) Inspect(m *Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != "" && bytes.Contains(m.Line, []byte(r.refuse)) {
		return errRefused
	}
	if r.seen == nil {
		r.seen = map[Direction][]byte{}
	}
	r.seen[m.Direction] = append(r.seen[m.Direction], m.Line...)
	if !m.Partial {
		r.seen[m.Direction] = append(r.seen[m.Direction], '\n')
	}
	return nil
}

// chunks reads data in pieces of pseudo-random size, with empty reads between.
type chunks struct {
	data []byte
	rng  *rand.Rand
}

func (c *chunks) Read(p []byte) (int, error) {
	n := min(c.rng.IntN(40), len(p), len(c.data))
	copy(p, c.data[:n])
	c.data = c.data[n:]
	if len(c.data) == 0 && c.rng.IntN(2) == 0 {
		return n, io.EOF // with or after the last bytes: io.Reader allows both
	}
	if n == 0 && len(c.data) == 0 {
		return 0, io.EOF
	}
	return n, nil
}

type sink struct{ bytes.Buffer }

func (*sink) Close() error { return nil }

// FuzzExact: what goes in comes out, both ways, whatever the bytes, the pieces
// they arrive in, and whether an inspector looks.
func FuzzExact(f *testing.F) {
	for _, s := range []string{
		"", "\n", "\n\n\r\n", `{"jsonrpc":"2.0","id":1,"method":"ping"}` + "\n", "no line feed", "a\nb",
		"\xff\xfe\x00\n\x1b]0;t\x07\n", strings.Repeat("x", 200) + "\n" + strings.Repeat("y", 90) + "\n\u2028",
	} {
		f.Add([]byte(s), []byte("answer\n"+s), uint64(len(s)))
	}
	f.Fuzz(func(t *testing.T, in, out []byte, seed uint64) {
		for _, inspect := range []bool{false, true} {
			rec := &recorder{}
			cfg := Config{
				HostIn:    &chunks{in, rand.New(rand.NewPCG(seed, 1))},
				ServerOut: &chunks{out, rand.New(rand.NewPCG(seed, 2))},
				MaxLine:   max(len(in), len(out), 1),
			}
			if inspect {
				cfg.Inspectors = []Inspector{rec}
			}
			toServer, toHost := &sink{}, &sink{}
			cfg.ServerIn, cfg.HostOut = toServer, toHost
			r := New(cfg)
			if err := r.toServer.run(); err != nil {
				t.Fatal(err)
			}
			if err := r.toHost.run(); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(toServer.Bytes(), in) || !bytes.Equal(toHost.Bytes(), out) {
				t.Fatalf("in %q gave %q, out %q gave %q", in, toServer, out, toHost)
			}
			if inspect && (!bytes.Equal(rec.seen[ToServer], in) || !bytes.Equal(rec.seen[ToHost], out)) {
				t.Fatalf("the inspector saw %q of %q", rec.seen, in)
			}
			s, h := r.Counts()
			if s != counted(in) || h != counted(out) {
				t.Fatalf("counts %+v of %q, %+v of %q", s, in, h, out)
			}
		}
	})
}

func counted(b []byte) Count {
	n := bytes.Count(b, []byte{'\n'})
	if len(b) > 0 && b[len(b)-1] != '\n' {
		n++
	}
	return Count{Bytes: int64(len(b)), Lines: int64(n)}
}

// The whole relay over pipes: many lines of every size, with readers that take
// a few bytes at a time, and an end in order.
func TestRelayOverPipes(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	var data []byte
	for range 3000 {
		size := rng.IntN(80)
		if rng.IntN(300) == 0 {
			size = rng.IntN(300 << 10)
		}
		line := make([]byte, size)
		for i := range line {
			line[i] = byte(' ' + rng.IntN(90))
		}
		data = append(append(data, line...), '\n')
	}
	data = append(data, "the last one has no line feed"...)

	e := start(t, nil)
	go func() { // a server that echoes through a small buffer until it has all
		_, err := io.CopyBuffer(struct{ io.Writer }{e.serverOut}, struct{ io.Reader }{e.serverIn}, make([]byte, 1000))
		if err != nil {
			t.Error(err)
		}
		e.serverOut.Close()
	}()
	go func() {
		for b := data; len(b) > 0; {
			n := min(1+rng.IntN(5000), len(b))
			if _, err := e.hostIn.Write(b[:n]); err != nil {
				t.Error(err)
				return
			}
			b = b[n:]
		}
		e.hostIn.Close()
	}()
	got, err := io.ReadAll(bufio.NewReaderSize(e.hostOut, 16))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, data) {
		t.Fatalf("got %d bytes that differ from the %d sent", len(got), len(data))
	}
	if err := e.wait(t); err != nil {
		t.Fatal(err)
	}
	e.waitHostClosed(t)
	if s, h := e.relay.Counts(); s != counted(data) || h != counted(data) {
		t.Errorf("counts %+v and %+v, want %+v", s, h, counted(data))
	}
}

// A line of exactly the limit passes, one byte more does not, either way and
// with small and large limits; the lines before it are delivered, and nothing
// of it.
func TestLineLimit(t *testing.T) {
	for _, limit := range []int{1, 100, baseBuffer - 1, baseBuffer, baseBuffer + 1, DefaultMaxLine} {
		for _, d := range []Direction{ToServer, ToHost} {
			whole := append(bytes.Repeat([]byte("z"), limit), '\n')
			good := append([]byte("a\n"), whole...)
			for name, tail := range map[string][]byte{
				"with line feed":    append(bytes.Repeat([]byte("x"), limit+1), '\n'),
				"without line feed": bytes.Repeat([]byte("x"), limit+1),
			} {
				out := &sink{}
				var src io.Reader = io.MultiReader(bytes.NewReader(good), bytes.NewReader(tail))
				cfg := Config{HostIn: src, ServerOut: src, ServerIn: out, HostOut: out, MaxLine: limit}
				r := New(cfg)
				p := map[Direction]*pump{ToServer: &r.toServer, ToHost: &r.toHost}[d]
				var tooLong *LineTooLongError
				if err := p.run(); !errors.As(err, &tooLong) || tooLong.Direction != d || tooLong.Limit != limit {
					t.Errorf("limit %d, %s, %s: error %v", limit, d, name, err)
				}
				if !bytes.Equal(out.Bytes(), good) {
					t.Errorf("limit %d, %s, %s: %d bytes delivered, want %d", limit, d, name, out.Len(), len(good))
				}
			}
		}
	}
	if got, want := (&LineTooLongError{ToHost, 16}).Error(), "relay server to host: line exceeds 16 bytes"; got != want {
		t.Errorf("error reads %q, want %q", got, want)
	}
}

// A long line leaves no long buffer behind, and a small buffer is not made
// before there is something to hold.
func TestBufferShrinks(t *testing.T) {
	for _, size := range []int{100 << 10, 2 << 20, 16 << 20} {
		line := append(bytes.Repeat([]byte("q"), size), '\n')
		const tail = (calm + 2) * len("small\n")
		data := append(bytes.Clone(line), bytes.Repeat([]byte("small\n"), calm+2)...)
		largest, after := 0, 0
		p := pump{dir: ToHost, max: DefaultMaxLine, ended: &New(Config{}).ended}
		p.src = readFunc(func(b []byte) (int, error) {
			largest = max(largest, cap(p.buf))
			after = cap(p.buf)
			if len(data) == 0 {
				return 0, io.EOF
			}
			n := len(data)
			if n > tail { // the long line in pieces of a pipe, then line by line
				n = min(n-tail, baseBuffer)
			} else {
				n = len("small\n")
			}
			n = copy(b, data[:n])
			data = data[n:]
			return n, nil
		})
		p.dst = io.Discard
		if err := p.run(); err != nil {
			t.Fatal(err)
		}
		if largest <= size {
			t.Errorf("line of %d: buffer was never larger than %d", size, largest)
		}
		if largest > max(size*growth, baseBuffer)+1 || largest > DefaultMaxLine+1 {
			t.Errorf("line of %d: buffer grew to %d", size, largest)
		}
		if after != baseBuffer {
			t.Errorf("line of %d: buffer is %d afterwards, want %d", size, after, baseBuffer)
		}
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func TestInspectorRefuses(t *testing.T) {
	for _, d := range []Direction{ToServer, ToHost} {
		rec := &recorder{refuse: "secret"}
		e := start(t, func(c *Config) { c.Inspectors = []Inspector{rec} })
		in, out := e.hostIn, e.serverIn
		if d == ToHost {
			in, out = e.serverOut, e.hostOut
		}
		if _, err := in.WriteString("one\ntwo\na secret one\nthree\n"); err != nil {
			t.Fatal(err)
		}
		err := e.wait(t)
		var refused *InspectError
		if !errors.As(err, &refused) || refused.Direction != d || !errors.Is(err, errRefused) {
			t.Fatalf("%s: error %v", d, err)
		}
		got, err := io.ReadAll(out)
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != "one\ntwo\n" {
			t.Errorf("%s: delivered %q", d, got)
		}
	}
}
