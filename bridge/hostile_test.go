package bridge

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
)

// hostile is a case of testdata/hostile.txt, which says what the fields are.
type hostile struct {
	number                          int
	who, outcome, rule, back, other string
	line                            string
}

func hostileLines(t testing.TB) []hostile {
	t.Helper()
	text, err := os.ReadFile("testdata/hostile.txt")
	if err != nil {
		t.Fatal(err)
	}
	var all []hostile
	for i, row := range strings.Split(string(text), "\n") {
		if row == "" || row[0] == '#' {
			continue
		}
		h := hostile{number: i + 1}
		for _, field := range []*string{&h.who, &h.outcome, &h.rule, &h.back, &h.other} {
			*field, row, _ = strings.Cut(row, " ")
			row = strings.TrimLeft(row, " ")
		}
		if h.line, err = strconv.Unquote(row); err != nil {
			t.Fatalf("hostile.txt:%d: %s: %v", h.number, row, err)
		}
		all = append(all, h)
	}
	if len(all) < 120 {
		t.Fatalf("only %d cases", len(all))
	}
	return all
}

// judged is a relay in the middle of a conversation, whose pumps do not run.
type judged struct {
	*Relay
	t      testing.TB
	events []Event
}

// conversation brings a relay to where hostile.txt says that its sessions are.
func conversation(t testing.TB, era string) *judged {
	j := &judged{t: t}
	j.Relay = New(Config{ServerIn: &sink{}, HostOut: &sink{}, Observe: func(e *Event) {
		now := *e
		now.Line = bytes.Clone(e.Line)
		j.events = append(j.events, now)
	}})
	for _, p := range []*pump{&j.toServer, &j.toHost} {
		p.scan, p.array = newScanner(), newScanner()
	}
	modern := ""
	switch era {
	case "26":
		modern = `,"_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{"roots":{}}}`
		j.passes(&j.toServer, `{"jsonrpc":"2.0","id":4,"method":"subscriptions/listen","params":{"notifications":{}`+modern+`}}`)
	default:
		version := map[string]string{"": "2025-11-25", "03": "2025-03-26"}[era]
		j.passes(&j.toServer, `{"jsonrpc":"2.0","id":"init","method":"initialize","params":{"protocolVersion":"`+version+`","capabilities":{"roots":{},"sampling":{},"elicitation":null}}}`)
		j.passes(&j.toHost, `{"jsonrpc":"2.0","id":"init","result":{"protocolVersion":"`+version+`","capabilities":{}}}`)
		j.passes(&j.toHost, `{"jsonrpc":"2.0","id":81,"method":"roots/list"}`)
		j.passes(&j.toServer, `{"jsonrpc":"2.0","id":81,"result":{"roots":[]}}`)
		j.passes(&j.toHost, `{"jsonrpc":"2.0","id":1,"method":"roots/list"}`)
	}
	if modern == "" {
		modern = `,"_meta":{"progressToken":"p"}`
	}
	for _, line := range []string{
		`{"jsonrpc":"2.0","id":90,"method":"tools/call","params":{"name":"t"}}`,
		`{"jsonrpc":"2.0","id":91,"method":"tools/call","params":{"name":"t"}}`,
		`{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":91}}`,
		`{"jsonrpc":"2.0","id":92,"method":"tools/call","params":{"name":"t"}}`,
		`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"t"` + modern + `}}`,
		`{"jsonrpc":"2.0","id":2,"method":"tools/list"}`,
		`{"jsonrpc":"2.0","id":"s","method":"ping"}`,
		`{"jsonrpc":"2.0","id":9007199254740991,"method":"ping"}`,
	} {
		j.passes(&j.toServer, line)
	}
	j.passes(&j.toHost, `{"jsonrpc":"2.0","id":90,"result":{"task":{"taskId":"known","status":"working"}}}`)
	if !j.Fail("92", errGone) {
		t.Fatal("the call is not there")
	}
	j.hostOut.queue, j.serverIn.queue, j.events = nil, nil, nil
	return j
}

func (j *judged) passes(p *pump, line string) {
	j.t.Helper()
	if out := p.pass([]byte(line)); string(out) != line {
		j.t.Fatalf("%s became %q", line, out)
	}
}

// errorsOf lists what an outlet would send, as hostile.txt writes it.
func errorsOf(t testing.TB, o *outlet) string {
	t.Helper()
	var list []string
	for line := range bytes.Lines(o.queue) {
		var m struct {
			JSONRPC string `json:"jsonrpc"`
			ID      json.RawMessage
			Error   struct {
				Code    int
				Message string
				Data    struct{ Mcpbox struct{ Rule string } }
			}
		}
		if err := json.Unmarshal(line, &m); err != nil || m.JSONRPC != "2.0" || m.Error.Message == "" || m.Error.Data.Mcpbox.Rule == "" {
			t.Errorf("sent %q: %v", line, err)
		}
		list = append(list, fmt.Sprintf("%s:%d", m.ID, m.Error.Code))
	}
	if len(list) == 0 {
		return "-"
	}
	return strings.Join(list, ",")
}

func TestHostile(t *testing.T) {
	for _, h := range hostileLines(t) {
		t.Run(strconv.Itoa(h.number), func(t *testing.T) {
			j := conversation(t, strings.TrimLeft(h.who, "hosterv"))
			p, back, other := &j.toServer, j.hostOut, j.serverIn
			if strings.HasPrefix(h.who, "server") {
				p, back, other = &j.toHost, j.serverIn, j.hostOut
			}
			line := []byte(h.line)
			out := p.pass(line)
			if string(line) != h.line {
				t.Fatalf("the line was changed to %q", line)
			}
			if got := errorsOf(t, back); got != h.back {
				t.Errorf("the sender gets %s, want %s", got, h.back)
			}
			got := errorsOf(t, other)
			switch {
			case string(out) == h.line && h.line != "":
				got = "line"
			case out != nil:
				got = "part"
				if f := newScanner().finishArray(out); f != nil || len(out) >= len(line) {
					t.Errorf("forwarded %q: %v", out, f)
				}
			}
			if got != h.other {
				t.Errorf("the other side gets %s, want %s", got, h.other)
			}
			// Of a batch, the worst.
			e := Event{Outcome: "blank"}
			for i, one := range j.events {
				if i == 0 || e.Rule == "" {
					e = one
				}
			}
			if e.Rule == "" {
				e.Rule = "-"
			}
			if string(e.Outcome) != h.outcome || e.Rule != h.rule {
				t.Errorf("%s by rule %s (%s), want %s by %s", e.Outcome, e.Rule, e.Detail, h.outcome, h.rule)
			}
		})
	}
}

func (s *scanner) finishArray(line []byte) *fault {
	_, f := s.array(line, true)
	return f
}
