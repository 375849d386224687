package containerd

import (
	"fmt"
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

// watchMemory kills the box when it takes more than its limit. It is measured as it runs.
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
		if used = m.Look(list, x.limits.Memory); used >= x.limits.Memory {
			used, _ = m.Measure(list, time.Time{})
		}
		if used >= x.limits.Memory {
			x.memory.exceed(used)
			x.Kill()
			return
		}
		x.memory.note(used)
	}
}

// addTmpfs has the meter count the box's file systems in memory that it may write to.
func (x *box) addTmpfs(m *memory.Meter, mounts []specs.Mount) {
	for _, mount := range mounts {
		if mount.Type != "tmpfs" {
			continue
		}
		fd, err := unix.Open(fmt.Sprintf("/proc/%d/root%s", x.pid, mount.Destination), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err == nil {
			m.Add(os.NewFile(uintptr(fd), mount.Destination))
		}
	}
}
