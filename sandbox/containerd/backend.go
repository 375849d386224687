package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/containerd/errdefs"
	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/containerd/internal/pid1"
	"github.com/mcpbox/mcpbox/sandbox/internal/boxspec"
	"github.com/mcpbox/mcpbox/sandbox/internal/cgroup"
	"github.com/mcpbox/mcpbox/sandbox/native"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// startTimeout bounds the time from the first word to containerd to the program.
const startTimeout = 30 * time.Second

// Backend starts boxes as containers of one image.
type Backend struct {
	Client *Client
	// Runtime is "runc" or "runsc"; "" is runc.
	Runtime string
	Image   Image
	// RunDir is the directory of the run, of mode 0700 and empty as far as this
	// package's names are concerned. It must not be in any box. What is put there
	// stays until it is removed by its owner, after [Reap].
	RunDir string
	// ID names the run, and so the container.
	ID string
	// Init is the program to use as PID 1, static, for binaries that do not embed
	// it.
	Init string
	// CacheDir keeps compiled filters; "" compiles them for every start. No box may
	// write there.
	CacheDir string
}

var _ sandbox.Backend = (*Backend)(nil)

// Start implements sandbox.Backend.
func (b *Backend) Start(ctx context.Context, spec *specs.Spec, network *sandbox.Network) (_ sandbox.Box, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("the box was not ready within %s", startTimeout))
	defer cancel()
	limits, err := boxspec.Limits(spec.Linux.Resources)
	if err != nil {
		return nil, err
	}
	l, group, err := b.lower(spec)
	if err != nil {
		return nil, err
	}
	if b.Runtime == "runsc" {
		if err := b.refusesOwners(ctx, l); err != nil {
			return nil, err
		}
	}
	if err := l.identify(ctx); err != nil {
		return nil, err
	}
	if l.plan.Kernel {
		if l.plan.Filter, err = native.CompileFilter(spec.Linux.Seccomp, b.CacheDir); err != nil {
			return nil, err
		}
	}
	program, err := b.program()
	if err != nil {
		return nil, err
	}
	defer program.Close()
	if err := l.fill(b.RunDir, program); err != nil {
		return nil, fmt.Errorf("fill the run's directory: %w", err)
	}
	x := &box{backend: b, limits: limits, killed: make(chan struct{}), reported: make(chan struct{}), done: make(chan struct{}), pidfd: -1}
	defer func() {
		if err != nil {
			x.abandon()
			if ctx.Err() != nil {
				err = context.Cause(ctx)
			}
		}
	}()
	if x.pipes, err = makePipes(b.RunDir, &l.plan); err != nil {
		return nil, err
	}
	ns, err := newNamespace(network, l.network, b.Client.rootless)
	if err != nil {
		return nil, err
	}
	defer ns.release()
	l.enter(ns.path())
	if err := x.create(ctx, l); err != nil {
		closeAll(ns.sockets)
		// A containerd that finds it out by itself says it in its own words.
		if refused := b.refusesOwners(ctx, l); refused != nil {
			err = refused
		}
		return nil, err
	}
	if err := x.greet(ctx, l, ns.sockets, network); err != nil {
		return nil, err
	}
	if x.group, err = cgroup.Of(x.pid, group, limits); err != nil {
		return nil, fmt.Errorf("limits: %w", err)
	}
	if err := writeRecord(b.RunDir, x.record()); err != nil {
		return nil, err
	}
	if spec.Annotations[sandbox.AnnotationRequire] == "cgroup" && !x.Tier().Kernel() {
		return nil, &sandbox.UnsupportedError{Feature: `[limits] require = "cgroup"`, Reason: "the runtime has put the box into no cgroup with limits",
			Fix: `leave it out to have memory measured, or set backend = "native"`}
	}
	if !x.Tier().Kernel() {
		if err := lowerPriority(x.pid); err != nil {
			return nil, os.NewSyscallError("setpriority", err)
		}
	}
	if err := x.release(ctx); err != nil {
		return nil, err
	}
	x.watch(l.spec.Mounts)
	return x, nil
}

