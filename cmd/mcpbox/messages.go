package main

import (
	"bytes"
	"fmt"
	"sync/atomic"

	"github.com/mcpbox/mcpbox/bridge"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
)

// A server can send any number of lines that do not pass. The journal has all of
// them; stderr says the first of each run, and then how many more there were.
const (
	troubleSaid   = 10
	troubleQueued = 64
)

// messages records what goes between host and server, and says what did not
// pass.
type messages struct {
	journal *journal.Journal
	console console
	name    string

	requests *atomic.Int64 // of the host, that have passed

	// The relay does not wait for a stderr that nobody reads.
	queue      chan string
	stop, done chan struct{}
	unsaid     atomic.Int64
	received   atomic.Int64 // from the server, whatever became of it
}

func newMessages(j *journal.Journal, c console, name string, requests *atomic.Int64) *messages {
	m := &messages{
		journal: j, console: c, name: name, requests: requests,
		queue: make(chan string, troubleQueued), stop: make(chan struct{}), done: make(chan struct{}),
	}
	go m.run()
	return m
}

// observe is the relay's observer. A journal that cannot be written ends the
// run, or does not, as the policy says, by its own way.
func (m *messages) observe(e *bridge.Event) {
	r := journal.Message{
		Direction: journal.ToServer, Kind: journal.Noise, Method: e.Method, Tool: e.Tool, RPCID: e.ID, Call: e.Call,
		Size: int64(e.Size) + 1, Duration: e.Duration, Reason: e.Detail,
	}
	if e.Direction == bridge.ToHost {
		r.Direction = journal.ToHost
		if e.Outcome != bridge.GivenUp {
			m.received.Add(1)
		}
	}
	switch e.Kind {
	case bridge.Request:
		r.Kind = journal.Request
	case bridge.Notification:
		r.Kind = journal.Notification
	case bridge.Response:
		r.Kind = journal.Answer
	}
	trouble := ""
	switch e.Outcome {
	case bridge.Passed:
		if e.Kind == bridge.Request && e.Direction != bridge.ToHost {
			m.requests.Add(1)
		}
	case bridge.Answered:
		if r.Outcome = journal.OK; e.ToolError {
			r.Outcome = journal.ToolError
		}
	case bridge.Failed:
		r.Outcome = journal.Failed
	case bridge.GivenUp:
		r.Outcome, r.Size = journal.Answered, 0
	case bridge.Late, bridge.Stray: // as they come in honest sessions, too
		r.Outcome = journal.Dropped
	case bridge.Noise:
		r.Outcome = journal.Dropped
		if e.Line != nil { // it is not too long to be there
			r.Reason = cut(string(bytes.TrimRight(e.Line[:min(len(e.Line), detailLength+1)], " \t\r")))
		}
		trouble = "no message on stdout: " + r.Reason
	case bridge.Forged, bridge.Duplicate:
		r.Outcome, trouble = journal.Dropped, notPassed(e)
	default:
		r.Outcome, trouble = journal.Denied, notPassed(e)
	}
	m.journal.Message(r, e.Line)
	if trouble == "" {
		return
	}
	m.say(trouble)
}

// say has it said on stderr, and does not wait for that.
func (m *messages) say(text string) {
	select {
	case m.queue <- text:
	default:
		m.unsaid.Add(1)
	}
}

// notPassed says what was wrong with a message.
func notPassed(e *bridge.Event) string {
	what := string(e.Kind)
	if e.Kind == bridge.Unknown {
		what = "line"
	}
	text := fmt.Sprintf("not passed on: %s %s, %s", e.Direction, what, e.Outcome)
	if e.Method != "" {
		text += " (" + cut(e.Method) + ")"
	}
	if e.ID != "" {
		text += ", id " + cut(e.ID)
	}
	return fmt.Sprintf("%s, %d bytes: %s", text, e.Size, cut(e.Detail))
}

// run says what is queued, until stop.
func (m *messages) run() {
	defer close(m.done)
	for said := 0; ; {
		var text string
		select {
		case text = <-m.queue:
		default:
			select {
			case text = <-m.queue:
			case <-m.stop:
				if n := m.unsaid.Load(); n > 0 {
					m.console.say("%s: %d more did not pass; to see them, type: mcpbox logs %s", m.name, n, m.name)
				}
				return
			}
		}
		if said++; said > troubleSaid {
			m.unsaid.Add(1)
			continue
		}
		m.console.say("%s: %s", m.name, text)
	}
}

// end says what is left to say, once the relay has ended. A stderr that nobody
// reads does not hold it up for longer than termGrace.
func (m *messages) end() {
	close(m.stop)
	waitFor(m.done, termGrace)
}
