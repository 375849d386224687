package cgroup

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Group is the cgroups of one box. With the tier None there is none that limits
// it.
type Group struct {
	Tier Tier

	skip []string // tiers that tests go without
	name string
	v1   map[string]string // the box's directories by controller; stays as it is after New
	home here              // where this process is
	call *scopeCall        // to systemd, until Adopt
	oom  *os.File          // of v1 an eventfd(2), of v2 memory.events; nil if nobody has to wait
	look bool              // at the counter of v1, as this process may not listen

	mu      sync.Mutex
	v2      string   // the box's directory, or ""
	made    []string // to be removed, the last first
	removed bool
}

// Offer is the best tier that [New] and [Group.Adopt] would try here, without
// those in skip. It makes nothing.
func Offer(skip []string) Tier {
	h, err := find()
	if err != nil {
		return None
	}
	return offer(h, skip)
}

func offer(h here, skip []string) Tier {
	may := func(t Tier) bool { return !slices.Contains(skip, string(t)) }
	switch {
	case Unified() && may(Scope) && systemd() != "":
		return Scope
	case h[""] != "" && may(Subtree) && base(h[""], 0) != "":
		return Subtree
	case may(V1) && v1Usable(h):
		return V1
	}
	return None
}

// New begins to make the cgroups of the next box: all that can be done while it
// has no process. skip lists tiers that are not to be used.
func New(skip []string) *Group {
	g := &Group{skip: skip}
	var err error
	if g.home, err = find(); err != nil {
		return g
	}
	if g.name, err = NewName(); err != nil {
		g.home = nil
		return g
	}
	switch g.Tier = offer(g.home, skip); g.Tier {
	case Scope:
		g.call = newScopeCall(g.name + ".scope")
	case V1:
		if g.makeV1() != nil {
			for _, dir := range g.v1 {
				remove(dir)
			}
			g.Tier, g.v1 = None, nil
		}
	}
	return g
}

// Adopt puts the process pid, which has no child yet, into the cgroups. Where
// systemd does not make a scope, the next best is tried; where nothing is left,
// the tier is None.
func (g *Group) Adopt(pid int) {
	if g.Tier == Scope {
		scope, err := g.call.start(pid)
		if err == nil {
			g.home[""] = scope
			err = g.adopt(scope, pid)
		}
		if err == nil {
			return
		}
		if own, err := unifiedOf(os.Getpid()); err == nil { // it may have been moved
			g.home[""] = own
		}
		g.Tier = None
		if !slices.Contains(g.skip, string(Subtree)) {
			g.Tier = Subtree
		}
	}
	if g.Tier == Subtree {
		if at := base(g.home[""], pid); at == "" || g.adopt(at, pid) != nil {
			g.Tier = None
		}
	}
}

// Limit puts the limits in force. The processor's is left out where there is no
// controller for it, which [Group.CPU] tells.
func (g *Group) Limit(l Limits) error {
	if g.Tier == V1 {
		return g.limitV1(l)
	}
	return g.limitV2(l)
}

// CPU reports whether processor time can be limited.
func (g *Group) CPU() bool {
	if g.Tier == V1 {
		return g.v1["cpu"] != ""
	}
	return slices.Contains(words(g.v2, "cgroup.controllers"), "cpu")
}

// Dirs are the directories of the box, for whoever has to end it without its
// launcher.
func (g *Group) Dirs() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.made)
}

// Memory is what a box takes and has taken, in bytes.
type Memory struct {
	Now  int64 // without what the kernel only keeps in case it is read again
	Peak int64 // with it; 0 where the kernel does not say (before Linux 5.19)
	// Killed is how many processes the kernel has killed because the limit was
	// reached.
	Killed int64
}

// Memory measures the box. What it cannot find out is 0.
func (g *Group) Memory() Memory {
	if g.Tier == V1 {
		dir := g.v1["memory"]
		return Memory{
			Now:    number(dir, "memory.usage_in_bytes") - keyed(dir, "memory.stat", "total_inactive_file"),
			Peak:   number(dir, "memory.max_usage_in_bytes"),
			Killed: keyed(dir, "memory.oom_control", "oom_kill"),
		}
	}
	return Memory{
		Now:    number(g.v2, "memory.current") - keyed(g.v2, "memory.stat", "inactive_file"),
		Peak:   number(g.v2, "memory.peak"),
		Killed: keyed(g.v2, "memory.events", "oom_kill"),
	}
}

// AwaitOOM blocks until memory has run out, and reports whether it has: in v1, where
// one process is killed, before the kernel kills, and in v2, where all are, when it
// has killed. It returns false when the group is removed. In v2 this is for cgroups
// that others may remove, with what the kernel has counted in them; those that [New]
// makes stay until Remove, and of them it returns false at once.
func (g *Group) AwaitOOM() bool {
	switch {
	case g.look:
		return g.lookV1()
	case g.oom == nil:
		return false
	case g.Tier == V1:
		return g.awaitV1()
	default:
		return g.awaitV2()
	}
}

// Time is the processor time of all processes that there are and were, in user and in
// kernel mode, if the kernel counts it for the group.
func (g *Group) Time() (user, system time.Duration, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case g.removed:
	case g.Tier == V1 && g.v1["cpuacct"] != "":
		dir := g.v1["cpuacct"]
		user, system = time.Duration(number(dir, "cpuacct.usage_user")), time.Duration(number(dir, "cpuacct.usage_sys"))
	case g.Tier == Scope || g.Tier == Subtree:
		user = time.Duration(keyed(g.v2, "cpu.stat", "user_usec")) * time.Microsecond
		system = time.Duration(keyed(g.v2, "cpu.stat", "system_usec")) * time.Microsecond
	}
	return user, system, user+system > 0
}

// Remove removes the cgroups once their processes have ended.
func (g *Group) Remove() {
	if g.call != nil {
		g.call.close()
	}
	if g.oom != nil {
		g.oom.Close()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.removed = true
	for _, dir := range slices.Backward(g.made) {
		remove(dir)
	}
	g.made = nil
}

// removeTime bounds the wait for a cgroup whose processes have ended, and which
// the kernel still takes to be in use.
const removeTime = 100 * time.Millisecond

func remove(dir string) error {
	for end := time.Now().Add(removeTime); ; time.Sleep(time.Millisecond) {
		err := unix.Rmdir(dir)
		if err == nil || err == unix.ENOENT {
			return nil
		}
		if err != unix.EBUSY || time.Now().After(end) {
			return &os.PathError{Op: "rmdir", Path: dir, Err: err}
		}
	}
}

func number(dir, name string) int64 {
	if w := words(dir, name); len(w) == 1 {
		n, _ := strconv.ParseInt(w[0], 10, 64)
		return n
	}
	return 0
}

// keyed finds the number that stands behind key in a line of its own.
func keyed(dir, name, key string) int64 {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return 0
	}
	return count(string(data), key)
}

// count is keyed for the text of a file.
func count(text, key string) int64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, key+" "); ok {
			n, _ := strconv.ParseInt(strings.TrimSpace(rest), 10, 64)
			return n
		}
	}
	return 0
}

// mkdir makes a cgroup that Remove removes.
func (g *Group) mkdir(dir string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.removed {
		return os.ErrProcessDone
	}
	if err := mkdir(dir); err != nil {
		return err
	}
	g.made = append(g.made, dir)
	return nil
}

func mkdir(dir string) error {
	if err := unix.Mkdir(dir, 0o755); err != nil {
		return &os.PathError{Op: "mkdir", Path: dir, Err: err}
	}
	return nil
}

func decimal(n int64) string { return fmt.Sprint(n) }
