package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Of finds the cgroups called name that the process pid has been put into by
// somebody else, a container runtime for one, which has also set their limits. With
// a limit on memory it hears of its being reached. Remove leaves them to whoever
// has made them, and removes what that one has left.
func Of(pid int, name string, limits Limits) (*Group, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
	if err != nil {
		return nil, err
	}
	all, err := placesOf(string(text))
	if err != nil {
		return nil, err
	}
	g := &Group{name: name, v1: map[string]string{}}
	seen := map[string]bool{}
	for controller, dir := range all {
		if filepath.Base(dir) != name {
			continue
		}
		if !seen[dir] {
			seen[dir] = true
			g.made = append(g.made, dir)
		}
		if controller == "" {
			g.v2 = dir
		} else {
			g.v1[controller] = dir
		}
	}
	switch {
	case g.v1["memory"] != "" && g.v1["pids"] != "":
		g.Tier = V1
	case g.v2 != "" && offers(words(g.v2, "cgroup.controllers")):
		g.Tier = Subtree
	default:
		return g, nil
	}
	if limits.Memory > 0 {
		if g.Tier == V1 {
			g.look = g.hearOOM(g.v1["memory"]) != nil
		} else {
			g.openEvents()
		}
	}
	return g, nil
}

// Members are the processes in the cgroups, in no order.
func (g *Group) Members() ([]int, error) {
	dir := g.v2
	if g.Tier == V1 {
		dir = g.v1["pids"]
	}
	data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if err != nil {
		return nil, err
	}
	return numbers(string(data)), nil
}

// Processes are those in cgroups that may be gone.
func Processes(dirs []string) (list []int) {
	for _, dir := range dirs {
		if data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs")); err == nil {
			list = append(list, numbers(string(data))...)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Unfreeze thaws the box in the freezer of v1, if it is in one.
func (g *Group) Unfreeze() error {
	dir := g.v1["freezer"]
	if dir == "" {
		return nil
	}
	return write(dir, "freezer.state", "THAWED")
}

// openEvents opens the file in which the kernel counts, without blocking, so that a
// change of it can be waited for.
func (g *Group) openEvents() error {
	path := filepath.Join(g.v2, "memory.events")
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: path, Err: err}
	}
	g.oom = os.NewFile(uintptr(fd), path)
	return nil
}

// lookEvery is how often it is looked at a counter.
const lookEvery = 100 * time.Millisecond

// lookV1 is AwaitOOM for v1 where this process may not listen, as the cgroup is
// somebody else's: it looks, when the kernel has killed.
func (g *Group) lookV1() bool {
	for ; ; time.Sleep(lookEvery) {
		text, err := os.ReadFile(filepath.Join(g.v1["memory"], "memory.oom_control"))
		if err != nil {
			return false // the group has been removed
		}
		if count(string(text), "oom_kill") > 0 {
			return true
		}
	}
}

// awaitV2 is AwaitOOM for v2. The kernel wakes whoever polls the file when a count
// in it changes.
func (g *Group) awaitV2() bool {
	conn, err := g.oom.SyscallConn()
	if err != nil {
		return false
	}
	killed := false
	err = conn.Read(func(fd uintptr) bool {
		text := make([]byte, 512)
		n, err := unix.Pread(int(fd), text, 0)
		if err != nil {
			return true // the group has been removed
		}
		killed = count(string(text[:n]), "oom_kill") > 0
		return killed
	})
	return err == nil && killed
}
