package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/bridge"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/control"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/policy"
)

const (
	// rateWindow is what rates are averages over.
	rateWindow = 10 * time.Second
	// patience is how many times its time-out a call may take that reports
	// progress and does not end. "Implementations SHOULD always enforce a maximum
	// timeout, regardless of progress notifications" (MCP 2025-11-25, Lifecycle,
	// Timeouts).
	patience = 10
)

// runaways watches one session for what the policy calls a runaway.
type runaways struct {
	rules    policy.Runaway
	name     string
	live     *live
	relay    *bridge.Relay
	messages *messages
	stderr   *tail
	kill     chan<- error // takes one

	thawed    time.Time // no clock of a call ran before
	told      map[string]bool
	window    time.Time // the beginning of this one, and the counts then
	received  int64
	said      int64
	looked    time.Time // when processor time was last looked at
	moved     int64     // bytes of both sides then
	processor time.Duration
}

// runawayError is why a server was ended.
type runawayError struct{ rule, text string }

func (e *runawayError) Error() string { return e.text }

// watch looks at the session until stop is closed.
func (r *runaways) watch(stop <-chan struct{}) {
	r.told = map[string]bool{}
	r.window = time.Now()
	tick := time.NewTicker(min(max(min(r.rules.CallTimeout, r.rules.StartTimeout, r.rules.IdleCPU)/20, 10*time.Millisecond), time.Second))
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return
		case now := <-tick.C:
			if r.live.frozen.Load() {
				r.thawed = now
				continue
			}
			r.calls(now)
			r.rates(now)
			r.idle(now)
		}
	}
}

// calls looks for answers that are overdue.
func (r *runaways) calls(now time.Time) {
	if r.relay.Waiting() == 0 {
		return
	}
	silent := r.messages.received.Load() == 0
	for _, c := range r.relay.Calls() {
		since, started := later(c.Since(), r.thawed), later(c.Started, r.thawed)
		switch limit := r.rules.CallTimeout; {
		// Hosts that know both eras ask a server first what it speaks. "A legacy
		// server may never answer" (MCP 2026-07-28), and is asked something else.
		case silent && c.Method != "server/discover" && now.Sub(started) >= r.rules.StartTimeout:
			r.act("start_timeout", r.rules.OnStart, &c,
				fmt.Sprintf("no answer to anything within %s of the first request ([limits] start_timeout to raise)", policy.FormatDuration(r.rules.StartTimeout)))
		case c.Exempt():
		case now.Sub(since) >= limit:
			r.act("call_timeout", r.rules.OnCall, &c, fmt.Sprintf("no answer to %s within %s ([limits] call_timeout, --call-timeout to raise)", describeCall(c), policy.FormatDuration(limit)))
		case now.Sub(started) >= patience*limit:
			r.act("call_timeout", r.rules.OnCall, &c, fmt.Sprintf("no answer to %s within %s, in spite of its progress ([limits] call_timeout, --call-timeout to raise)", describeCall(c), policy.FormatDuration(patience*limit)))
		}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func describeCall(c bridge.Call) string {
	if c.Tool != "" {
		return c.Method + " " + cut(c.Tool)
	}
	return cut(c.Method)
}

// rates looks at what came in the last window.
func (r *runaways) rates(now time.Time) {
	took := now.Sub(r.window)
	if took < rateWindow {
		return
	}
	received, said := r.messages.received.Load(), r.stderr.total.Load()
	perSecond := func(n int64) int64 { return int64(float64(n) / took.Seconds()) }
	if n := perSecond(received - r.received); n > r.rules.Rate {
		r.act("rate", r.rules.OnRate, nil, fmt.Sprintf("%d messages a second from the server ([limits] rate to raise)", n))
	}
	if n := perSecond(said - r.said); n > r.rules.Stderr {
		r.act("stderr", r.rules.OnStderr, nil, fmt.Sprintf("%s a second on stderr ([limits] stderr to raise)", size(n)))
	}
	r.window, r.received, r.said = now, received, said
}

// idle looks at processor time, more rarely: measuring takes some.
func (r *runaways) idle(now time.Time) {
	if now.Sub(r.looked) < min(r.rules.IdleCPU/4, rateWindow) {
		return
	}
	r.looked = now
	load, err := r.live.box.Usage()
	if err != nil {
		return
	}
	toServer, toHost := r.relay.Counts()
	if moved := toServer.Bytes + toHost.Bytes; moved != r.moved || r.processor == 0 {
		r.moved, r.processor = moved, load.CPU
		delete(r.told, "idle_cpu")
		return
	}
	if load.CPU-r.processor >= r.rules.IdleCPU {
		r.act("idle_cpu", r.rules.OnIdle, nil, fmt.Sprintf("%s of processor time without a message ([limits] idle_cpu to raise)", policy.FormatDuration((load.CPU-r.processor).Round(time.Second/10))))
		r.processor = load.CPU
	}
}

// act does what the policy says, and tells of it. c is the call in question, if
// it is about one.
func (r *runaways) act(rule string, action policy.Action, c *bridge.Call, text string) {
	once := rule
	if c != nil {
		once += " " + c.ID + c.Started.String()
	}
	if action == policy.ActionReport && r.told[once] {
		return
	}
	if len(r.told) > 1000 { // calls that are long gone
		clear(r.told)
	}
	r.told[once] = true
	answer := &bridge.Error{Code: bridge.CodeTimeout, Rule: rule, Message: "mcpbox: " + text}
	switch action {
	case policy.ActionCancel:
		if c != nil {
			r.relay.Fail(c.ID, answer)
		} else {
			r.failAll(answer)
		}
	case policy.ActionFreeze:
		if _, err := r.live.do(control.Freeze, os.Getpid()); err != nil {
			text += "; cannot freeze it: " + err.Error()
		} else {
			text += "; frozen: to let it go on, type: mcpbox thaw " + r.name
		}
		answer.Message = "mcpbox: " + text
		r.failAll(answer)
	case policy.ActionKill:
		select {
		case r.kill <- &runawayError{rule, text}:
		default: // it is being killed
			return
		}
	}
	r.live.journal.Event(journal.Event{Kind: journal.Runaway, Target: rule, Detail: fmt.Sprintf("%s: %s", action, text)})
	if action != policy.ActionKill { // of which the end tells
		r.messages.say(text)
	}
}

func (r *runaways) failAll(err *bridge.Error) {
	for _, c := range r.relay.Calls() {
		r.relay.Fail(c.ID, err)
	}
}

// restarts deals with a server that is started again and again.
func restarts(p *prepared, j *journal.Journal, c console) error {
	rules := p.report.Runaway
	entries, err := os.ReadDir(filepath.Dir(j.Path()))
	if err != nil {
		return err
	}
	const layout = "20060102T150405"
	since := time.Now().UTC().Add(-time.Minute).Format(layout)
	n := int64(0)
	for _, e := range entries {
		// Each run has one file whose name goes on with nothing but its ID.
		name := e.Name()
		if len(name) > len(layout) && name[:len(layout)] >= since && strings.HasSuffix(name, ".jsonl") && strings.Count(name, ".") == 2 {
			n++
		}
	}
	if n <= rules.Restarts {
		return nil
	}
	text := fmt.Sprintf("started %d times within a minute ([limits] restarts to raise)", n)
	j.Event(journal.Event{Kind: journal.Runaway, Target: "restarts", Detail: fmt.Sprintf("%s: %s", rules.OnRestarts, text)})
	if rules.OnRestarts == policy.ActionKill {
		return errors.New(p.name + ": not started: " + text)
	}
	c.say("%s: %s", p.name, text)
	return nil
}
