package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/mcpbox/mcpbox/sandbox/internal/cgroup"
	"github.com/mcpbox/mcpbox/sandbox/internal/proc"
	"golang.org/x/sys/unix"
)

// freezeTimeout bounds the attempt to stop everything.
const freezeTimeout = 5 * time.Second

// Freeze implements [sandbox.Box], by the runtime's freezer, where the box is in one. PID 1
// stands still with the rest, and another process watches for the end of the launcher
// (guard.go).
func (x *box) Freeze() error {
	x.freezing.Lock()
	defer x.freezing.Unlock()
	if x.over() {
		return os.ErrProcessDone
	}
	if x.frozen {
		return nil
	}
	if !x.Tier().Kernel() {
		err := x.stopAll(freezeTimeout)
		x.frozen = err == nil
		return err
	}
	if err := x.backend.Client.away(); err != nil {
		return fmt.Errorf("freeze: %w, without which this server cannot be frozen: it runs on; %s; then type: mcpbox freeze %s; to end the server now, type: mcpbox kill %[3]s", err, err.startAgain(), x.backend.ID)
	}
	var err error
	if x.guard, err = startGuard(x.backend.RunDir); err != nil {
		return fmt.Errorf("freeze: %w", err)
	}
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(context.Background(), Namespace), freezeTimeout)
	defer cancel()
	id := containerID(x.backend.ID)
	if _, err := x.backend.Client.c.TaskService().Pause(ctx, &tasks.PauseTaskRequest{ContainerID: id}); err != nil {
		if x.over() {
			x.unguard()
			return os.ErrProcessDone
		}
		waits := x.waits()
		x.resume()
		x.unguard()
		if waits {
			return cgroup.ErrInKernel
		}
		return fmt.Errorf("freeze: %w", runtimeError(err))
	}
	x.frozen = true
	return nil
}

// waits reports whether a process of the box waits for something in the kernel, as it may
// where the runtime could not stop all of them.
func (x *box) waits() bool {
	list, err := x.members()
	return err == nil && slices.ContainsFunc(append(list, x.pid), proc.Waits)
}

// Thaw implements [sandbox.Box].
func (x *box) Thaw() error {
	x.freezing.Lock()
	defer x.freezing.Unlock()
	if x.over() {
		return os.ErrProcessDone
	}
	if !x.frozen {
		return nil
	}
	err := x.resume()
	if away := (*awayError)(nil); errors.As(err, &away) {
		end := ""
		if os.Geteuid() == 0 {
			end = "; to end the server now, type: mcpbox kill " + x.backend.ID
		}
		return fmt.Errorf("thaw: %w, without which this server cannot be thawed: it stays frozen; %s; then type: mcpbox thaw %s%s", err, away.startAgain(), x.backend.ID, end)
	}
	if err != nil {
		return fmt.Errorf("thaw: %w", runtimeError(err))
	}
	x.frozen = false
	x.unguard()
	return nil
}

// unguard has nobody wait for the end of the launcher. It is called with x.freezing.
func (x *box) unguard() {
	x.guard.dismiss()
	x.guard = nil
}

func (x *box) resume() error {
	if !x.Tier().Kernel() {
		_, err := x.signalAll(unix.SIGCONT)
		return err
	}
	if away := x.backend.Client.away(); away != nil {
		return away
	}
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(context.Background(), Namespace), freezeTimeout)
	defer cancel()
	_, err := x.backend.Client.c.TaskService().Resume(ctx, &tasks.ResumeTaskRequest{ContainerID: containerID(x.backend.ID)})
	return err
}

// whyFrozen is why a box that has been killed is still frozen, and what to type; "" if it
// is not. It is called with x.freezing.
func (x *box) whyFrozen() string {
	away := (*awayError)(nil)
	switch {
	case !x.frozen || x.unthawed == nil:
		return ""
	case errors.As(x.unthawed, &away):
		return fmt.Sprintf("frozen, and %v, without which this user cannot thaw it; %s; then type: mcpbox ps", away, away.startAgain())
	}
	return fmt.Sprintf("frozen, and it could not be thawed (%v); to try that again, type: mcpbox ps", runtimeError(x.unthawed))
}

// thawKilled lets a box that has been killed end: in cgroup v1 a frozen process is
// not ended by SIGKILL. That containerd is there is not needed where this process
// may write to the freezer itself. What can be thawed by neither stays frozen.
func (x *box) thawKilled() {
	x.freezing.Lock()
	defer x.freezing.Unlock()
	if !x.frozen {
		return
	}
	if x.Tier().Kernel() && x.group.Unfreeze() != nil {
		if x.unthawed = x.resume(); x.unthawed != nil {
			return
		}
	}
	x.frozen = false
	x.unguard()
}
