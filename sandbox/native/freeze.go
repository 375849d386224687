package native

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mcpbox/mcpbox/sandbox/internal/cgroup"
	"github.com/mcpbox/mcpbox/sandbox/internal/proc"
	"golang.org/x/sys/unix"
)

// freezeTimeout bounds the attempt to stop everything.
const freezeTimeout = 2 * time.Second

// errAwake is a box that does not come to rest. A process that has not been
// stopped yet may wake those that have, with SIGCONT, and as long as two of
// them do that to each other there is always one.
var errAwake = errors.New("freeze: the server's processes keep waking each other, so they were left running; kill it")

// whyAwake says why processes do not come to rest. If a thread of one waits in the
// kernel and cannot be interrupted, the kernel leaves the signal to that one, and does
// not tell the others (complete_signal() in kernel/signal.c).
func whyAwake(list []int) error {
	for _, pid := range list {
		if proc.Waits(pid) {
			return cgroup.ErrInKernel
		}
	}
	return errAwake
}

// Freeze implements [sandbox.Box]: in a cgroup of v2, out of which a process
// cannot be woken, or, where there is none to be had, with SIGSTOP.
func (b *box) Freeze() error {
	b.freezing.Lock()
	defer b.freezing.Unlock()
	if _, err := b.namespace(); err != nil {
		return err
	}
	var err error
	if !b.frozen || !b.iced {
		err = b.ice()
		b.iced = err == nil
	}
	if errors.Is(err, cgroup.ErrNoFreezer) {
		err = b.stopAll()
	}
	b.frozen = err == nil
	return err
}

// ice freezes the box by its cgroup. One without limits is made for this when it
// is needed, and PID 1 stays outside.
func (b *box) ice() error {
	if b.group.Whole() {
		return b.group.Freeze()
	}
	if err := b.group.MakeFreezer(); err != nil {
		return err
	}
	// To move a process takes the kernel longer than to start one, so they are
	// stopped first. What comes in is frozen, and wakes nobody outside.
	var stopped []int
	defer func() {
		for _, pid := range stopped {
			proc.Signal(pid, unix.SIGCONT, b.has)
		}
	}()
	for end := time.Now().Add(freezeTimeout); ; {
		list, err := b.members()
		if err != nil {
			return err
		}
		// One that has ended is in none.
		list = slices.DeleteFunc(b.group.Outside(list), func(pid int) bool {
			s, err := proc.ReadStat(fmt.Sprintf("/proc/%d/stat", pid))
			return err != nil || s.State == 'Z' || s.State == 'X'
		})
		if len(list) == 0 {
			return b.group.Freeze()
		}
		for _, pid := range list {
			if err = proc.Signal(pid, unix.SIGSTOP, b.has); err != nil {
				break
			}
			stopped = append(stopped, pid)
		}
		if err == nil {
			err = b.group.Gather(list)
		}
		if err == nil && time.Now().After(end) {
			err = whyAwake(list)
		}
		if err != nil {
			b.group.Thaw()
			return err
		}
	}
}

// stopAll stops the box with SIGSTOP, which no process can block, ignore or handle
// (signal(7)). PID 1 is mcpbox's own and goes on: it watches for the end of the
// launcher.
//
// A process with SIGSTOP pending makes no child: fork fails inside the kernel
// and begins anew afterwards (copy_process() in kernel/fork.c). So passes over
// all processes come to an end, unless they wake each other.
func (b *box) stopAll() error {
	end := time.Now().Add(freezeTimeout)
	// The second quiet pass finds what a process did to another just before it
	// was stopped itself.
	for quiet := 0; quiet < 2; {
		awake, err := b.stop()
		switch {
		case err != nil:
			b.resume()
			return err
		case !awake:
			quiet++
			continue
		case time.Now().After(end):
			list, _ := b.members()
			b.resume()
			return whyAwake(list)
		}
		quiet = 0
		time.Sleep(time.Millisecond)
	}
	return nil
}

// Thaw implements [sandbox.Box].
func (b *box) Thaw() error {
	b.freezing.Lock()
	defer b.freezing.Unlock()
	if _, err := b.namespace(); err != nil {
		return err
	}
	var err error
	if b.frozen && b.iced {
		err = b.group.Thaw()
	} else {
		err = b.resume()
	}
	b.frozen = b.frozen && err != nil
	return err
}

// stop sends SIGSTOP to all processes, and reports whether one is not stopped
// yet.
func (b *box) stop() (awake bool, err error) {
	list, err := b.signalAll(unix.SIGSTOP)
	if err != nil {
		return false, err
	}
	for _, pid := range list {
		if !proc.Stopped(pid) {
			return true, nil
		}
	}
	return false, nil
}

// resume sends SIGCONT to all processes. Those that are born meanwhile are not
// stopped.
func (b *box) resume() error {
	_, err := b.signalAll(unix.SIGCONT)
	return err
}

func (b *box) signalAll(sig unix.Signal) ([]int, error) {
	list, err := b.members()
	if err != nil {
		return nil, err
	}
	return list, proc.SignalAll(list, sig, b.has)
}

// has reports whether a process is one of the box.
func (b *box) has(pid int) (bool, error) {
	of, err := proc.Namespace(pid)
	if err != nil {
		return false, nil // it has ended
	}
	ns, err := b.namespace()
	return of == ns, err
}
