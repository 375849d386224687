package main

import (
	"syscall"
	"time"
)

// How long a server has to end by itself once its host is done with it. Hosts
// escalate 2 s after closing stdin, and signal only their direct child, which
// is mcpbox: the whole box has to be gone by then, and so has mcpbox.
const (
	eofGrace  = 1000 * time.Millisecond // after its stdin was closed
	termGrace = 500 * time.Millisecond  // after SIGTERM

	answerGrace    = time.Second            // for the host to read its last answers
	eofAnswerGrace = 100 * time.Millisecond // where it is likely gone
)

// escalation ends the box step by step.
type escalation struct {
	session *session
	timer   *time.Timer
	c       <-chan time.Time
	termed  bool
}

func (s *session) escalate() *escalation {
	t := time.NewTimer(time.Hour)
	t.Stop()
	return &escalation{session: s, timer: t, c: t.C}
}

// start gives the server its grace, which a second cause does not prolong. A
// grace of 0 says that it has been asked to terminate already.
func (e *escalation) start(grace time.Duration) {
	switch {
	case e.termed:
	case grace == 0:
		e.termed = true
		e.timer.Reset(termGrace)
	default:
		e.timer.Reset(grace)
	}
}

func (e *escalation) next() {
	if e.termed {
		e.session.box.Kill()
		return
	}
	e.start(0)
	e.session.box.Signal(syscall.SIGTERM)
}

func (e *escalation) stop() { e.timer.Stop() }
