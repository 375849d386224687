package main

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcpbox/mcpbox/bridge"
)

// cause is what the host's requests get as their answer once the server is gone.
func (e ending) cause(lastWords string) *bridge.Error {
	err := &bridge.Error{Code: bridge.CodeEnded}
	var tooLong *bridge.LineTooLongError
	var violations *bridge.ViolationsError
	var runaway *runawayError
	switch {
	case e.exit.Exceeded != nil:
		err.Rule, err.Message = e.exit.Exceeded.Limit, "the server was "+describeExceeded(e.exit.Exceeded)
	case errors.As(e.err, &tooLong):
		err.Rule, err.Message = "length", "mcpbox has ended the server: "+e.err.Error()
	case errors.As(e.err, &runaway):
		err.Rule, err.Message = runaway.rule, "mcpbox has ended the server: "+runaway.text
	case errors.As(e.err, &violations), errors.Is(e.err, bridge.ErrDeaf):
		err.Rule, err.Message = "protocol", "mcpbox has ended the server: "+e.err.Error()
	case e.err != nil:
		err.Rule, err.Message = "failure", "mcpbox has ended the server: "+e.err.Error()
	case e.killed:
		err.Rule, err.Message = "killed", "the server was "+e.why
		return err // what it said has nothing to do with it
	case e.caught != nil:
		err.Rule, err.Message = "ended", "mcpbox was ended by the signal "+e.caught.String()
		return err
	case e.exit.Signal != 0:
		err.Rule, err.Message = "signal", fmt.Sprintf("the server was ended by signal %d (%s)", int(e.exit.Signal), e.exit.Signal)
	default:
		err.Rule, err.Message = "exit", fmt.Sprintf("the server has ended with exit status %d", e.exit.Code)
	}
	if lastWords != "" {
		err.Message += "; its stderr ends with: " + lastWords
	}
	return err
}

// lastWordsLength is how much of the end of a server's stderr is kept, in bytes,
// and lastWordsLines how many lines of that are told.
const (
	lastWordsLength = 1 << 10
	lastWordsLines  = 5
)

// tail keeps the end of what is written to it.
type tail struct {
	total atomic.Int64 // bytes
	mu    sync.Mutex
	end   []byte
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(b)
	t.total.Add(int64(n))
	b = b[max(0, n-lastWordsLength):]
	t.end = append(t.end, b...)
	if len(t.end) > 2*lastWordsLength {
		t.end = append(t.end[:0], t.end[len(t.end)-lastWordsLength:]...)
	}
	return n, nil
}

// lastWords are the last lines, without what steers terminals.
func (t *tail) lastWords() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := strings.TrimSpace(string(t.end[max(0, len(t.end)-lastWordsLength):]))
	lines := strings.Split(text, "\n")
	lines = lines[max(0, len(lines)-lastWordsLines):]
	for i, line := range lines {
		lines[i] = printable(strings.TrimSpace(line))
	}
	return strings.Join(lines, " | ")
}

// waitFor waits until done is closed, but no longer than limit.
func waitFor(done <-chan struct{}, limit time.Duration) {
	select {
	case <-done:
	case <-time.After(limit):
	}
}
