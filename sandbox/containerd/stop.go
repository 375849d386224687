package containerd

import (
	"errors"
	"os"
	"slices"
	"time"

	"github.com/mcpbox/mcpbox/sandbox/internal/cgroup"
	"github.com/mcpbox/mcpbox/sandbox/internal/proc"
	"golang.org/x/sys/unix"
)

// Where no cgroup can freeze a box, its processes are stopped with SIGSTOP, as in a native
// box (freeze.go there has the reasons). PID 1 goes on, and watches for the end of the
// launcher.

// errAwake is a box that does not come to rest.
var errAwake = errors.New("freeze: the server's processes keep waking each other, so they were left running; kill it")

// stopAll stops all processes but PID 1 within a time, or none.
func (x *box) stopAll(within time.Duration) error {
	end := time.Now().Add(within)
	// The second quiet pass finds what a process did to another just before it was
	// stopped itself.
	for quiet := 0; quiet < 2; {
		list, err := x.signalAll(unix.SIGSTOP)
		if err != nil {
			x.signalAll(unix.SIGCONT)
			return err
		}
		if !slices.ContainsFunc(list, func(pid int) bool { return !proc.Stopped(pid) }) {
			quiet++
			continue
		}
		if quiet = 0; time.Now().After(end) {
			x.signalAll(unix.SIGCONT)
			if slices.ContainsFunc(list, proc.Waits) {
				return cgroup.ErrInKernel
			}
			return errAwake
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}

// signalAll signals all processes but PID 1, and lists them.
func (x *box) signalAll(sig unix.Signal) ([]int, error) {
	list, err := x.members()
	if x.over() {
		return nil, os.ErrProcessDone
	}
	if err != nil {
		return nil, err
	}
	list = slices.DeleteFunc(list, func(pid int) bool { return pid == x.pid })
	return list, proc.SignalAll(list, sig, x.has)
}

// has reports whether a process is one of the box.
func (x *box) has(pid int) (bool, error) {
	if of, err := proc.Namespace(pid); err == nil && x.ns != "" && of == x.ns {
		return true, nil
	}
	if !x.Tier().Kernel() {
		return false, nil
	}
	list, err := x.group.Members()
	return err == nil && slices.Contains(list, pid), nil
}
