package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// base is the cgroup of v2 below which this process, in own, may make others with
// controllers: the nearest one around it that has them switched on for its
// children, or its own, if nobody is in it but this process and other. "" is
// none. Slices are systemd's, which takes nobody else's cgroups there.
func base(own string, other int) string {
	for dir := own; strings.HasPrefix(dir, mountPoint); dir = filepath.Dir(dir) {
		if strings.HasSuffix(dir, ".slice") || !writable(dir, filepath.Join(dir, "cgroup.procs"), filepath.Join(dir, "cgroup.subtree_control")) {
			return ""
		}
		if offers(words(dir, "cgroup.subtree_control")) {
			return dir
		}
		if dir == own && offers(words(dir, "cgroup.controllers")) && alone(dir, other) {
			return dir
		}
	}
	return ""
}

// alone reports whether a cgroup holds this process, and perhaps other, only.
func alone(dir string, other int) bool {
	procs := words(dir, "cgroup.procs")
	return len(procs) > 0 && !slices.ContainsFunc(procs, func(p string) bool {
		return p != decimal(int64(os.Getpid())) && p != decimal(int64(other))
	})
}

// adopt makes a cgroup for pid below at, which is delegated to this process.
func (g *Group) adopt(at string, pid int) error {
	dir := filepath.Join(at, g.name)
	if err := g.mkdir(dir); err != nil {
		return err
	}
	if err := write(dir, "cgroup.procs", decimal(int64(pid))); err != nil {
		return err
	}
	g.mu.Lock()
	g.v2 = dir
	g.mu.Unlock()
	if !offers(words(at, "cgroup.subtree_control")) {
		return g.enable(at)
	}
	return nil
}

// enable switches the controllers on for the children of at, which may have no
// process itself then: this process, if it is there, moves to a leaf. That stays
// as long as this process does; Sweep removes it.
func (g *Group) enable(at string) error {
	if at == g.home[""] {
		name, err := NewName()
		if err != nil {
			return err
		}
		leaf := filepath.Join(at, name)
		if err := mkdir(leaf); err != nil {
			return err
		}
		if err := write(leaf, "cgroup.procs", "0"); err != nil {
			return err
		}
		g.home[""] = leaf
	}
	if err := write(at, "cgroup.subtree_control", "+memory +pids"); err != nil {
		return err
	}
	if slices.Contains(words(at, "cgroup.controllers"), "cpu") {
		return write(at, "cgroup.subtree_control", "+cpu")
	}
	return nil
}

func (g *Group) limitV2(l Limits) error {
	set := func(name string, value int64) (err error) {
		if value > 0 {
			err = write(g.v2, name, decimal(value))
		}
		return err
	}
	if l.Memory > 0 {
		// Files of kernels that count no swap, and those before 4.19, are not
		// there; the limit itself always is.
		for _, f := range [][2]string{{"memory.swap.max", "0"}, {"memory.oom.group", "1"}} {
			if err := write(g.v2, f[0], f[1]); err != nil && !missing(err) {
				return err
			}
		}
	}
	if err := errors.Join(set("memory.max", l.Memory), set("pids.max", l.Pids)); err != nil {
		return err
	}
	if l.Quota > 0 && g.CPU() {
		return write(g.v2, "cpu.max", decimal(l.Quota)+" "+decimal(Period))
	}
	return nil
}

// ErrNoFreezer is that there is no cgroup of v2 in which a box can be frozen.
var ErrNoFreezer = errors.New("no cgroup that can be frozen")

// ErrInKernel is that a process does not stop before something has come to pass in the
// kernel.
var ErrInKernel = errors.New("freeze: a process waits for something in the kernel, so all were left running; kill it")

// freezeTime bounds the wait for the kernel to stop all processes.
const freezeTime = 2 * time.Second

// Whole reports whether all of the box is in a cgroup that can be frozen.
func (g *Group) Whole() bool { return g.v2 != "" && (g.Tier == Scope || g.Tier == Subtree) }

// Freeze stops every process in the group. An error leaves none stopped: one that
// waits for something in the kernel may not come to rest.
func (g *Group) Freeze() error {
	if err := write(g.v2, "cgroup.freeze", "1"); err != nil {
		return err
	}
	for end := time.Now().Add(freezeTime); keyed(g.v2, "cgroup.events", "frozen") != 1; time.Sleep(time.Millisecond / 2) {
		if _, err := os.Stat(g.v2); err != nil {
			return os.ErrProcessDone
		}
		if time.Now().After(end) {
			return errors.Join(ErrInKernel, g.Thaw())
		}
	}
	return nil
}

// Thaw lets them go on.
func (g *Group) Thaw() error {
	if g.v2 == "" {
		return nil
	}
	err := write(g.v2, "cgroup.freeze", "0")
	if missing(err) {
		return os.ErrProcessDone
	}
	return err
}

// MakeFreezer makes a cgroup of v2 without controllers for a box that is in none,
// in which what comes in is frozen.
func (g *Group) MakeFreezer() error {
	if g.v2 == "" {
		parent := g.home[""]
		if parent == "" || slices.Contains(g.skip, "freezer") || !writable(parent, filepath.Join(parent, "cgroup.procs")) {
			return ErrNoFreezer
		}
		dir := filepath.Join(parent, g.name)
		if err := g.mkdir(dir); err != nil {
			return ErrNoFreezer
		}
		g.mu.Lock()
		g.v2 = dir
		g.mu.Unlock()
	}
	return write(g.v2, "cgroup.freeze", "1")
}

// Outside are those of the processes that are not in the cgroup.
func (g *Group) Outside(list []int) []int {
	inside := words(g.v2, "cgroup.procs")
	return slices.DeleteFunc(list, func(pid int) bool { return slices.Contains(inside, decimal(int64(pid))) })
}

// Gather moves processes into the cgroup. What they start from then on is in it.
func (g *Group) Gather(list []int) error {
	for _, pid := range list {
		if err := write(g.v2, "cgroup.procs", decimal(int64(pid))); err != nil && !errors.Is(err, unix.ESRCH) {
			return err
		}
	}
	return nil
}
