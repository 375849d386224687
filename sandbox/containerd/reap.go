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
	"github.com/mcpbox/mcpbox/sandbox/internal/cgroup"
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
	// Cgroups are the box's, of which an ordinary user may be told more than of its PID
	// namespace, and in which gVisor has helpers that are in no other way the box's.
	Cgroups []string `json:"cgroups,omitempty"`
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
	if err := c.removeContainer(ctx, r, dir); err != nil {
		return err
	}
	removeRecord(dir)
	return nil
}

// removeContainer ends the container of the run whose directory is dir, and removes
// all that belongs to it. What is not there is no error; what is another run's, of
// another user perhaps who has the same name for it, is one.
func (c *Client) removeContainer(ctx context.Context, r record, dir string) error {
	ctx, id := namespaces.WithNamespace(ctx, Namespace), r.ID
	if err := c.checkOwn(ctx, id, dir); err != nil {
		return err
	}
	if err := c.endTask(ctx, r); err != nil {
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
// cgroups, mounts and shim. It does not wait for those that wait in the kernel, and has
// the runtime wait for none of them: that it would do for as long as they do.
func (c *Client) endTask(ctx context.Context, r record) error {
	service := c.c.TaskService()
	if r.PID == 0 {
		r.PID = c.pid(ctx, r.ID)
	}
	for killed := ended(r.PID); ; killed = true {
		if n := len(r.stuck()); killed && n > 0 {
			time.Sleep(endTime / 2)
			if len(r.stuck()) == n {
				return fmt.Errorf("%d of its processes are killed and not gone, waiting in the kernel for something that does not come", n)
			}
		}
		long, cancel := context.WithTimeout(ctx, deleteTime)
		_, err := service.Delete(long, &tasks.DeleteTaskRequest{ContainerID: r.ID})
		cancel()
		if gone(errgrpc.ToNative(err)) {
			return nil
		}
		// It runs, or its shim has not heard yet that it does not. In a freezer of
		// cgroup v1 it would not end before it is thawed.
		for _, f := range []func(context.Context) error{
			func(ctx context.Context) error {
				_, err := service.Kill(ctx, &tasks.KillRequest{ContainerID: r.ID, Signal: uint32(unix.SIGKILL), All: true})
				return err
			},
			func(ctx context.Context) error {
				_, err := service.Resume(ctx, &tasks.ResumeTaskRequest{ContainerID: r.ID})
				return err
			},
			func(ctx context.Context) error {
				_, err := service.Wait(ctx, &tasks.WaitRequest{ContainerID: r.ID})
				return err
			},
		} {
			short, cancel := context.WithTimeout(ctx, endTime)
			f(short)
			cancel()
		}
		if ctx.Err() != nil {
			return runtimeError(err)
		}
		time.Sleep(time.Millisecond)
	}
}

// pid is that of a container's PID 1, 0 if there is none.
func (c *Client) pid(ctx context.Context, id string) int {
	ctx, cancel := context.WithTimeout(ctx, endTime)
	defer cancel()
	task, err := c.c.TaskService().Get(ctx, &tasks.GetRequest{ContainerID: id})
	if err != nil || task.Process == nil {
		return 0
	}
	return int(task.Process.Pid)
}

// ended reports whether a process has ended, but for what it waits for: its own threads,
// or those of the namespace whose PID 1 it is.
func ended(pid int) bool {
	s, err := proc.ReadStat(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || s.Ends || s.State == 'Z' || s.State == 'X'
}

// stuck lists the processes of a killed container that nobody can end, if there are no
// others.
func (r record) stuck() []int {
	return proc.Stuck(r.PID, func() ([]int, error) {
		if len(r.Cgroups) > 0 {
			return cgroup.Processes(r.Cgroups), nil
		}
		ns, err := proc.OwnNamespace(r.PID)
		if err != nil || ns == "" {
			return nil, err
		}
		return proc.Members(ns, r.PID)
	})
}

// endTime is how long processes may take to end that have been killed, before they
// are killed again, and the runtime to say so.
const endTime = time.Second

// deleteTime is how long the runtime may take to remove what has ended.
const deleteTime = 5 * time.Second
