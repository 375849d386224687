package containerd

import (
	"os"
	"time"

	"github.com/mcpbox/mcpbox/sandbox/internal/memory"
	"github.com/mcpbox/mcpbox/sandbox/internal/proc"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Where no cgroup limits a box, as with a containerd that is not root's, its memory is
// measured, and the box is killed that takes more than it may. Processes are a resource
// limit, and in the place of one on processor time there is a low priority.

// nice is that priority (nice(2)).
const nice = 5

// lowerPriority has all threads of PID 1, and what it starts, give way to others more
// than containerd does, who may do so already.
func lowerPriority(pid int) error {
	// By system call, 20 minus the value (getpriority(2), C library/kernel
	// differences).
	now, err := unix.Getpriority(unix.PRIO_PGRP, pid)
	if err != nil {
		return err
	}
	return unix.Setpriority(unix.PRIO_PGRP, pid, min(20-now+nice, 19))
}

// watchMemory kills the box when it takes more than its limit.
func (x *box) watchMemory(mounts []specs.Mount) {
	m := memory.NewMeter()
	defer m.Close()
	x.addTmpfs(m, mounts)
	used := int64(0)
	for {
		select {
		case <-x.done:
			return
		case <-time.After(proc.LookAgain(x.limits.Memory - used)):
		}
		list, err := x.members()
		if err != nil {
			return // it has ended
		}
		// Cheap, and too much: what processes share counts for each of them.
		now := m.Look(list, x.limits.Memory)
		if now >= x.limits.Memory {
			if now, err = x.settle(m, list, used); err != nil {
				return
			}
		}
		if used = now; used >= x.limits.Memory {
			x.memory.exceed(used)
			x.Kill()
			return
		}
		x.memory.note(used)
	}
}

// restTime is for how long a box is waited for to come to rest. Whoever grows meanwhile
// is found by the measurement, and who does not come to rest is killed.
const restTime = time.Second

// settle measures a box that seems to have reached its limit, and had used so much before:
// as it runs, if that is done before it can have filled what was left to it, and otherwise
// at rest. One that does not come to rest has reached its limit, as it may take anything
// while it is measured.
func (x *box) settle(m *memory.Meter, list []int, used int64) (int64, error) {
	if now, whole := m.Measure(list, time.Now().Add(proc.LookAgain(x.limits.Memory-used))); whole {
		return now, nil
	}
	x.freezing.Lock()
	defer x.freezing.Unlock()
	if !x.frozen {
		if err := x.stopAll(restTime); x.over() {
			return 0, os.ErrProcessDone
		} else if err != nil {
			return x.limits.Memory, nil
		}
	}
	list, err := x.members()
	if err != nil {
		return 0, err
	}
	now, _ := m.Measure(list, time.Time{})
	if now < x.limits.Memory && !x.frozen {
		if _, err := x.signalAll(unix.SIGCONT); err != nil && !x.over() {
			return x.limits.Memory, nil // it would stand still for ever
		}
	}
	return now, nil
}

// addTmpfs has the meter count the box's file systems in memory that it may write to.
func (x *box) addTmpfs(m *memory.Meter, mounts []specs.Mount) {
	for _, mount := range mounts {
		if mount.Type == "tmpfs" {
			m.AddMount(x.pid, mount.Destination)
		}
	}
}
