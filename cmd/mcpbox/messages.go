package main

import (
	"bytes"
	"fmt"
	"sync"

	"github.com/mcpbox/mcpbox/bridge"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
)

// A server can send any number of lines that do not pass. Those of each kind are
// recorded and said up to these numbers, and then counted.
const (
	troubleRecorded = 200
	troubleSaid     = 10
	troubleQueued   = 64
)

// messages records what the relay did not pass on. The relay does not wait for
// it: what comes faster than the journal and stderr take it is counted.
type messages struct {
	journal *journal.Journal
	console console
	name    string

	queue      chan trouble
	stop, done chan struct{}

	mu     sync.Mutex
	missed map[journal.Kind]int // not queued
}

// trouble is one such line.
type trouble struct {
	kind   journal.Kind
	detail string
}

func newMessages(j *journal.Journal, c console, name string) *messages {
	m := &messages{
		journal: j, console: c, name: name,
		queue: make(chan trouble, troubleQueued), stop: make(chan struct{}), done: make(chan struct{}),
		missed: map[journal.Kind]int{},
	}
	go m.run()
	return m
}

// observe is the relay's observer.
func (m *messages) observe(e *bridge.Event) {
	var t trouble
	switch e.Outcome {
	case bridge.Passed, bridge.Answered, bridge.Failed, bridge.GivenUp, bridge.Late, bridge.Stray:
		return // as they come in honest sessions, too
	case bridge.Noise:
		line := bytes.TrimRight(e.Line, " \t\r")
		t = trouble{journal.Noise, string(line[:min(len(line), detailLength)])}
		if len(line) > detailLength {
			t.detail += "..."
		}
	default:
		t = trouble{journal.Violation, describeMessage(e)}
		if e.Rule == "length" {
			t.kind = journal.LineTooLong
		}
	}
	select {
	case m.queue <- t:
	default:
		m.miss(t.kind)
	}
}

// describeMessage says what was wrong with a message.
func describeMessage(e *bridge.Event) string {
	what := string(e.Kind)
	if e.Kind == bridge.Unknown {
		what = "line"
	}
	text := fmt.Sprintf("%s %s, %s", e.Direction, what, e.Outcome)
	if e.Method != "" {
		text += " (" + cut(e.Method) + ")"
	}
	if e.ID != "" {
		text += ", id " + cut(e.ID)
	}
	return fmt.Sprintf("%s, %d bytes: %s", text, e.Size, cut(e.Detail))
}

// run records what is queued until stop, and then what is left of it.
func (m *messages) run() {
	defer close(m.done)
	seen := map[journal.Kind]int{}
	for {
		select {
		case t := <-m.queue:
			seen[t.kind]++
			m.record(t, seen[t.kind])
			continue
		default:
		}
		select {
		case t := <-m.queue:
			seen[t.kind]++
			m.record(t, seen[t.kind])
		case <-m.stop:
			return
		}
	}
}

// record deals with the nth of its kind.
func (m *messages) record(t trouble, n int) {
	if n > troubleRecorded {
		m.miss(t.kind)
		return
	}
	m.journal.Event(journal.Event{Kind: t.kind, Detail: t.detail})
	switch {
	case n > troubleSaid:
		return
	case t.kind == journal.Noise:
		m.console.say("%s: no message on stdout: %s", m.name, t.detail)
	default:
		m.console.say("%s: not passed on: %s", m.name, t.detail)
	}
	if n == troubleSaid {
		m.console.say("%s: more of this is only in the journal: mcpbox logs %s", m.name, m.name)
	}
}

func (m *messages) miss(kind journal.Kind) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.missed[kind]++
}

// end records how much was not, once the relay has ended. A stderr that nobody
// reads does not hold it up for longer than termGrace.
func (m *messages) end() {
	close(m.stop)
	waitFor(m.done, termGrace)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, kind := range []journal.Kind{journal.Noise, journal.Violation, journal.LineTooLong} {
		if n := m.missed[kind]; n > 0 {
			m.journal.Event(journal.Event{Kind: kind, Detail: fmt.Sprintf("%d more of this kind, not recorded one by one", n)})
		}
	}
}
