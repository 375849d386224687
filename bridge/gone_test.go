package bridge

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// session of a server that answers three requests, asks something itself and
// reports progress.
var (
	asked = `{"jsonrpc":"2.0","id":"i","method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{"roots":{}}}}` + "\n" +
		`{"jsonrpc":"2.0","id":1,"method":"tools/list"}` + "\n" +
		`{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","_meta":{"progressToken":"p"}}}` + "\n"
	answered = `{"jsonrpc":"2.0","id":"i","result":{"protocolVersion":"2025-11-25","capabilities":{}}}` + "\n" +
		`{"jsonrpc":"2.0","id":1,"method":"roots/list"}` + "\n" +
		`{"result":{"tools":[]},"jsonrpc":"2.0","id":1}` + "\n" +
		`{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p","progress":1}}` + "\n" +
		`{"jsonrpc":"2.0","id":2,"result":{"content":[{"type":"text","text":"é"}]}}` + "\n"
	waiting = []string{`"i"`, "1", "2"}
)

// Whatever a server does, and at whatever byte of what it has to say, the host
// gets what was whole as it was, and one answer to each request.
func TestGoneAtEveryPoint(t *testing.T) {
	ends := map[string]func(e *ends){
		"closes stdout": func(e *ends) { e.serverOut.Close() },
		"hangs, and is killed": func(e *ends) {
			e.relay.Stop()
		},
		"ends with garbage": func(e *ends) {
			e.serverOut.WriteString("\x00\xff\n{\n")
			e.serverOut.Close()
		},
		"never ends the line": func(e *ends) {
			for {
				if _, err := e.serverOut.WriteString(strings.Repeat("x", 60)); err != nil {
					return
				}
			}
		},
		"lies": func(e *ends) {
			for range maxViolations + 2 {
				if _, err := e.serverOut.WriteString("\n" + `{"jsonrpc":"2.0","id":7,"result":{}}`); err != nil {
					return
				}
			}
		},
	}
	for how, end := range ends {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			for cut := range len(answered) + 1 {
				e := start(t, func(c *Config) { c.MaxLine = 200 })
				e.hostIn.WriteString(asked)
				reader := bufio.NewReader(e.serverIn)
				for range waiting { // so that it does not answer what it was not asked
					reader.ReadString('\n')
				}
				e.serverOut.WriteString(answered[:cut])
				whole := strings.Count(answered[:cut], "\n")
				if how == "hangs, and is killed" { // it is only then
					got := make([]byte, strings.LastIndex(answered[:cut], "\n")+1)
					if _, err := io.ReadFull(e.hostOut, got); err != nil || string(got) != answered[:len(got)] {
						t.Fatalf("cut at %d: the host got %q, %v", cut, got, err)
					}
					end(e)
					check(t, e, cut, string(got), whole)
					continue
				}
				go end(e)
				check(t, e, cut, "", whole)
			}
		})
	}
}

// check reads what the host still gets.
func check(t *testing.T, e *ends, cut int, had string, whole int) {
	t.Helper()
	rest, err := io.ReadAll(e.hostOut)
	if err != nil {
		t.Fatal(err)
	}
	e.wait(t)
	e.serverIn.Close()
	e.serverOut.Close()
	got := had + string(rest)
	want := strings.Join(strings.SplitAfterN(answered, "\n", whole+1)[:whole], "")
	if !strings.HasPrefix(got, want) {
		t.Fatalf("cut at %d: the host got %q, want first %q", cut, got, want)
	}
	if n := answers(t, got); len(n) != len(waiting) {
		t.Fatalf("cut at %d: answers %v in %q", cut, n, got)
	}
}

// answers counts the answers by id. There may be one of each.
func answers(t *testing.T, lines string) map[string]int {
	t.Helper()
	n := map[string]int{}
	for line := range strings.Lines(lines) {
		var m struct {
			ID     json.RawMessage
			Method string
		}
		if err := json.Unmarshal([]byte(line), &m); err != nil || line[len(line)-1] != '\n' {
			t.Fatalf("the host got %q: %v", line, err)
		}
		if m.Method == "" && m.ID != nil {
			if n[string(m.ID)]++; n[string(m.ID)] > 1 {
				t.Fatalf("%s has two answers in %q", m.ID, lines)
			}
		}
	}
	return n
}

// An answer of the relay's is in the place of the one that may not pass: no
// progress of a request comes behind its answer.
func TestAnswersKeepTheirPlace(t *testing.T) {
	const (
		call     = `{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"t","_meta":{"progressToken":"p"}}}` + "\n"
		progress = `{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"p","progress":1}}` + "\n"
		bad      = `{"jsonrpc":"2.0","id":2,"result":{"content":[],"content":[]}}` + "\n"
	)
	for range 10 {
		e := start(t, func(c *Config) {
			c.Observe = func(*Event) { time.Sleep(time.Millisecond) } // for the answer to overtake
		})
		e.hostIn.WriteString(call)
		io.ReadFull(e.serverIn, make([]byte, len(call)))
		e.serverOut.WriteString(strings.Repeat(progress, 20) + bad)
		e.serverOut.Close()
		got, err := io.ReadAll(e.hostOut)
		if err != nil {
			t.Fatal(err)
		}
		if rest, ok := strings.CutPrefix(string(got), strings.Repeat(progress, 20)); !ok || !strings.Contains(rest, `"error"`) {
			t.Fatalf("the host got %s", got)
		}
		e.wait(t)
		e.serverIn.Close()
	}
}

