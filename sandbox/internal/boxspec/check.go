// Package boxspec reads specifications of boxes, as far as every backend reads
// them alike.
package boxspec

import (
	"fmt"
	"path"
	"slices"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/internal/cgroup"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// Check refuses what no box does, rather than have it left out. Mounts are not
// looked at: what can be mounted is a matter of each backend.
func Check(spec *specs.Spec) error {
	unsupported := func(what, why string) error {
		return &sandbox.UnsupportedError{Feature: what, Reason: why}
	}
	p, l := spec.Process, spec.Linux
	switch {
	case p == nil || l == nil || len(p.Args) == 0:
		return fmt.Errorf("spec has no linux process")
	case p.Terminal:
		return unsupported("process.terminal", "a box has no terminal")
	case !p.NoNewPrivileges:
		return unsupported("process.noNewPrivileges=false", "always set in a box")
	case hasCapabilities(p.Capabilities):
		return unsupported("process.capabilities", "a box has none")
	case p.ApparmorProfile != "" || p.SelinuxLabel != "" || p.Scheduler != nil || p.IOPriority != nil || p.ExecCPUAffinity != nil:
		return unsupported("process", "profiles, labels, schedulers and affinities are not set by any backend")
	case spec.Hooks != nil || spec.VM != nil || len(l.Devices) > 0 || l.IntelRdt != nil || l.Personality != nil || l.TimeOffsets != nil:
		return unsupported("hooks, devices, personality", "not done by any backend")
	case spec.Root == nil || !spec.Root.Readonly:
		return unsupported("root.readonly=false", "the root of a box is always read-only")
	case l.Seccomp == nil:
		return unsupported("linux.seccomp", "a box is never without a filter")
	case l.RootfsPropagation != "private":
		return unsupported("linux.rootfsPropagation="+l.RootfsPropagation, "always private in a box")
	case !path.IsAbs(p.Cwd):
		return fmt.Errorf("process.cwd %q is not absolute", p.Cwd)
	}
	if r := l.Resources; r != nil {
		if r.BlockIO != nil || r.Network != nil || len(r.HugepageLimits) > 0 || len(r.Unified) > 0 || len(r.Rdma) > 0 || len(r.Devices) > 0 {
			return unsupported("linux.resources", "a box limits memory, processor time and processes only")
		}
	}
	if _, err := Limits(l.Resources); err != nil {
		return err
	}
	want := []specs.LinuxNamespaceType{specs.UserNamespace, specs.MountNamespace, specs.PIDNamespace,
		specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.CgroupNamespace}
	for _, ns := range l.Namespaces {
		i := slices.Index(want, ns.Type)
		if i < 0 || ns.Path != "" {
			return unsupported("linux.namespaces "+string(ns.Type), "a box makes its own")
		}
		want = slices.Delete(want, i, i+1)
	}
	if len(want) > 0 {
		return unsupported("linux.namespaces", fmt.Sprintf("%s is missing; a box never shares one with the host", want[0]))
	}
	for _, maps := range [][]specs.LinuxIDMapping{l.UIDMappings, l.GIDMappings} {
		if len(maps) != 1 || maps[0].Size != 1 {
			return unsupported("linux.uidMappings", "a box has one user")
		}
	}
	return nil
}

func hasCapabilities(c *specs.LinuxCapabilities) bool {
	return c != nil && len(c.Bounding)+len(c.Effective)+len(c.Inheritable)+len(c.Permitted)+len(c.Ambient) > 0
}

// Limits translates what cgroups limit, and refuses the rest. What a backend has in
// the box's cgroup itself comes on top.
func Limits(r *specs.LinuxResources) (cgroup.Limits, error) {
	var l cgroup.Limits
	if r == nil {
		return l, nil
	}
	refuse := func(what string) (cgroup.Limits, error) {
		return l, &sandbox.UnsupportedError{Feature: "linux.resources." + what, Reason: "a box limits memory, processor time and processes only"}
	}
	if m := r.Memory; m != nil {
		only := specs.LinuxMemory{Limit: m.Limit, Swap: m.Swap}
		if *m != only || m.Limit == nil || *m.Limit <= 0 || m.Swap == nil || *m.Swap != *m.Limit {
			return refuse("memory but limit, with a swap that is the same") // that is, no swap
		}
		l.Memory = *m.Limit
	}
	if c := r.CPU; c != nil {
		only := specs.LinuxCPU{Quota: c.Quota, Period: c.Period}
		if *c != only || c.Quota == nil || *c.Quota <= 0 || c.Period == nil || *c.Period != cgroup.Period {
			return refuse(fmt.Sprintf("cpu but quota, of a period of %d", cgroup.Period))
		}
		l.Quota = *c.Quota
	}
	if p := r.Pids; p != nil && p.Limit != nil && *p.Limit > 0 {
		l.Pids = *p.Limit
	}
	return l, nil
}
