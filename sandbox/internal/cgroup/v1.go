package cgroup

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"
)

// The hierarchies of v1 that a box has cgroups in, the last of them to count only. Not
// the freezer: a process that is frozen there does not end by SIGKILL, so that a box
// would outlive its launcher.
var v1Controllers = []string{"memory", "pids", "cpu", "cpuacct"}

// v1Needed are those without which there is no limit.
var v1Needed = v1Controllers[:2]

// v1Usable reports whether this process may make cgroups in v1, and have a
// thread go there and come back.
func v1Usable(h here) bool {
	for _, c := range v1Needed {
		dir, ok := h[c]
		if !ok || !writable(dir, filepath.Join(dir, "tasks")) {
			return false
		}
	}
	return true
}

func (g *Group) makeV1() error {
	g.v1 = map[string]string{}
	for _, c := range v1Controllers {
		parent, ok := g.home[c]
		if !ok || !slices.Contains(v1Needed, c) && !writable(parent, filepath.Join(parent, "tasks")) {
			continue
		}
		dir := filepath.Join(parent, g.name)
		if err := g.mkdir(dir); err != nil && !errors.Is(err, unix.EEXIST) { // hierarchies may be mounted together
			return err
		}
		g.v1[c] = dir
	}
	return nil
}

// Enter moves the calling thread, which has to be locked to its goroutine, into
// the cgroups of v1, so that the process which it forks is born there. To move
// another thread, or a whole process, the kernel waits for all processors
// (cgroup_procs_write_start in kernel/cgroup/cgroup.c), which takes longer than
// all the rest of a start. Leave has to follow.
func (g *Group) Enter() {
	for _, dir := range g.v1 {
		if write(dir, "tasks", "0") != nil {
			g.Leave()
			for _, dir := range g.v1 {
				remove(dir)
			}
			g.Tier, g.v1 = None, nil
			return
		}
	}
}

// Leave moves the thread back.
func (g *Group) Leave() {
	for c := range g.v1 {
		write(g.home[c], "tasks", "0") // whatever keeps it also keeps it limited
	}
}

func (g *Group) limitV1(l Limits) error {
	if l.Memory > 0 {
		dir := g.v1["memory"]
		if err := write(dir, "memory.limit_in_bytes", decimal(l.Memory)); err != nil {
			return err
		}
		// Memory and swap together may be as much, so there is no swap. Kernels
		// that do not count swap lack the file.
		err := write(dir, "memory.memsw.limit_in_bytes", decimal(l.Memory))
		if missing(err) {
			err = write(dir, "memory.swappiness", "0")
		}
		if err != nil {
			return err
		}
		if err := g.hearOOM(dir); err != nil {
			return err
		}
	}
	if l.Pids > 0 {
		if err := write(g.v1["pids"], "pids.max", decimal(l.Pids)); err != nil {
			return err
		}
	}
	if dir := g.v1["cpu"]; dir != "" && l.Quota > 0 {
		if err := write(dir, "cpu.cfs_period_us", decimal(Period)); err != nil {
			return err
		}
		return write(dir, "cpu.cfs_quota_us", decimal(l.Quota))
	}
	return nil
}

// hearOOM has the kernel say when memory has run out (cgroup-v1/memory.txt,
// section 10): it kills one process then, and the rest has to follow.
func (g *Group) hearOOM(dir string) error {
	control, err := unix.Open(filepath.Join(dir, "memory.oom_control"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(control)
	event, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return os.NewSyscallError("eventfd", err)
	}
	g.oom = os.NewFile(uintptr(event), "oom")
	return write(dir, "cgroup.event_control", fmt.Sprintf("%d %d", event, control))
}

// awaitV1 is AwaitOOM for v1.
func (g *Group) awaitV1() bool {
	n, _ := g.oom.Read(make([]byte, 8))
	// A removed cgroup signals too (cgroup-v1/cgroups.txt, section 2.4).
	return n == 8 && unix.Access(g.v1["memory"], unix.F_OK) == nil
}
