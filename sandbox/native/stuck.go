package native

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// A process that waits in the kernel for something that does not come, such as the
// answer of a file system of a user's (FUSE) or of the network, does not end by
// SIGKILL before that (state D in proc_pid_stat(5)). PID 1 waits for it, and so does
// whoever waits for PID 1. No instruction of it is executed any more.

const (
	// stuckTime is how long a box may take to end before somebody looks why. The
	// kernel needs milliseconds, a busy machine more.
	stuckTime = 2 * time.Second
	// stuckAgain is until the second look, which has to find the same.
	stuckAgain = 500 * time.Millisecond
)

// awaitEnd returns when nothing is left of a box that is ending, or nothing but
// processes that nobody can end, which it lists.
func (b *box) awaitEnd() []int {
	b.endOnce.Do(func() {
		var before []int
		for pause := stuckTime; ; pause = stuckAgain {
			select {
			case <-b.done:
				return
			case <-time.After(pause):
			}
			now := b.findStuck()
			if len(now) > 0 && slices.Equal(now, before) {
				b.noteGroup()
				b.stuck = now
				return
			}
			before = now
		}
	})
	return b.stuck
}

// findStuck lists the processes of a killed box if all that are left are stuck.
func (b *box) findStuck() []int {
	list, err := b.members()
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	list = slices.DeleteFunc(list, func(pid int) bool { return len(threadStates(pid)) == 0 })
	if threadWaits(b.pid) { // it was still making the box
		list = append(list, b.pid)
	}
	for _, pid := range list {
		if slices.ContainsFunc(threadStates(pid), func(state byte) bool { return state != 'D' }) {
			return nil
		}
	}
	slices.Sort(list)
	return list
}

// threadWaits reports whether a thread of a process waits in the kernel.
func threadWaits(pid int) bool { return slices.Contains(threadStates(pid), 'D') }

// threadStates are those of the threads that have not ended (proc_pid_stat(5)).
func threadStates(pid int) (list []byte) {
	tasks := fmt.Sprintf("/proc/%d/task", pid)
	dir, err := os.Open(tasks)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, tid := range names {
		if s, err := readStat(tasks + "/" + tid + "/stat"); err == nil && s.state != 'Z' && s.state != 'X' {
			list = append(list, s.state)
		}
	}
	return list
}
