package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/control"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/quarantine"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/runs"
	"github.com/mcpbox/mcpbox/netfilter"
	"github.com/mcpbox/mcpbox/policy"
	"github.com/mcpbox/mcpbox/sandbox"
)

// reasonKilled is what becomes known of why a run has ended, if nothing more is.
const reasonKilled = `killed by "mcpbox kill"`

// whyKilled is why a person has ended a run of the server.
func whyKilled(state, name string) string {
	if err := quarantine.Check(state, name); err != nil {
		return "killed: " + err.Error()
	}
	return reasonKilled
}

// live is a run as commands in other terminals see it, and what they do to it.
type live struct {
	box     sandbox.Box
	filter  *netfilter.Filter
	traffic *traffic
	journal *journal.Journal
	explain func() *policy.Explanation

	requests atomic.Int64 // of the host, so far

	server *control.Server

	kill   chan struct{} // closed when the run is to be killed
	killed sync.Once

	changing           sync.Mutex // one at a time
	frozen, cut, ended atomic.Bool
	gone               chan struct{} // closed when the box is
}

// begin lists the run and serves its control socket until close.
func (l *live) begin(own *runs.Own, r journal.Start, layers []sandbox.Layer, started time.Time) error {
	box, err := l.process(r.BoxPID)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it has ended already, and so has the run
	}
	if err != nil {
		return fmt.Errorf("find the box: %w", err)
	}
	self, err := runs.Self()
	if err != nil {
		return fmt.Errorf("find mcpbox itself: %w", err)
	}
	l.server = control.Serve(own.Listener(), l.do)
	return own.Publish(runs.State{
		Name: r.Name, ID: l.journal.ID(), Launcher: self, Box: box, Started: started, Argv: r.Argv,
		Client: clientOf(os.Getppid()), Policy: r.Policy, Journal: l.journal.Path(), Layers: layers,
		Tier: r.Tier, Cgroups: l.box.Cgroups(),
	})
}

// process names the box's PID 1 for good. One that has ended is [fs.ErrNotExist].
func (l *live) process(pid int) (runs.Process, error) {
	p, err := runs.Child(pid)
	if !errors.Is(err, fs.ErrNotExist) {
		return p, err
	}
	// That of a container is no child of this process. If it is there once its
	// start time is known, that is its own.
	if p, err = runs.Find(pid); err != nil {
		return p, err
	}
	if _, err := l.box.Processes(); errors.Is(err, os.ErrProcessDone) {
		return p, fs.ErrNotExist
	}
	return p, nil
}

// end is when the box is gone: nothing changes any more, so that the last record
// is the last.
func (l *live) end() {
	close(l.gone)
	l.changing.Lock()
	defer l.changing.Unlock()
	l.ended.Store(true)
}

func (l *live) close() {
	if l.server != nil {
		l.server.Close()
	}
}

// do is what the control socket asks for, for the process peer.
func (l *live) do(v control.Verb, peer int) (*control.Status, error) {
	switch v {
	case control.Query:
		return l.status(), nil
	case control.Kill:
		l.killed.Do(func() { close(l.kill) })
		return nil, nil
	}
	l.changing.Lock()
	defer l.changing.Unlock()
	if l.ended.Load() {
		return nil, errors.New("its server has ended")
	}
	switch v {
	case control.Describe:
		return l.describe(peer)
	case control.Freeze:
		if err := l.box.Freeze(); err != nil {
			l.changed(&l.frozen, false, journal.Thawed, "the box cannot be frozen")
			return nil, err
		}
		l.changed(&l.frozen, true, journal.Frozen, by(v, peer))
	case control.Thaw:
		if err := l.box.Thaw(); err != nil {
			return nil, err
		}
		l.changed(&l.frozen, false, journal.Thawed, by(v, peer))
	case control.Cut:
		l.filter.Cut()
		l.changed(&l.cut, true, journal.CutOff, by(v, peer))
	case control.Restore:
		l.filter.Restore()
		l.changed(&l.cut, false, journal.Restored, by(v, peer))
	default:
		return nil, fmt.Errorf("this launcher cannot %s", v)
	}
	return nil, nil
}

// changed records a state that is a new one.
func (l *live) changed(state *atomic.Bool, to bool, kind journal.Kind, detail string) {
	if state.Swap(to) != to {
		l.journal.Event(journal.Event{Kind: kind, Detail: detail})
	}
}

func by(v control.Verb, peer int) string { return fmt.Sprintf("by mcpbox %s, process %d", v, peer) }

// description is what a snapshot says of a run beside what the kernel knows.
type description struct {
	Policy      *policy.Explanation `json:"policy"`
	Connections []carried           `json:"connections"` // that the filter carries
}

// describe says what the run may do and does. It is taken down that somebody has
// asked.
func (l *live) describe(peer int) (*control.Status, error) {
	s := l.status()
	data, err := json.Marshal(description{l.explain(), l.traffic.carrying()})
	if err != nil {
		return nil, err
	}
	s.Description = data
	return s, l.journal.Event(journal.Event{Kind: journal.SnapshotTaken, Detail: by("snapshot", peer)})
}

func (l *live) status() *control.Status {
	s := &control.Status{
		Frozen: l.frozen.Load(), Cut: l.cut.Load(), Ending: l.ended.Load(),
		Connections: l.traffic.open.Load(), Denied: l.traffic.denied.Load(),
		Requests: l.requests.Load(),
	}
	load, err := l.box.Usage()
	if err != nil {
		s.Ending = true
	}
	s.Processes, s.CPU, s.Memory = load.Processes, load.CPU, load.Memory
	return s
}

// clientOf names the program that has started mcpbox, as nameOf would.
func clientOf(parent int) string {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", parent))
	if argv := strings.Split(strings.TrimRight(string(data), "\x00"), "\x00"); err == nil && argv[0] != "" {
		return nameOf(argv)
	}
	if data, err = os.ReadFile(fmt.Sprintf("/proc/%d/comm", parent)); err != nil {
		return ""
	}
	return cleanName(strings.TrimSpace(string(data)))
}
