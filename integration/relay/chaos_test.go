package relay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"
)

// asked is a session, in which the host waits only for the answer to initialize.
// The server answers the calls after the ping.
var asked = []string{
	`{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"h","version":"1"}}}`,
	`{"jsonrpc":"2.0","method":"notifications/initialized"}`,
	`{"jsonrpc":"2.0","id":"two","method":"tools/list"}`,
	`{"jsonrpc":"2.0","id":3,"method":"tools/call","params":{"name":"t","arguments":{"n":1}}}`,
	`{"jsonrpc":"2.0","id":4,"method":"tools/call","params":{"name":"t","arguments":{"n":2}}}`,
	`{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":"t","arguments":{"n":3}}}`,
	`{"jsonrpc":"2.0","id":6,"method":"ping"}`,
}

// A server that dies, hangs, floods, lies or stops within a line, after any of
// the host's messages: each request is answered once, nothing else comes than
// messages, and all ends when the host ends it.
func TestChaos(t *testing.T) { chaos(t, boxed, 1) }

// chaos makes the session for each fault, after every one of the host's messages, or
// after fewer of them.
func chaos(t *testing.T, w way, step int) {
	for _, fault := range []struct {
		name     string
		harmless bool // every request gets its result all the same
	}{
		{"exits", false}, {"is killed", false}, {"hangs", false},
		{"closes its output", false}, {"closes its input", false}, {"closes both", false},
		{"floods with messages", false}, {"floods with noise", false}, {"floods without line", false}, {"floods with requests", false},
		{"exits within a line", false}, {"hangs within a line", false},
		{"makes noise", true}, {"forges answers", true}, {"answers twice", true}, {"fills its stderr", true},
	} {
		for number := 0; number < len(asked); number += step {
			t.Run(fmt.Sprintf("%s after message %d", fault.name, number+1), func(t *testing.T) {
				t.Parallel()
				results, wrong := endure(t, w, fault.name, number+1, fault.harmless)
				for _, w := range wrong {
					t.Error(w)
				}
				if fault.harmless && results != 6 {
					t.Errorf("%d requests got a result, want all 6", results)
				}
			})
		}
	}
}

// Without the relay the same servers leave requests without an answer, answer
// twice, or make noise where hosts expect messages.
func TestChaosBare(t *testing.T) {
	for _, fault := range []string{"exits", "closes its output", "exits within a line", "makes noise", "answers twice", "forges answers"} {
		t.Run(fault, func(t *testing.T) {
			t.Parallel()
			if _, wrong := endure(t, bare, fault, 7, false); len(wrong) == 0 {
				t.Error("nothing went wrong: the fault does nothing")
			}
		})
	}
}

// endure has a session with a server of chaos, and returns how many requests got
// a result, and what was wrong. The host ends it when all have been answered, or
// soon, unless it is patient.
func endure(t *testing.T, w way, fault string, number int, patient bool) (results int, wrong []string) {
	t.Helper()
	s := peer(t, "chaos", fault, fmt.Sprint(number))
	s.untapped = true
	r := w.command(t, s)
	in, err := r.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	hung := time.AfterFunc(patience, func() { _ = r.cmd.Process.Kill() })
	began := time.Now()
	all := make(chan struct{})
	go func() {
		for _, line := range asked {
			if _, err := io.WriteString(in, line+"\n"); err != nil {
				break
			}
		}
		soon := 200 * time.Millisecond // for what the server does by itself
		if patient {
			soon = patience / 2
		}
		select {
		case <-all:
		case <-time.After(soon):
		}
		in.Close()
		if !w.boxed {
			time.Sleep(time.Second)
			_ = r.cmd.Process.Kill()
		}
	}()
	answers, wrong := listen(out, all)
	_ = r.cmd.Wait() // the status is the server's
	if !hung.Stop() {
		wrong = append(wrong, "it did not end")
	}
	if took := time.Since(began); took > 30*time.Second {
		wrong = append(wrong, fmt.Sprintf("it took %v", took))
	}
	for _, line := range asked {
		var m message
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatal(err)
		}
		if !m.isRequest() {
			continue
		}
		switch got := answers[string(m.ID)]; {
		case len(got) != 1:
			wrong = append(wrong, fmt.Sprintf("request %s has %d answers: %q", m.ID, len(got), got))
		case !strings.Contains(got[0], `"error"`):
			results++
		}
		delete(answers, string(m.ID))
	}
	for id, got := range answers {
		wrong = append(wrong, fmt.Sprintf("nobody asked %s: %q", id, got))
	}
	if len(wrong) > 0 {
		wrong = append(wrong, "stderr ends: "+string(r.stderr.Bytes()[max(0, r.stderr.Len()-1000):]))
	}
	return results, wrong
}

// listen reads to the end, and returns the answers by id, and lines that are no
// messages. It closes all when there have been as many answers as requests.
func listen(out io.Reader, all chan struct{}) (answers map[string][]string, wrong []string) {
	answers = map[string][]string{}
	count := 0
	in := bufio.NewReaderSize(out, 1<<20)
	for {
		line, err := in.ReadBytes('\n')
		var m message
		switch {
		case err != nil && len(line) > 0:
			wrong = append(wrong, fmt.Sprintf("half a line at the end: %.100q", line))
		case err != nil:
		case json.Unmarshal(line, &m) != nil || !bytes.Contains(line, []byte(`"jsonrpc":"2.0"`)):
			if len(wrong) < 10 {
				wrong = append(wrong, fmt.Sprintf("no message: %.100q", line))
			}
		case m.Method == "":
			answers[string(m.ID)] = append(answers[string(m.ID)], string(line))
			if count++; count == 6 {
				close(all)
			}
		}
		if err != nil {
			return answers, wrong
		}
	}
}