// A host that does not read does not hold up the end, and no line is cut in
// two by another.
func TestFinishDoesNotWait(t *testing.T) {
	e := start(t, func(c *Config) {})
	for i := range 100 {
		e.hostIn.WriteString(request(i, "ping"))
		io.ReadFull(e.serverIn, make([]byte, len(request(i, "ping"))))
	}
	fill(t, e.serverOut)
	began := time.Now()
	e.relay.Stop()
	e.wait(t)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

// Calls fail one by one while the server lives: the server is told, its answer
// comes to nothing, and nobody else's.
func TestFail(t *testing.T) {
	e := start(t, nil)
	e.hostIn.WriteString(request(1, "tools/call") + request(2, "tools/call"))
	server, host := bufio.NewReader(e.serverIn), bufio.NewReader(e.hostOut)
	next := func(r *bufio.Reader, want string) {
		t.Helper()
		if got, err := r.ReadString('\n'); err != nil || got != want {
			t.Fatalf("got %q, want %q, %v", got, want, err)
		}
	}
	next(server, request(1, "tools/call"))
	next(server, request(2, "tools/call"))
	if n := e.relay.Waiting(); n != 2 {
		t.Errorf("%d wait", n)
	}
	if c := e.relay.Calls(); len(c) != 2 || c[0].ID != "1" || c[1].ID != "2" || c[0].Method != "tools/call" || c[0].Exempt() || c[0].Since().IsZero() {
		t.Errorf("calls %+v", c)
	}
	late := &Error{CodeTimeout, "call_timeout", "no answer within 5m"}
	if !e.relay.Fail("1", late) || e.relay.Fail("1", late) || e.relay.Fail("3", late) || e.relay.Fail("x", late) {
		t.Error("a call fails once, if it is there")
	}
	next(host, string(late.line("1")))
	next(server, string(cancelled("1", late.Message)))
	e.serverOut.WriteString(`{"jsonrpc":"2.0","id":1,"result":{"content":[1]}}` + "\n" + `{"jsonrpc":"2.0","id":2,"result":{"content":[2]}}` + "\n")
	next(host, `{"jsonrpc":"2.0","id":2,"result":{"content":[2]}}`+"\n")
	e.serverOut.Close()
	if rest, _ := io.ReadAll(host); len(rest) > 0 {
		t.Errorf("the host still got %q", rest)
	}
	e.wait(t)
}

// Many requests, answered in any order, by a server that is killed at any time,
// between a host and a server that read slowly and in any pieces, with calls
// that fail meanwhile: each has one answer, and no line is torn.
func FuzzKilled(f *testing.F) {
	for i := range uint64(20) {
		f.Add(i)
	}
	f.Fuzz(func(t *testing.T, seed uint64) {
		rng := rand.New(rand.NewPCG(seed, 5))
		const calls = 40
		e := start(t, nil)
		stop := rng.IntN(2 * calls)
		fails := rng.IntN(calls)
		piece := 16 + rng.IntN(200)
		go func() {
			r := bufio.NewReaderSize(e.serverIn, piece)
			for i := 0; ; i++ {
				line, err := r.ReadString('\n')
				var m struct {
					ID     *int
					Method string
				}
				if err != nil || json.Unmarshal([]byte(line), &m) != nil || i == stop {
					e.serverOut.Close()
					return
				}
				if m.ID != nil {
					fmt.Fprintf(e.serverOut, `{"jsonrpc":"2.0","id":%d,"result":{"content":["%s"]}}`+"\n", *m.ID, strings.Repeat("x", *m.ID*300))
				}
			}
		}()
		go func() {
			for i := range calls {
				e.hostIn.WriteString(request(i, "tools/call"))
				if i == fails {
					e.relay.Fail(fmt.Sprint(i), errGone)
				}
			}
			e.hostIn.Close()
		}()
		var got []byte
		buf := make([]byte, 1+rng.IntN(5000))
		for {
			n, err := e.hostOut.Read(buf)
			got = append(got, buf[:n]...)
			if err != nil {
				break
			}
		}
		e.wait(t)
		e.serverIn.Close()
		n := answers(t, string(got))
		if len(n) > calls {
			t.Fatalf("%d answers", len(n))
		}
		sent := e.relay.toServer.lines.Load()
		if int64(len(n)) < sent {
			t.Fatalf("%d answers to %d requests", len(n), sent)
		}
	})
}
