package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/mcpbox/mcpbox/bridge"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/policy"
	"github.com/mcpbox/mcpbox/sandbox"
)

// session is one running server with its host.
type session struct {
	box     sandbox.Box
	console console
	journal *journal.Journal
	name    string
	state   string // mcpbox's directory for state
	signals <-chan os.Signal
	lost    <-chan cover // what the box has open now that it should not
	over    <-chan *sandbox.LimitError
	kill    <-chan struct{} // closed when a person wants it dead
	live    *live
	rules   policy.Runaway
	runaway chan error // one that is to be killed
	maxLine int64
	full    policy.FullMode // what to do when the journal cannot be written
	raw     bool            // it is no MCP server: judge nothing

	relaying *bridge.Relay
	exceeded *sandbox.LimitError // what has come from over
	said     map[string]bool     // lost covers
	unheard  []string            // what was refused of late, to be said at the end
	kept     string              // what became of staged changes, likewise
}

// ending is how a session ended.
type ending struct {
	exit   sandbox.Exit
	err    error               // why mcpbox ended it, if a failure was the cause
	caught os.Signal           // the signal that the launcher was ended by, or nil
	killed bool                // by a person
	why    string              // of that
	late   *sandbox.LimitError // what was found when it had ended
	relay  *bridge.Relay
}

// relay connects host and server until the box is gone.
func (s *session) relay() ending {
	hostGone, stopWatch, err := bridge.Hangup(s.console.in)
	if err != nil {
		hostGone, stopWatch = nil, func() {}
	}
	defer stopWatch()
	trouble := newMessages(s.journal, s.console, s.name, &s.live.requests)
	s.relaying = bridge.New(bridge.Config{
		HostIn: s.console.in, HostOut: s.console.out,
		ServerIn: s.box.Stdin(), ServerOut: s.box.Stdout(),
		MaxLine:  int(s.maxLine),
		Raw:      s.raw,
		Observe:  trouble.observe,
		HostGone: hostGone,
	})
	stderrDone, words := make(chan struct{}), &tail{}
	go func() {
		defer close(stderrDone)
		bridge.CopyStderr(s.console.err, io.TeeReader(s.box.Stderr(), words), isTerminal(s.console.err))
	}()
	relayed := make(chan error, 1)
	go func() { relayed <- s.relaying.Run() }()
	gone := make(chan ending, 1)
	go func() {
		exit, err := s.box.Wait()
		gone <- ending{exit: exit, err: err, relay: s.relaying}
	}()

	s.runaway = make(chan error, 1)
	watched := make(chan struct{})
	go (&runaways{
		rules: s.rules, name: s.name, live: s.live, relay: s.relaying, messages: trouble, stderr: words, kill: s.runaway,
	}).watch(watched)
	caught, failure := s.wait(relayed, gone)
	close(watched)
	end := <-gone
	end.caught = caught
	if end.exit.Exceeded == nil {
		end.exit.Exceeded = s.exceeded
	}
	select {
	case <-s.kill:
		end.killed, end.why = true, whyKilled(s.state, s.name)
	default:
	}
	if failure != nil && !errors.Is(failure, bridge.ErrStopped) {
		end.err = failure
	}
	// The box is empty, so its stderr has an end; what it said last is often
	// what matters.
	waitFor(stderrDone, termGrace)
	s.relaying.Finish(end.cause(words.lastWords()), s.answerGrace(caught))
	trouble.end()
	return end
}

// wait returns when the box is gone and its last output is delivered. gone
// keeps its value.
func (s *session) wait(relayed <-chan error, gone chan ending) (caught os.Signal, failure error) {
	hostClosed := s.relaying.HostClosed()
	kill, killed := s.kill, false
	unwritten := s.journal.Failed()
	escalation := s.escalate()
	defer escalation.stop()
	var ended *ending
	for relayed != nil || ended == nil {
		select {
		case <-hostClosed:
			// "the client SHOULD initiate shutdown by first, closing the input
			// stream to the child process (the server); waiting for the server
			// to exit, or sending SIGTERM if the server does not exit within a
			// reasonable time; sending SIGKILL if the server does not exit
			// within a reasonable time after SIGTERM" (MCP 2025-11-25,
			// Lifecycle, Shutdown, stdio)
			hostClosed = nil
			escalation.start(eofGrace)
		case err := <-relayed:
			// The server's output has ended, or may not go on.
			relayed = nil
			switch {
			case err == nil:
				escalation.start(eofGrace)
			case errors.Is(err, bridge.ErrStopped):
			default:
				failure = err
				s.box.Kill()
			}
		case c := <-s.lost:
			if err := s.uncovered(c); err != nil && failure == nil && ended == nil {
				failure = err
				s.box.Kill()
			}
		case e := <-s.over:
			if ended == nil {
				s.exceeded = e
				s.box.Kill()
			}
		case err := <-s.runaway:
			if failure == nil && ended == nil {
				failure = err
				s.box.Kill()
			}
		case <-unwritten:
			unwritten = nil
			if err := s.unrecorded(); err != nil && failure == nil && ended == nil {
				failure = err
				s.box.Kill()
			}
		case sig := <-s.signals:
			if caught == nil {
				caught = sig
				s.journal.Event(journal.Event{Kind: journal.Signal, Detail: sig.String()})
				s.box.Stdin().Close()
				s.box.Signal(syscall.SIGTERM)
				escalation.start(0)
			}
			if ended != nil {
				// Only a host that does not read its last lines is left.
				s.relaying.Stop()
			}
		case <-kill:
			kill, killed = nil, true
			s.box.Kill()
			if ended != nil {
				s.relaying.Stop()
			}
		case <-escalation.c:
			escalation.next()
		case e := <-gone:
			ended = &e
			s.relaying.Drain()
			if caught != nil || killed || len(e.exit.Stuck) > 0 {
				// The host has ended its side of it; nobody reads any more. Or
				// something still holds the server's output that will not write.
				s.relaying.Stop()
			}
		}
	}
	gone <- *ended
	return caught, failure
}

