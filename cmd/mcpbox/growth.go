package main

import (
	"os"
	"sync/atomic"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/disk"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/sandbox"
)

const (
	// measureTime bounds one look through the directories. A server that makes it
	// last longer is not one whose growth can be limited.
	measureTime = time.Minute
	// lastLookTime bounds the last one, for which the host waits.
	lastLookTime = 10 * time.Second
)

// growth watches what the server writes to its directories.
type growth struct {
	*disk.Growth // nil if there are none
	live         *live
	allowed      int64
	// over tells that it has written more than it may.
	over chan *sandbox.LimitError
	// last tells whether it had when it ended, once.
	last    chan *sandbox.LimitError
	begun   atomic.Bool   // what there was before has been added up
	pending chan measured // a look that the end of the box has interrupted
}

// measured is the result of a look through the directories.
type measured struct {
	written  int64
	exceeded *disk.Exceeded
	err      error
}

func newGrowth(g *disk.Growth, l *live, allowed int64) *growth {
	return &growth{Growth: g, live: l, allowed: allowed, over: make(chan *sandbox.LimitError, 1), last: make(chan *sandbox.LimitError, 1)}
}

// watch looks until the box is gone, and then a last time: what is written in one
// burst before the end is over before anybody can look.
func (g *growth) watch() {
	if g.Growth == nil {
		return
	}
	grown, err := g.Begin()
	if err != nil {
		g.live.journal.Event(journal.Event{Kind: journal.Warning, Detail: "the growth of its directories is not limited: " + err.Error()})
		g.last <- nil
		return
	}
	g.begun.Store(true)
	left := g.allowed - grown
	for running := true; running; {
		look, grown := g.Glance(left)
		pause := time.Duration(0)
		if look {
			began := time.Now()
			m := g.measure()
			if m.err != nil {
				break // it has ended
			}
			if m.exceeded != nil {
				g.over <- g.limit(m.exceeded)
				g.last <- nil
				return
			}
			left, grown = g.allowed-m.written, 0
			// It may be others who write, and the server is not to pay for it.
			pause = min(10*time.Since(began), 250*time.Millisecond)
		}
		select {
		case <-g.live.gone:
			running = false
		case <-time.After(max(pause, disk.LookAgain(left-grown))):
		}
	}
	if g.pending != nil {
		<-g.pending
	}
	if look, _ := g.Glance(left); look {
		if _, exceeded, err := g.Measure(nil); err == nil && exceeded != nil {
			e := g.limit(exceeded)
			e.Late = true
			g.last <- e
			return
		}
	}
	g.last <- nil
}

func (g *growth) limit(e *disk.Exceeded) *sandbox.LimitError {
	return &sandbox.LimitError{Limit: "disk", Used: e.Written, Allowed: g.allowed, Detail: e.Detail}
}

// measure stops the server and measures. A server that cannot be stopped is
// measured as it runs; one that is over its limit stays stopped.
func (g *growth) measure() (m measured) {
	l := g.live
	l.changing.Lock()
	defer l.changing.Unlock()
	if l.ended.Load() {
		return measured{err: os.ErrProcessDone}
	}
	if !l.frozen.Load() && l.box.Freeze() == nil {
		defer func() {
			if m.exceeded == nil {
				l.box.Thaw()
			}
		}()
	}
	processes, err := l.box.Processes()
	if err != nil {
		return measured{err: err}
	}
	// Not here, as a file system that does not answer is to hold up nobody else.
	c := make(chan measured, 1)
	go func() {
		written, exceeded, err := g.Measure(processes)
		c <- measured{written, exceeded, err}
	}()
	select {
	case m = <-c:
		return m
	case <-l.gone:
		g.pending = c
		return measured{err: os.ErrProcessDone}
	case <-time.After(measureTime):
		return measured{exceeded: &disk.Exceeded{Written: 0, Detail: "it takes more than a minute to look through its directories"}}
	}
}

// end waits for the last look, when live.end has been called. A signal cuts it
// short.
func (g *growth) end(signals <-chan os.Signal) *sandbox.LimitError {
	if g.Growth == nil {
		return nil
	}
	look := make(chan bool, 1)
	go func() { look <- g.begun.Load() || g.Suspect() }()
	for limit := time.After(lastLookTime); ; {
		select {
		case needed := <-look:
			if !needed {
				return nil
			}
			continue
		case e := <-g.last:
			return e
		case <-signals:
		case <-limit:
		}
		break
	}
	g.live.journal.Event(journal.Event{Kind: journal.Warning, Detail: "what it has written to its directories at last was not measured: that takes too long"})
	return nil
}
