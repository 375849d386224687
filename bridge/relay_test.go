package bridge

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
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
		e.relay.Finish(errGone, time.Second)
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

var errGone = &Error{CodeEnded, "ended", "the server has gone"}

// note is a line with a message that may go either way.
func note(text string) string {
	return `{"jsonrpc":"2.0","method":"notifications/test","params":{"text":` + string(quote(text)) + "}}\n"
}

func request(id int, method string) string {
	return fmt.Sprintf(`{"jsonrpc":"2.0","id":%d,"method":%q,"params":{}}`+"\n", id, method)
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

// FuzzChunks: what comes out does not depend on the pieces in which it came in,
// and is whole lines of what came in, in order and byte for byte.
func FuzzChunks(f *testing.F) {
	var table []byte
	for _, h := range hostileLines(f) {
		table = append(append(table, h.line...), '\n')
	}
	f.Add(table, table, uint64(7))
	for _, s := range []string{
		"", "\n", "\n\n\r\n", request(1, "ping"), "no line feed", note("a") + "b",
		"\xff\xfe\x00\n\x1b]0;t\x07\n", strings.Repeat("x", 200) + "\n" + strings.Repeat("y", 90) + "\n\u2028",
	} {
		f.Add([]byte(s), []byte(note("answer")+s), uint64(len(s)))
	}
	f.Fuzz(func(t *testing.T, in, out []byte, seed uint64) {
		whole, pieces := New(Config{}), New(Config{})
		toServer, toHost := &sink{}, &sink{}
		pieces.serverIn.dst, pieces.hostOut.dst = toServer, toHost
		for _, side := range []struct {
			data      []byte
			got       *sink
			one, many *pump
		}{
			{in, toServer, &whole.toServer, &pieces.toServer},
			{out, toHost, &whole.toHost, &pieces.toHost},
		} {
			side.many.src = &chunks{side.data, rand.New(rand.NewPCG(seed, 1))}
			if err := side.many.run(); err != nil && side.many.fatal == nil {
				t.Fatal(err)
			}
			side.one.scan, side.one.array = newScanner(), newScanner()
			var want []byte
			lines := 0
			for line := range bytes.Lines(side.data) {
				if text, ok := bytes.CutSuffix(line, []byte("\n")); ok && side.one.fatal == nil {
					before := bytes.Clone(text)
					if kept := side.one.pass(text); kept != nil {
						want = append(append(want, kept...), '\n')
						lines++
					}
					if !bytes.Equal(text, before) {
						t.Fatalf("%q was changed to %q", before, text)
					}
				}
			}
			if !bytes.Equal(side.got.Bytes(), want) {
				t.Fatalf("%q gave %q, want %q", side.data, side.got, want)
			}
			if n := side.many.count(); n.Bytes != int64(len(want)) || n.Lines != int64(lines) {
				t.Fatalf("counts %+v of %q", n, want)
			}
		}
	})
}

// FuzzExact: what is in order comes out as it went in, both ways, whatever the
// text and the pieces that it arrives in.
func FuzzExact(f *testing.F) {
	f.Add("hello\nworld", uint64(1))
	f.Add("\u2028\x00\\\"\xff\U0001f600", uint64(2))
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 3))
		var data []byte
		for part := range strings.SplitSeq(text, "\n") {
			line := note(part)
			switch rng.IntN(4) {
			case 0:
				line = strings.TrimSuffix(line, "\n") + "\r\n"
			case 1:
				line = " \t" + strings.ReplaceAll(line, `{"text":`, ` { "text"	: `)
			}
			data = append(data, line...)
		}
		for _, inspectors := range [][]Inspector{nil, {&refuser{}}} {
			toServer, toHost := &sink{}, &sink{}
			r := New(Config{HostIn: &chunks{data, rng}, ServerOut: &chunks{data, rng}, ServerIn: toServer, HostOut: toHost, Inspectors: inspectors})
			if err := errors.Join(r.toServer.run(), r.toHost.run()); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(toServer.Bytes(), data) || !bytes.Equal(toHost.Bytes(), data) {
				t.Fatalf("%q gave %q and %q", data, toServer, toHost)
			}
		}
	})
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
		data = append(data, note(string(line))...)
	}

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
	want := Count{Bytes: int64(len(data)), Lines: 3000}
	if s, h := e.relay.Counts(); s != want || h != want {
		t.Errorf("counts %+v and %+v, want %+v", s, h, want)
	}
}

// sized is a note whose line has size bytes without its line feed.
func sized(size int) string {
	return note(strings.Repeat("z", size-len(note(""))+1))
}

