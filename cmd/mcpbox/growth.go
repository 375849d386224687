package main

import (
	"os"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/disk"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/sandbox"
)

// watchGrowth tells when the server has written more to its directories than it
// may.
func (l *live) watchGrowth(g *disk.Growth, allowed int64, over chan<- *sandbox.LimitError) {
	if g == nil {
		return
	}
	if err := g.Begin(); err != nil {
		l.journal.Event(journal.Event{Kind: journal.Warning, Detail: "the growth of its directories is not limited: " + err.Error()})
		return
	}
	for left := allowed; !l.ended.Load(); {
		look, grown := g.Glance(left)
		pause := time.Duration(0)
		if look {
			began := time.Now()
			written, exceeded, err := l.measureGrowth(g)
			if err != nil {
				return // it has ended
			}
			if exceeded != nil {
				over <- &sandbox.LimitError{Limit: "disk", Used: exceeded.Written, Allowed: allowed, Detail: exceeded.Detail}
				return
			}
			left, grown = allowed-written, 0
			// It may be others who write, and the server is not to pay for it.
			pause = min(10*time.Since(began), 250*time.Millisecond)
		}
		time.Sleep(max(pause, disk.LookAgain(left-grown)))
	}
}

// measureGrowth stops the server and measures. A server that cannot be stopped is
// measured as it runs; one that is over its limit stays stopped.
func (l *live) measureGrowth(g *disk.Growth) (written int64, e *disk.Exceeded, err error) {
	l.changing.Lock()
	defer l.changing.Unlock()
	if l.ended.Load() {
		return 0, nil, os.ErrProcessDone
	}
	if !l.frozen.Load() && l.box.Freeze() == nil {
		defer func() {
			if e == nil {
				l.box.Thaw()
			}
		}()
	}
	processes, err := l.box.Processes()
	if err != nil {
		return 0, nil, err
	}
	return g.Measure(processes)
}
