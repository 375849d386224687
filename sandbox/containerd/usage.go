package containerd

import (
	"fmt"
	"os"
	"slices"
	"sync"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/internal/cgroup"
	"github.com/mcpbox/mcpbox/sandbox/internal/proc"
	"golang.org/x/sys/unix"
)

// Tier implements [sandbox.Box].
func (x *box) Tier() sandbox.Tier {
	if x.group.Tier == cgroup.None {
		return sandbox.TierWatchdog
	}
	return sandbox.Tier(x.group.Tier)
}

// Cgroups implements [sandbox.Box].
func (x *box) Cgroups() []string { return x.group.Dirs() }

func (x *box) over() bool {
	select {
	case <-x.done:
		return true
	default:
		return false
	}
}

// members are the processes of the box, by its cgroup, of which the kernel takes out
// what is ending, and by its PID namespace, outside of which gVisor has helpers.
func (x *box) members() ([]int, error) {
	var list []int
	var err error
	if x.Tier().Kernel() {
		list, err = x.group.Members()
	}
	if x.ns != "" {
		var more []int
		if more, err = proc.Members(x.ns, x.pid); err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	slices.Sort(list)
	return slices.Compact(list), err
}

// killMembers kills the processes that there are of a box that ends, and lists them. The
// kernel kills those that are in the PID namespace, and does not know of gVisor's helpers.
func (x *box) killMembers() ([]int, error) {
	list, err := x.members()
	for _, pid := range list {
		proc.Signal(pid, unix.SIGKILL, x.has)
	}
	return list, err
}

// Processes implements [sandbox.Box].
func (x *box) Processes() ([]int, error) {
	members := x.group.Members
	if !x.Tier().Kernel() {
		members = x.members
	}
	list, err := members()
	if x.over() {
		return nil, os.ErrProcessDone
	}
	return slices.DeleteFunc(list, func(pid int) bool { return pid == x.pid }), err
}

// Usage implements [sandbox.Box].
func (x *box) Usage() (sandbox.Load, error) {
	list, err := x.Processes()
	if err != nil {
		return sandbox.Load{}, err
	}
	if !x.Tier().Kernel() {
		load := sandbox.Load{Processes: len(list)}
		for _, pid := range append(list, x.pid) {
			if stat, err := proc.ReadStat(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
				load.CPU += stat.CPU + stat.Waited
			}
			r := proc.ReadRollup(pid)
			load.Memory += r.Anon + r.Swap + r.Shmem
		}
		return load, nil
	}
	load := sandbox.Load{Processes: len(list), Memory: x.group.Memory().Now}
	user, system, _ := x.group.Time()
	load.CPU = user + system
	return load, nil
}

// facts is what becomes known of a box's memory.
type facts struct {
	mu       sync.Mutex
	peak     int64
	exceeded bool
}

func (f *facts) note(used int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.peak = max(f.peak, used)
}

func (f *facts) exceed(used int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.peak, f.exceeded = max(f.peak, used), true
}

func (f *facts) conclude(g *cgroup.Group, limit int64) {
	if g.Tier == cgroup.None {
		return
	}
	m := g.Memory()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.peak = max(f.peak, m.Peak)
	// The machine's memory may have run out instead.
	f.exceeded = f.exceeded || m.Killed > 0 && limit > 0 && (m.Peak == 0 || m.Peak >= limit/10*9)
}

func (f *facts) result(limit int64) (sandbox.Memory, *sandbox.LimitError) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := sandbox.Memory{Peak: f.peak, Limit: limit}
	if !f.exceeded {
		return m, nil
	}
	return m, &sandbox.LimitError{Limit: "memory", Used: f.peak, Allowed: limit}
}
