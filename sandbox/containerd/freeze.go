package containerd

import (
	"context"
	"fmt"
	"os"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/pkg/namespaces"
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
		err := x.stopAll()
		x.frozen = err == nil
		return err
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
		x.resume()
		x.unguard()
		return fmt.Errorf("freeze: %w", runtimeError(err))
	}
	x.frozen = true
	return nil
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
	if err := x.resume(); err != nil {
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
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(context.Background(), Namespace), freezeTimeout)
	defer cancel()
	_, err := x.backend.Client.c.TaskService().Resume(ctx, &tasks.ResumeTaskRequest{ContainerID: containerID(x.backend.ID)})
	return err
}

// thawKilled lets a box that has been killed end: in cgroup v1 a frozen process is
// not ended by SIGKILL. That containerd is there is not needed where this process
// may write to the freezer itself.
func (x *box) thawKilled() {
	x.freezing.Lock()
	defer x.freezing.Unlock()
	if !x.frozen {
		return
	}
	if x.Tier().Kernel() && x.group.Unfreeze() != nil {
		x.resume()
	}
	x.frozen = false
	x.unguard()
}
