package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/mcpbox/mcpbox/sandbox/internal/proc"
	"golang.org/x/sys/unix"
)

// RecordName is the file in a run's directory that is there as long as containerd
// may have something of the run.
const RecordName = "containerd.json"

// cleanTimeout bounds the removal of a container.
const cleanTimeout = 10 * time.Second

// record says what a run may have left in containerd, and where that is.
type record struct {
	Address string `json:"address"`
	ID      string `json:"id"`
	PID     int    `json:"pid,omitempty"` // of the box's PID 1, once there is one
}

// writeRecord replaces the record, at once.
func writeRecord(dir string, r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, RecordName)
	if err := os.WriteFile(file+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}

func removeRecord(dir string) { os.Remove(filepath.Join(dir, RecordName)) }

// Reap ends and removes what the run whose directory is dir has left in containerd:
// its launcher was killed, or containerd was not there when it ended. It is for the
// directory of a run that is over, may be called any number of times, and does
// nothing where there is nothing. After an error the directory has to stay for the
// next attempt.
func Reap(ctx context.Context, dir string) error {
	data, err := os.ReadFile(filepath.Join(dir, RecordName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var r record
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("%s: %w", RecordName, err)
	}
	if r.ID != containerID(filepath.Base(dir)) {
		return fmt.Errorf("%s: container %q is not this run's", RecordName, r.ID)
	}
	ctx, cancel := context.WithTimeout(ctx, cleanTimeout)
	defer cancel()
	c, err := Dial(ctx, r.Address)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.removeContainer(ctx, r.ID, dir); err != nil {
		return err
	}
	removeRecord(dir)
	return nil
}

// removeContainer ends the container id of the run whose directory is dir, and removes
// all that belongs to it. What is not there is no error; what is another run's, of
// another user perhaps who has the same name for it, is one.
func (c *Client) removeContainer(ctx context.Context, id, dir string) error {
	ctx = namespaces.WithNamespace(ctx, Namespace)
	if err := c.checkOwn(ctx, id, dir); err != nil {
		return err
	}
	if err := c.endTask(ctx, id); err != nil {
		return fmt.Errorf("containerd: end %s: %w", id, err)
	}
	if err := c.c.ContainerService().Delete(ctx, id); !gone(err) {
		return fmt.Errorf("containerd: remove container %s: %w", id, err)
	}
	if err := c.c.SnapshotService(Snapshotter).Remove(ctx, id); !gone(err) {
		return fmt.Errorf("containerd: remove snapshot %s: %w", id, err)
	}
	if err := c.c.LeasesService().Delete(ctx, leases.Lease{ID: id}); !gone(err) {
		return fmt.Errorf("containerd: remove lease %s: %w", id, err)
	}
	return nil
}

// checkOwn refuses what has the name of a run's container, snapshot or lease and not its
// label.
func (c *Client) checkOwn(ctx context.Context, id, dir string) error {
	check := func(what string, labels map[string]string, err error) error {
		if err == nil && !sameDir(labels[labelDir], dir) {
			return fmt.Errorf("containerd: the %s %s is another run's, of %q, and stays", what, id, labels[labelDir])
		}
		if !gone(err) {
			return fmt.Errorf("containerd: look at the %s %s: %w", what, id, err)
		}
		return nil
	}
	container, err := c.c.ContainerService().Get(ctx, id)
	if err := check("container", container.Labels, err); err != nil {
		return err
	}
	snapshot, err := c.c.SnapshotService(Snapshotter).Stat(ctx, id)
	if err := check("snapshot", snapshot.Labels, err); err != nil {
		return err
	}
	all, err := c.c.LeasesService().List(ctx, "id=="+id)
	if err != nil {
		return check("lease", nil, err)
	}
	for _, lease := range all {
		if err := check("lease", lease.Labels, nil); err != nil {
			return err
		}
	}
	return nil
}

// sameDir reports whether two paths are of one directory.
func sameDir(a, b string) bool {
	if a == b {
		return true
	}
	one, err := os.Stat(a)
	if err != nil {
		return false
	}
	other, err := os.Stat(b)
	return err == nil && os.SameFile(one, other)
}

// endTask kills the processes of a container, and removes its task, and with it its
// cgroups, mounts and shim. It does not wait for those that wait in the kernel.
func (c *Client) endTask(ctx context.Context, id string) error {
	service := c.c.TaskService()
	for {
		_, err := service.Delete(ctx, &tasks.DeleteTaskRequest{ContainerID: id})
		if gone(errgrpc.ToNative(err)) {
			return nil
		}
		// It runs, or its shim has not heard yet that it does not. In a freezer of
		// cgroup v1 it would not end before it is thawed.
		service.Kill(ctx, &tasks.KillRequest{ContainerID: id, Signal: uint32(unix.SIGKILL), All: true})
		service.Resume(ctx, &tasks.ResumeTaskRequest{ContainerID: id})
		wait, cancel := context.WithTimeout(ctx, endTime)
		_, waitErr := service.Wait(wait, &tasks.WaitRequest{ContainerID: id})
		cancel()
		if waitErr != nil {
			if n := len(c.stuck(ctx, id)); n > 0 {
				return fmt.Errorf("%d of its processes are killed and not gone, waiting in the kernel for something that does not come", n)
			}
			time.Sleep(time.Millisecond)
		}
		if ctx.Err() != nil {
			return runtimeError(err)
		}
	}
}

// stuck lists the processes of a killed container that nobody can end, if there are no
// others.
func (c *Client) stuck(ctx context.Context, id string) []int {
	task, err := c.c.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: id})
	if err != nil || task.Process == nil {
		return nil
	}
	pid := int(task.Process.Pid)
	ns, err := proc.OwnNamespace(pid)
	if err != nil {
		return nil
	}
	return proc.Stuck(pid, func() ([]int, error) {
		if ns == "" {
			return nil, nil // of gVisor's, what waits for files is the kernel, which is one process
		}
		return proc.Members(ns, pid)
	})
}

// endTime is how long processes may take to end that have been killed, before they
// are killed again.
const endTime = time.Second
