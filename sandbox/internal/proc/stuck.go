package proc

import (
	"slices"
	"time"
)

// A process that waits in the kernel for something that does not come, such as the
// answer of a file system of a user's (FUSE) or of the network, does not end by
// SIGKILL before that (state D in proc_pid_stat(5)). PID 1 waits for it, and so does
// whoever waits for PID 1. No instruction of it is executed any more.
//
// Nor is one of a killed process that stands still for its tracer (state t), if that is
// such a process: so do those of gVisor's that the server's instructions ran in.

const (
	// stuckTime is how long a box may take to end before somebody looks why. The
	// kernel needs milliseconds, a busy machine more.
	stuckTime = 2 * time.Second
	// stuckAgain is until the second look, which has to find the same.
	stuckAgain = 500 * time.Millisecond
)

// AwaitEnd returns when done is closed, as nothing is left of a box that has been
// killed, or when nothing but processes is left that nobody can end, which it lists.
// members lists those that there are; pid is PID 1, which may be one of them.
func AwaitEnd(done <-chan struct{}, pid int, members func() ([]int, error)) []int {
	var before []int
	for pause := stuckTime; ; pause = stuckAgain {
		select {
		case <-done:
			return nil
		case <-time.After(pause):
		}
		now := Stuck(pid, members)
		if len(now) > 0 && slices.Equal(now, before) {
			return now
		}
		before = now
	}
}

// Stuck lists the processes of a killed box if all that are left are stuck.
func Stuck(pid int, members func() ([]int, error)) []int {
	list, err := members()
	if err != nil {
		return nil
	}
	list = slices.DeleteFunc(list, func(n int) bool { return n == pid })
	if Waits(pid) { // it was still making the box, or is gVisor's kernel
		list = append(list, pid)
	}
	waits := false
	list = slices.DeleteFunc(list, func(n int) bool { return len(Threads(n)) == 0 })
	for _, n := range list {
		for _, state := range Threads(n) {
			if state != 'D' && state != 't' {
				return nil
			}
			waits = waits || state == 'D'
		}
	}
	if !waits { // they are about to end
		return nil
	}
	slices.Sort(list)
	return slices.Compact(list)
}
