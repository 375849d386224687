package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/internal/proc"
	"golang.org/x/sys/unix"
)

// Labels of all that a run makes in containerd, by which it is found again.
const (
	labelRun = "dev.mcpbox.run"       // the run's ID
	labelDir = "dev.mcpbox.directory" // the run's directory
)

// leaseTime is how long containerd keeps a snapshot that no container refers to
// yet, if the launcher is killed at that moment.
const leaseTime = 10 * time.Minute

// shim runs containers with runc, or with what takes its place.
const shim = "io.containerd.runc.v2"

// containerID is the name of the run's container, and of its snapshot and lease.
func containerID(run string) string { return "mcpbox-" + run }

// create makes the container, and has the runtime build the box around PID 1.
func (x *box) create(ctx context.Context, l *lowered) error {
	b, c := x.backend, x.backend.Client.c
	id := containerID(b.ID)
	labels := map[string]string{labelRun: b.ID, labelDir: b.RunDir, labelUser: strconv.Itoa(os.Getuid())}
	ctx = namespaces.WithNamespace(ctx, Namespace)
	x.made = true
	if err := writeRecord(b.RunDir, x.record()); err != nil {
		return err
	}
	lease, err := c.LeasesService().Create(ctx, leases.WithID(id), leases.WithExpiration(leaseTime), leases.WithLabels(labels))
	if errdefs.IsAlreadyExists(err) {
		x.made = false // nothing of what has this name
		removeRecord(b.RunDir)
	}
	if err != nil {
		return fmt.Errorf("containerd: lease: %w", err)
	}
	leased := leases.WithLease(ctx, lease.ID)
	mounts, err := c.SnapshotService(Snapshotter).View(leased, id, b.Image.ChainID, snapshots.WithLabels(labels))
	if err != nil {
		return fmt.Errorf("containerd: snapshot of %s: %w", b.Image.Ref, err)
	}
	rootfs, err := withSkeleton(mounts, b.RunDir+"/"+skeletonName)
	if err != nil {
		return err
	}
	spec, err := typeurl.MarshalAny(l.spec)
	if err != nil {
		return err
	}
	o := &options.Options{}
	if b.Runtime == "runsc" {
		if o.BinaryName, err = runscBinary(b.RunDir); err != nil {
			return err
		}
	}
	runtime, err := typeurl.MarshalAny(o)
	if err != nil {
		return err
	}
	_, err = c.ContainerService().Create(leased, containers.Container{
		ID: id, Labels: labels, Image: recordName(b.Image.Ref, b.Image.Digest), Spec: spec, Snapshotter: Snapshotter, SnapshotKey: id,
		Runtime: containers.RuntimeInfo{Name: shim, Options: runtime},
	})
	if err != nil {
		return fmt.Errorf("containerd: container: %w", err)
	}
	created, err := c.TaskService().Create(ctx, &tasks.CreateTaskRequest{ContainerID: id, Rootfs: rootfs})
	if err != nil {
		return runtimeError(err)
	}
	if err := x.meet(int(created.Pid)); err != nil {
		return err
	}
	if err := writeRecord(b.RunDir, x.record()); err != nil {
		return err
	}
	if _, err := c.TaskService().Start(ctx, &tasks.StartRequest{ContainerID: id}); err != nil {
		return runtimeError(err)
	}
	return nil
}

// meet takes hold of the process that containerd has made, so that its number, and that
// of its PID namespace, cannot come to mean others. It may do so from the start, where
// containerd numbers processes in another PID namespace than this (pid_namespaces(7)):
// whoever it is then is left alone.
func (x *box) meet(pid int) error {
	pidfd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return fmt.Errorf("pidfd_open: %w", err)
	}
	ns, err := proc.OwnNamespace(pid)
	if err == nil && ns == "" && x.backend.Runtime != "runsc" {
		unix.Close(pidfd)
		return &sandbox.UnsupportedError{Feature: "this containerd", Reason: "it numbers processes otherwise than mcpbox does, as one of them is in a container",
			Fix: `start mcpbox where containerd runs, or set backend = "native"`}
	}
	x.pid, x.pidfd = pid, pidfd
	if ns != "" {
		x.ns, x.held, _ = proc.Hold(pid) // an ordinary user may not look at gVisor's
	}
	return nil
}

// withSkeleton puts the skeleton over the layers of an image that is mounted
// read-only: as one more layer, the uppermost, with none that could be written to.
func withSkeleton(mounts []mount.Mount, skeleton string) ([]*types.Mount, error) {
	if len(mounts) != 1 || strings.ContainsAny(skeleton, ":,\\") {
		return nil, fmt.Errorf("containerd: the snapshot cannot be mounted below %s", skeleton)
	}
	m, lower := mounts[0], ""
	keep := []string{"ro", "nosuid", "nodev"}
	switch m.Type {
	case "bind":
		lower = m.Source
	case "overlay":
		for _, o := range m.Options {
			switch key, value, _ := strings.Cut(o, "="); key {
			case "lowerdir":
				lower = value
			case "upperdir", "workdir":
				return nil, errors.New("containerd: the snapshot is writable")
			case "ro", "rw":
			default:
				keep = append(keep, o)
			}
		}
	}
	if lower == "" {
		return nil, fmt.Errorf("containerd: a snapshot that is mounted as %q cannot be extended", m.Type)
	}
	options := append(keep, "lowerdir="+skeleton+":"+lower)
	// mount(2) takes one page of options.
	if n := len(strings.Join(options, ",")); n >= 4096 {
		return nil, &sandbox.UnsupportedError{Feature: "this image", Reason: fmt.Sprintf("it has too many layers: %d bytes of mount options", n),
			Fix: "squash it into fewer layers"}
	}
	return []*types.Mount{{Type: "overlay", Source: "overlay", Options: options}}, nil
}

// runtimeError is what containerd and the runtime have to say, without the frame
// that gRPC puts around it.
func runtimeError(err error) error {
	text := err.Error()
	if i := strings.LastIndex(text, "desc = "); i >= 0 {
		text = text[i+len("desc = "):]
	}
	return fmt.Errorf("container runtime: %s", text)
}