// A line of exactly the limit passes, one byte more does not, either way and
// with small and large limits; the lines around it are delivered, and nothing
// of it.
func TestLineLimit(t *testing.T) {
	for _, limit := range []int{100, baseBuffer - 1, baseBuffer, baseBuffer + 1, DefaultMaxLine} {
		for _, d := range []Direction{ToServer, ToHost} {
			for name, tail := range map[string]string{
				"with line feed":    sized(limit+1) + note("a"),
				"twice as long":     sized(2*limit) + note("a"),
				"without line feed": strings.TrimSuffix(sized(limit+1), "\n"),
			} {
				good := note("a") + sized(limit)
				out := &sink{}
				var src io.Reader = io.MultiReader(strings.NewReader(good), strings.NewReader(tail))
				var long []Event
				cfg := Config{HostIn: src, ServerOut: src, ServerIn: out, HostOut: out, MaxLine: limit, Observe: func(e *Event) {
					if e.Outcome != Passed {
						long = append(long, *e)
					}
				}}
				r := New(cfg)
				p := map[Direction]*pump{ToServer: &r.toServer, ToHost: &r.toHost}[d]
				if err := p.run(); err != nil {
					t.Errorf("limit %d, %s, %s: error %v", limit, d, name, err)
				}
				if strings.HasSuffix(tail, "\n") {
					good += note("a")
				}
				if out.String() != good {
					t.Errorf("limit %d, %s, %s: %d bytes delivered, want %d", limit, d, name, out.Len(), len(good))
				}
				if len(long) != 1 || long[0].Outcome != Malformed || long[0].Rule != ruleLength && long[0].Rule != rulePartial || long[0].Size <= limit {
					t.Errorf("limit %d, %s, %s: events %+v", limit, d, name, long)
				}
			}
		}
	}
}

// Who waits for a line that is too long is told, wherever in it the id is.
func TestLongLineIsAnswered(t *testing.T) {
	long := strings.Repeat("x", 300<<10)
	for name, c := range map[string]struct{ host, server, want string }{
		"request":           {`{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"` + long + `"}}` + "\n", "", "5:-32600"},
		"request, id last":  {`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"` + long + `"},"id":5}` + "\n", "", "5:-32600"},
		"response":          {request(1, "tools/call"), `{"jsonrpc":"2.0","id":1,"result":{"content":["` + long + `"]}}` + "\n", "1:-31002"},
		"response, id last": {request(1, "tools/call"), `{"result":{"content":["` + long + `"],"id":7},"jsonrpc":"2.0","id":1}` + "\n", "1:-31002"},
		"cut off":           {request(1, "tools/call"), `{"jsonrpc":"2.0","id":1,"result":{"content":["` + long, "1:-31002"},
	} {
		r := New(Config{HostIn: strings.NewReader(c.host), ServerOut: strings.NewReader(c.server), ServerIn: &sink{}, HostOut: &sink{}, MaxLine: 128 << 10})
		if err := errors.Join(r.toServer.run(), r.toHost.run()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := errorsOf(t, r.hostOut); got != c.want {
			t.Errorf("%s: the host gets %s, want %s", name, got, c.want)
		}
	}
}

// A long line leaves no long buffer behind, and a small buffer is not made
// before there is something to hold.
func TestBufferShrinks(t *testing.T) {
	for _, size := range []int{100 << 10, 2 << 20, 16 << 20} {
		line, small := sized(size), note("small")
		tail := 2 * len(small)
		data := append([]byte(line), strings.Repeat(small, 2)...)
		largest, after := 0, 0
		p := &New(Config{HostOut: io.Discard}).toHost
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
				n = len(small)
			}
			n = copy(b, data[:n])
			data = data[n:]
			return n, nil
		})
		if err := p.run(); err != nil {
			t.Fatal(err)
		}
		if largest < size {
			t.Errorf("line of %d: buffer was never larger than %d", size, largest)
		}
		if largest > max(size*growth, baseBuffer)+1 || largest > DefaultMaxLine+1 {
			t.Errorf("line of %d: buffer grew to %d", size, largest)
		}
		if after != baseBuffer {
			t.Errorf("line of %d: buffer is %d afterwards, want %d", size, after, baseBuffer)
		}
		for began := time.Now(); p.spare.Load() != nil; time.Sleep(idle / 10) {
			if time.Since(began) > time.Minute {
				t.Fatalf("line of %d: the large buffer stays", size)
			}
		}
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// refuser refuses lines with a word.
type refuser struct{ word string }

func (r *refuser) Inspect(m *Message) error {
	if r.word != "" && bytes.Contains(m.Line, []byte(r.word)) {
		return errors.New("not this one")
	}
	return nil
}

func TestInspectorRefuses(t *testing.T) {
	e := start(t, func(c *Config) { c.Inspectors = []Inspector{&refuser{"secret"}} })
	e.hostIn.WriteString(note("one") + note("a secret") + request(1, "secret") + request(2, "tools/call") + note("two"))
	e.hostIn.Close()
	if got, _ := io.ReadAll(e.serverIn); string(got) != note("one")+request(2, "tools/call")+note("two") {
		t.Errorf("the server got %q", got)
	}
	e.serverOut.WriteString(`{"jsonrpc":"2.0","id":2,"result":{"content":["secret"]}}` + "\n")
	e.serverOut.Close()
	want := ""
	for _, id := range []string{"1", "2"} {
		want += string((&Error{CodeRefused, ruleInspector, "not this one"}).line(id))
	}
	if got, _ := io.ReadAll(e.hostOut); string(got) != want {
		t.Errorf("the host got %q, want %q", got, want)
	}
	if err := e.wait(t); err != nil {
		t.Error(err)
	}
}
