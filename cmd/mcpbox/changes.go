package main

import (
	"context"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/policy"
)

// What is looked at, recorded and said at the end of a run is as much as the
// server made it; these are the bounds.
const (
	changesTimeout  = 2 * time.Second
	changesStuck    = 500 * time.Millisecond // where some file system hangs for sure
	changesRecorded = 200
	changesSaid     = 10
	detailLength    = 512 // bytes of a link's target, or of a reason
)

// conclude looks at what the server has left, writes the journal's last record,
// and tells the person what needs telling. A signal cuts it short: by then the
// box is gone, and only mcpbox itself keeps its host waiting.
func (s *session) conclude(end ending, p *prepared, started time.Time) {
	timeout := changesTimeout
	if len(end.exit.Stuck) > 0 {
		timeout = changesStuck
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		findings := policy.Changes(ctx, p.host, p.report)
		s.recordChanges(findings)
		if err := s.journal.Exit(end.record(started)); err != nil {
			s.console.say("%s: journal: %v", s.name, err)
		}
		// Last, as a stderr that nobody reads would keep the rest from
		// being done.
		for _, line := range s.unheard {
			s.console.say("%s", line)
		}
		if s.kept != "" {
			s.console.say("%s: %s", s.name, s.kept)
		}
		s.sayChanges(findings)
		s.explainEnd(end, p, time.Since(started))
	}()
	select {
	case <-done:
	case <-s.signals:
		cancel()
		select {
		case <-done:
		case <-time.After(termGrace):
		}
	}
}

// recordChanges journals what programs of the host could stumble over.
func (s *session) recordChanges(findings []policy.Finding) {
	for i, f := range findings {
		if i == changesRecorded {
			s.journal.Event(journal.Event{Kind: journal.Warning, Detail: plural(len(findings)-i, "more change") + " not recorded"})
			return
		}
		event := journal.Event{Kind: journal.Kind(f.Event), Path: f.Path, Detail: cut(f.Detail)}
		if f.Event == policy.LinkLeavesTree {
			event.Target, event.Detail = event.Detail, ""
		}
		s.journal.Event(event)
	}
}

// sayChanges says the gravest of it.
func (s *session) sayChanges(findings []policy.Finding) {
	said := 0
	say := func(format string, args ...any) {
		if said++; said <= changesSaid {
			s.console.say("%s: "+format, append([]any{s.name}, args...)...)
		}
	}
	for _, f := range findings {
		switch f.Event {
		case policy.ProtectedCreated:
			say("the server has created %s, which programs of the host obey; look at it before you use the directory", f.Path)
		case policy.LinkLeavesTree:
			say("the server has created the link %s, which leads out of the directory: %s", f.Path, cut(f.Detail))
		case policy.ScanBlocked:
			say("cannot look for what the server has changed in %s: %s", f.Path, cut(f.Detail))
		}
	}
	if said > changesSaid {
		s.console.say("%s: and %s, in %s", s.name, plural(said-changesSaid, "more change"), s.journal.Path())
	}
}

// cut shortens what the server chose the length of.
func cut(s string) string {
	if len(s) > detailLength {
		return s[:detailLength] + "..."
	}
	return s
}
