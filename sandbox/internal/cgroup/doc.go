// Package cgroup keeps a box inside control groups, by the best way that the
// machine offers to this process:
//
//	scope      cgroup v2: a scope unit that the systemd of the user (for root, of
//	           the machine) makes and delegates (systemd.scope(5))
//	subtree    cgroup v2: below a cgroup that this process may write to
//	v1         the memory, pids and cpu hierarchies of cgroup v1, where writable
//
// In each case the box is in cgroups of its own, which nobody else is in, and
// which are removed when it has ended. They are named after the launcher, so that
// [Sweep] can tell those of launchers that were killed. Nothing is ever written to
// a cgroup that was not made here, but for two files of the cgroup around it: in
// one the controllers are switched on for children (cgroup.subtree_control), where
// this process is alone in it; and one takes back the thread that forks (tasks).
//
// In v2, processes are only in leaves of the tree ("no internal processes",
// cgroups(7)), so a scope holds the box one level further down. In a second leaf it
// holds this process: systemd removes a scope that has become empty, and all that is
// below, at any moment after the last process of the box has ended, and with it what
// the kernel has counted (memory.events, memory.peak, cpu.stat), by which alone it can
// be told why the box has ended. A scope ends with its launcher in any case. Of several
// boxes that a process has at a time the last one is kept so.
package cgroup

// Tier names a way.
type Tier string

const (
	None    Tier = ""
	Scope   Tier = "systemd scope"
	Subtree Tier = "cgroup v2"
	V1      Tier = "cgroup v1"
)

// Limits is what a box may take. Zero is no limit.
type Limits struct {
	Memory int64 // bytes, without any swap beside it
	Pids   int64 // processes and threads
	// Quota is processor time in microseconds for each 100 milliseconds.
	Quota int64
}

// Period is what a quota is for, in microseconds; the kernel's default.
const Period = 100_000
