package native

import (
	"cmp"
	"fmt"
	"os"
	"sync"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/internal/cgroup"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
)

// boxLimits is what cgroups are to limit, and whether nothing less will do.
type boxLimits struct {
	cgroup.Limits
	require bool
}

// lowPriority is the nice value of a box whose processor time cannot be limited.
const lowPriority = 5

// limit puts the limits in force, before there is a program that they are for.
func (b *box) limit(l boxLimits, plan *wire.Plan) error {
	b.limits = l.Limits
	if l.require && b.Tier() == sandbox.TierWatchdog {
		_, fix := cgroupObstacle()
		return &sandbox.UnsupportedError{
			Feature: `[limits] require = "cgroup"`,
			Reason:  "there is no cgroup for boxes that this process may make",
			Fix:     fix + "; or leave the line out, and a watchdog keeps the limits",
		}
	}
	if b.group.Tier == cgroup.None {
		if l.Memory > 0 || l.Quota > 0 {
			plan.Nice = lowPriority
		}
		return nil
	}
	if l.Quota > 0 && !b.group.CPU() {
		plan.Nice = lowPriority
	}
	if err := b.group.Limit(l.Limits); err != nil {
		return fmt.Errorf("limits: %w", err)
	}
	return nil
}

// watch begins what limits need while the program runs.
func (b *box) watch(mounts []wire.Mount) {
	switch {
	case b.limits.Memory == 0:
	case b.group.Tier == cgroup.None:
		go b.watchMemory(mounts)
	case b.group.Tier == cgroup.V1:
		go func() {
			// The kernel kills one process; a server without it would hang.
			if b.group.AwaitOOM() {
				b.memory.exceed(0)
				b.Kill()
			}
		}()
	}
}

// noteGroup notes how the box has fared, once it has ended: what the kernel has counted
// is there until the group is removed.
func (b *box) noteGroup() {
	b.noteOnce.Do(func() {
		if b.group.Tier != cgroup.None {
			m := b.group.Memory()
			b.memory.note(m.Peak)
			// The machine's memory may have run out instead.
			if m.Killed > 0 && b.limits.Memory > 0 && (m.Peak == 0 || m.Peak >= b.limits.Memory/10*9) {
				b.memory.exceed(cmp.Or(m.Peak, b.limits.Memory))
			}
		}
		b.user, b.system, _ = b.group.Time()
	})
}

// memoryFacts is what becomes known of a box's memory.
type memoryFacts struct {
	mu       sync.Mutex
	peak     int64
	exceeded bool
}

func (f *memoryFacts) note(used int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.peak = max(f.peak, used)
}

func (f *memoryFacts) exceed(used int64) {
	f.note(used)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.exceeded = true
}

func (f *memoryFacts) conclude(limit int64) (sandbox.Memory, *sandbox.LimitError) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := sandbox.Memory{Peak: f.peak, Limit: limit}
	if !f.exceeded {
		return m, nil
	}
	return m, &sandbox.LimitError{Limit: "memory", Used: f.peak, Allowed: limit}
}

// Tier implements [sandbox.Box].
func (b *box) Tier() sandbox.Tier { return tier(b.group.Tier) }

// Cgroups implements [sandbox.Box].
func (b *box) Cgroups() []string { return b.group.Dirs() }

// Tier implements [sandbox.Backend].
func (b *Backend) Tier() sandbox.Tier { return tier(cgroup.Offer(layersOff())) }

func tier(t cgroup.Tier) sandbox.Tier {
	if t == cgroup.None {
		return sandbox.TierWatchdog
	}
	return sandbox.Tier(t)
}

// Sweep removes the cgroups that launchers have left which were killed: those
// beside this process, and dirs, which are forgotten otherwise. It removes none
// that has a process in it.
func Sweep(dirs ...string) {
	cgroup.Sweep(dirs...)
}

// KillCgroups ends all processes in the cgroups of a box, by what Box.Cgroups
// has said of it.
func KillCgroups(dirs []string) error { return cgroup.Kill(dirs) }

// FrozenCgroups reports whether the processes in the cgroups of a box are frozen so that
// they do not end by SIGKILL, by what Box.Cgroups has said of it.
func FrozenCgroups(dirs []string) bool { return cgroup.Frozen(dirs) }

// limitsLayer reports by what the limits of this box hold.
func (b *box) limitsLayer(s wire.Started) sandbox.Layer {
	l := describeTier(b.Tier(), b.group.CPU())
	if len(s.SysctlRefused) > 0 {
		l.State = sandbox.Partial
		l.Detail += fmt.Sprintf("; the kernel does not let a user namespace set %v", s.SysctlRefused)
	}
	return l
}

func describeTier(t sandbox.Tier, cpu bool) sandbox.Layer {
	l := sandbox.Layer{Name: "limits", State: sandbox.Enforced, Detail: string(t) + ": memory, processor time, processes"}
	switch {
	case t == sandbox.TierWatchdog:
		l.State = sandbox.Partial
		l.Detail = "watchdog: memory is measured, and the box killed; processes by resource limit; processor time by priority only"
	case !cpu:
		l.State = sandbox.Partial
		l.Detail = string(t) + ": memory, processes; processor time by priority only"
	}
	return l
}

// checkLimits makes the cgroups of a box, for a process that ends at once.
func (b *Backend) checkLimits() sandbox.Layer {
	box, err := conceive()
	if err != nil {
		return sandbox.Layer{Name: "limits", State: sandbox.Missing, Detail: "no box to try it with"}
	}
	defer box.abandon()
	l := describeTier(box.Tier(), box.group.CPU())
	if l.State != sandbox.Enforced {
		l.Fix = "boxes work without, but a cgroup is exact: "
		reason, fix := cgroupObstacle()
		l.Fix += reason + "; " + fix
	}
	return l
}

// cgroupObstacle says why there may be no cgroup for a box, and what would help.
func cgroupObstacle() (reason, fix string) {
	switch {
	case inContainer():
		return "this looks like a container", "start it with a cgroup of its own that it may write to (`--cgroupns=private`, and for podman `--security-opt unmask=/sys/fs/cgroup`)"
	case os.Geteuid() != 0 && !cgroup.Unified():
		return "the machine does not use cgroup v2 alone", "boot it with systemd.unified_cgroup_hierarchy=1"
	case os.Geteuid() != 0:
		return "no systemd of yours is running", fmt.Sprintf("log in in a way that starts it (systemctl --user status says), or type: sudo loginctl enable-linger %d", os.Geteuid())
	}
	return "root may make none here", "start mcpbox where /sys/fs/cgroup is mounted and writable"
}
