package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/changes"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
)

// How long the changes of a staged run may take to be kept. Both are ample for
// what a policy allows, also on a busy machine; a file system that does not answer
// takes for ever.
const (
	keepTime  = 10 * time.Minute
	keepGrace = time.Minute // once the host wants mcpbox to end
	// keepCleanup is for what is removed if they were not.
	keepCleanup = 5 * time.Second
)

// keepChanges stores what the server has changed in staged directories, for
// mcpbox changes. The box is gone by then.
func (s *session) keepChanges(staging *changes.Staging, p *prepared) {
	var uppers []*os.File
	for _, d := range s.box.Staged() {
		uppers = append(uppers, d.Upper)
		defer d.Upper.Close()
	}
	if len(uppers) == 0 {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan struct{})
	var set *changes.Set
	var err error
	go func() {
		defer close(done)
		set, err = staging.Keep(ctx, s.journal.ID(), s.name, uppers, p.host)
	}()
	limit := time.After(keepTime)
	for signals := s.signals; ; {
		select {
		case <-done:
			s.tellKept(set, err)
			return
		case <-signals:
			signals, limit = nil, time.After(keepGrace)
		case <-limit:
			cancel()
			select {
			case <-done: // and nothing half written is left
			case <-time.After(keepCleanup):
			}
			s.tellKept(nil, errors.New("keep changes: it takes too long"))
			return
		}
	}
}

// tellKept records what became of the changes, and has it said at the end.
func (s *session) tellKept(set *changes.Set, err error) {
	switch {
	case err != nil:
		s.kept = fmt.Sprintf("what the server has changed is lost: %v", err)
		s.journal.Event(journal.Event{Kind: journal.Warning, Detail: s.kept})
	case set != nil:
		s.journal.Event(journal.Event{Kind: journal.Staged, Detail: set.Summary()})
		s.kept = fmt.Sprintf("what the server has changed is kept apart (%s); to see it, type: mcpbox changes %s", set.Summary(), set.ID)
	}
}