// lower translates spec for this machine.
func (b *Backend) lower(spec *specs.Spec) (*lowered, string, error) {
	if err := boxspec.Check(spec); err != nil {
		return nil, "", err
	}
	if b.Runtime != "" && b.Runtime != "runc" && b.Runtime != "runsc" {
		return nil, "", fmt.Errorf("runtime %q is not known", b.Runtime)
	}
	if b.Runtime == "runsc" && b.Client.rootless != nil {
		return nil, "", &sandbox.UnsupportedError{Feature: `runtime = "runsc"`, Reason: "containerd is that of an ordinary user, with which gVisor makes no cgroup, and its memory cannot be told from outside",
			Fix: `set runtime = "runc", or use the containerd of root`}
	}
	uid, gid, err := native.BoxUser()
	if err != nil {
		return nil, "", err
	}
	if u := spec.Process.User; int(u.UID) != uid || int(u.GID) != gid {
		return nil, "", fmt.Errorf("process.user %d:%d is not the box's user %d:%d", u.UID, u.GID, uid, gid)
	}
	group, err := cgroup.NewName()
	if err != nil {
		return nil, "", err
	}
	rootUID, rootGID := native.ContainerRoot()
	t := target{dir: b.RunDir, cgroup: group, rootUID: uint32(rootUID), rootGID: uint32(rootGID), runsc: b.Runtime == "runsc"}
	if os.Geteuid() == 0 {
		t.owner = ownerOnDisk
	}
	t.socket = func(path string) bool {
		var st unix.Stat_t
		return unix.Lstat(path, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFSOCK
	}
	if r := b.Client.rootless; r != nil {
		t.rootless, t.rootUID, t.rootGID = r, r.rootUID, r.rootGID
	}
	l, err := lower(spec, t)
	return l, group, err
}

// greet has PID 1 look at its box, and the launcher attach the sockets, with nobody
// else there yet.
func (x *box) greet(ctx context.Context, l *lowered, sockets []*os.File, network *sandbox.Network) error {
	attach := func() error {
		if network == nil {
			return nil
		}
		s := sockets
		sockets = nil
		if err := network.Attach(s); err != nil {
			return fmt.Errorf("network: %w", err)
		}
		return nil
	}
	defer func() { closeAll(sockets) }()
	if err := x.order(ctx, pid1.Order{Plan: &l.plan}); err != nil {
		return err
	}
	r, err := x.hear(ctx)
	switch {
	case err != nil:
		return err
	case r.Failure != nil:
		return x.startError(r.Failure)
	case !r.Ready:
		return errors.New("PID 1: unknown report")
	}
	x.landlock = r.Landlock
	if err := x.pipes.settle(); err != nil {
		return fmt.Errorf("pipes: %w", err)
	}
	return attach()
}

// release has the program started.
func (x *box) release(ctx context.Context) error {
	if err := x.order(ctx, pid1.Order{Go: true}); err != nil {
		return err
	}
	r, err := x.hear(ctx)
	switch {
	case err != nil:
		return err
	case r.Failure != nil:
		return x.startError(r.Failure)
	case !r.Started:
		return errors.New("PID 1: unknown report")
	}
	return nil
}

// startError makes of PID 1's word the error that a person can act on.
func (x *box) startError(f *pid1.Failure) error {
	var err error = errors.New(f.Text)
	if f.Errno != 0 {
		err = unix.Errno(f.Errno)
	}
	if f.Exec {
		return &sandbox.ExecError{Path: f.Path, Err: err}
	}
	what := f.Step
	if f.Path != "" {
		what += " " + f.Path
	}
	switch f.Step {
	case pid1.StepOwner:
		return x.backend.unmapped(f.Path)
	case pid1.StepCheck:
		return &sandbox.UnsupportedError{Feature: "a container of this runtime", Reason: "the box is not what was asked for: " + f.Path + ": " + f.Text, Fix: `update the runtime, or set backend = "native"`}
	}
	return fmt.Errorf("PID 1: %s: %w", what, err)
}

// Tier implements sandbox.Backend. The runtime makes the cgroups, as root; if it is not
// that, there are none.
func (b *Backend) Tier() sandbox.Tier {
	if b.Client.rootless != nil {
		return sandbox.TierWatchdog
	}
	if cgroup.Unified() {
		return sandbox.TierSubtree
	}
	return sandbox.TierV1
}

func closeAll(files []*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

// ownerOnDisk says whom a file belongs to.
func ownerOnDisk(path string) (owner, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return owner{}, fmt.Errorf("mount source %s: %w", path, err)
	}
	return owner{st.Uid, st.Gid}, nil
}

// gone reports whether containerd does not have it any more.
func gone(err error) bool { return err == nil || errdefs.IsNotFound(err) }