// answerGrace is how long the host has to read the answers that mcpbox gives for
// a server that is gone. One that has gone itself, or has sent a signal, reads
// nothing any more.
func (s *session) answerGrace(caught os.Signal) time.Duration {
	select {
	case <-s.relaying.HostClosed():
		return eofAnswerGrace
	default:
	}
	if caught != nil {
		return eofAnswerGrace
	}
	return answerGrace
}

// uncovered deals with a lost cover. What was hidden must not stay open: that
// is an error, which ends the box. What was read-only is open like a name that
// did not exist when the box started, and like that it is told.
func (s *session) uncovered(c cover) error {
	detail := "exchanged by another program, and the box's cover went with it"
	s.journal.Event(journal.Event{Kind: journal.CoverLost, Path: c.path, Detail: detail})
	if c.hidden {
		return fmt.Errorf("%s was hidden, and has been %s; start the server again", c.path, detail)
	}
	if !s.said[c.path] {
		s.said[c.path] = true
		s.console.say("%s: %s was %s: the server can write to it until it is started again", s.name, c.path, detail)
	}
	return nil
}

// unrecorded is when something could not be written into the journal. What cannot
// be recorded does not run, unless the policy lets it.
func (s *session) unrecorded() error {
	err := fmt.Errorf("journal: %w", s.journal.Cause())
	if s.full == policy.FullContinue {
		s.console.say("%s: %v; it goes on without, as [journal] full = \"continue\" says", s.name, err)
		return nil
	}
	return err
}

func (e ending) record(started time.Time) journal.Exit {
	toServer, toHost := e.relay.Counts()
	x := journal.Exit{
		Code:     e.exit.Code,
		Signal:   int(e.exit.Signal),
		Duration: time.Since(started),
		User:     e.exit.Usage.User,
		System:   e.exit.Usage.System,
		MaxRSS:   e.exit.Usage.MaxRSS,
		Memory:   e.exit.Memory.Peak,
		Allowed:  e.exit.Memory.Limit,
		ToServer: journal.Traffic(toServer),
		ToHost:   journal.Traffic(toHost),
	}
	switch {
	case e.exit.Exceeded != nil:
		x.Reason = describeExceeded(e.exit.Exceeded)
	case e.err != nil:
		x.Reason = e.err.Error()
	case e.killed:
		x.Reason = e.why
	case e.caught != nil:
		x.Reason = "launcher received " + e.caught.String()
	}
	for _, more := range e.afterwards() {
		x.Reason = strings.TrimPrefix(x.Reason+"; "+more, "; ")
	}
	return x
}

// afterwards says what was found once it had ended.
func (e ending) afterwards() (list []string) {
	if len(e.exit.Stuck) > 0 {
		list = append(list, describeStuck(e.exit.Stuck, e.exit.StuckBy))
	}
	if e.late != nil {
		list = append(list, describeExceeded(e.late))
	}
	return list
}

// describeStuck says what a killed server has left, and what keeps it.
func describeStuck(pids []int, by string) string {
	what := fmt.Sprintf("process %d is killed and not gone, and does", pids[0])
	if n := len(pids); n > 1 {
		what = fmt.Sprintf("%d processes (%d and others) are killed and not gone, and do", n, pids[0])
	}
	if by == "" {
		by = "waiting in the kernel for something that does not come, such as the answer of a file system"
	}
	return what + " nothing any more: " + by
}

// code is the exit status of mcpbox.
func (e ending) code() int {
	switch {
	case e.err != nil:
		return exitFailure
	case e.exit.Signal != 0:
		return exitSignalBase + int(e.exit.Signal)
	}
	return e.exit.Code
}

// startupWindow is how long after its start a failing server is taken to have
// failed for want of something that the box does not have.
const startupWindow = 10 * time.Second

// explainEnd says what a person should know about an end that was not asked for.
func (s *session) explainEnd(e ending, p *prepared, after time.Duration) {
	for _, more := range e.afterwards() {
		s.console.say("%s: %s", s.name, more)
	}
	var tooLong *bridge.LineTooLongError
	switch {
	case e.exit.Exceeded != nil:
		s.console.say("%s: %s", s.name, describeExceeded(e.exit.Exceeded))
		return // and nothing that the box lacks
	case errors.As(e.err, &tooLong):
		s.console.say("%s: killed: %v; the limit is [limits] message in the policy", s.name, e.err)
	case e.err != nil:
		s.console.say("%s: ended: %v", s.name, e.err)
	case e.killed:
		s.console.say("%s: %s", s.name, e.why)
	}
	if e.code() == 0 || e.caught != nil || e.killed || after > startupWindow {
		return
	}
	for _, line := range p.hints {
		s.console.say("%s: %s", s.name, line)
	}
}
