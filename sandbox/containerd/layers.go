package containerd

import (
	"context"
	"fmt"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/native"
)

// Layers implements [sandbox.Box].
func (x *box) Layers() []sandbox.Layer {
	limits := sandbox.Layer{Name: "limits", State: sandbox.Enforced, Detail: string(x.Tier()) + ": memory, processor time, processes"}
	if !x.Tier().Kernel() {
		limits.State, limits.Detail = sandbox.Partial, string(x.Tier())+": memory is measured, and the box killed; processes by resource limit; processor time by priority only"
	}
	container := sandbox.Layer{Name: "container", State: sandbox.Enforced, Detail: fmt.Sprintf("%s by containerd, image %s", x.backend.runtime(), x.backend.Image.Digest)}
	if x.backend.runtime() == "runsc" {
		if x.Tier().Kernel() {
			limits.State, limits.Detail = sandbox.Partial, string(x.Tier())+": memory, processor time; processes as threads of gVisor"
		}
		return []sandbox.Layer{
			container,
			{Name: "kernel", State: sandbox.Enforced, Detail: "gVisor's own, which is nobody in namespaces of the host"},
			{Name: "seccomp", State: sandbox.Partial, Detail: "kept by gVisor's kernel, not by the host's"},
			{Name: "landlock", State: sandbox.Missing, Detail: "gVisor has none"},
			limits,
		}
	}
	return []sandbox.Layer{
		container,
		{Name: "namespaces", State: sandbox.Enforced, Detail: "user, mount, pid, network, ipc, uts, cgroup; no capability, no new privileges"},
		{Name: "seccomp", State: sandbox.Enforced, Detail: "installed by PID 1 for itself and the program"},
		native.LandlockLayer(x.landlock),
		limits,
	}
}

func (b *Backend) runtime() string {
	if b.Runtime == "" {
		return "runc"
	}
	return b.Runtime
}

// Check implements [sandbox.Backend].
func (b *Backend) Check() []sandbox.Layer {
	l := sandbox.Layer{Name: "containerd", State: sandbox.Enforced}
	ctx, cancel := context.WithTimeout(context.Background(), dialTimeout)
	defer cancel()
	v, err := b.Client.Version(ctx)
	if err != nil {
		l.State, l.Detail, l.Fix = sandbox.Fatal, "no answer at "+b.Client.Address+": "+err.Error(), "start containerd"
		return []sandbox.Layer{l}
	}
	l.Detail = fmt.Sprintf("%s at %s", v, b.Client.Address)
	return []sandbox.Layer{l}
}
