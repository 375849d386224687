package native

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/internal/boxspec"
	"github.com/mcpbox/mcpbox/sandbox/internal/landlock"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// startTimeout bounds the time from fork to execve of the program. It takes some ten
// milliseconds, on an emulated processor of a busy machine half a minute.
const startTimeout = time.Minute

// Backend is the native backend. The zero value works.
type Backend struct {
	// CacheDir keeps compiled filters; "" compiles them for every start. No
	// box may have it among its writable mounts.
	CacheDir string

	embryo chan embryo
}

var _ sandbox.Backend = (*Backend)(nil)

// Start implements sandbox.Backend.
func (b *Backend) Start(ctx context.Context, spec *specs.Spec, network *sandbox.Network) (sandbox.Box, error) {
	box, err := b.start(ctx, spec, network)
	if err != nil && b.embryo != nil {
		// That no namespace can be made here is the better reason.
		e := <-b.embryo
		b.embryo <- e
		if e.err != nil {
			err = e.err
		}
	}
	return box, err
}

func (b *Backend) start(ctx context.Context, spec *specs.Spec, network *sandbox.Network) (sandbox.Box, error) {
	if err := checkRelease(kernelRelease()); err != nil {
		return nil, err
	}
	plan, err := newPlan(spec)
	if err != nil {
		return nil, err
	}
	limits, err := boxspec.Limits(spec.Linux.Resources)
	if err != nil {
		return nil, err
	}
	if limits.Pids > 0 {
		limits.Pids += ownThreads
	}
	if err := checkSockets(spec.Annotations, landlock.ABI()); err != nil {
		return nil, err
	}
	id := identity{plan.UID, plan.GID}
	uid, gid, err := BoxUser()
	if err != nil {
		return nil, err
	}
	if id != (identity{uid, gid}) {
		return nil, fmt.Errorf("process.user %d:%d is not the box's user %d:%d", id.uid, id.gid, uid, gid)
	}
	if err := identify(plan.Mounts); err != nil {
		return nil, err
	}
	// Now that their types are known.
	plan.Landlock = landlockRules(plan.Mounts, spec.Annotations[sandbox.AnnotationUnixSockets])
	cache := filterCache{b.CacheDir}
	if plan.Filter, err = cache.compile(spec.Linux.Seccomp); err != nil {
		return nil, err
	}
	if plan.Init, err = cache.compile(pid1Filter(spec.Linux.Seccomp.Architectures[0])); err != nil {
		return nil, err
	}
	planNetwork(plan, network)
	plan.LayersOff = layersOff()
	var trees []*os.File
	if os.Geteuid() == 0 {
		trees, err = cloneForRoot(plan.Mounts, id)
		defer closeAll(trees)
		if err != nil {
			return nil, err
		}
	}
	box, err := b.takeEmbryo()
	if err != nil {
		return nil, err
	}
	return box.launch(ctx, plan, trees, network, boxLimits{limits, spec.Annotations[sandbox.AnnotationRequire] == "cgroup"})
}

// launch makes a waiting stage 1 the box of the plan, and waits until the program
// runs.
func (b *box) launch(ctx context.Context, plan *wire.Plan, trees []*os.File, network *sandbox.Network, limits boxLimits) (sandbox.Box, error) {
	err := b.limit(limits, plan)
	if err == nil {
		err = b.sendPlan(plan, trees)
		if err == nil || errors.Is(err, unix.EPIPE) {
			// A stage 1 that has ended already has said why.
			err = b.awaitStart(ctx, plan, network)
		}
	}
	if err != nil {
		b.abandon()
		return nil, err
	}
	b.namespace()
	go b.awaitExit()
	b.watch(plan.Mounts)
	return b, nil
}

// awaitStart serves stage 1 until it reports that the program runs, or why not.
func (b *box) awaitStart(ctx context.Context, plan *wire.Plan, network *sandbox.Network) error {
	stop := context.AfterFunc(ctx, func() { b.control.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	b.control.SetReadDeadline(time.Now().Add(startTimeout))
	t, body, err := wire.Receive(b.control)
	if err == nil && t == wire.TypeSockets && network != nil {
		if err := b.attach(network, body); err != nil {
			return err
		}
		t, body, err = wire.Receive(b.control)
	}
	if err == nil && t == wire.TypeStaged {
		if err := b.keepStaged(plan, body); err != nil {
			return err
		}
		t, body, err = wire.Receive(b.control)
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("the box was not ready within %s", startTimeout)
	case err != nil:
		return fmt.Errorf("stage 1 ended before it reported: %w", err)
	}
	if stop() {
		b.control.SetReadDeadline(time.Time{})
	}
	switch t {
	case wire.TypeStarted:
		var s wire.Started
		if err := wire.Unmarshal(body, &s); err != nil {
			return fmt.Errorf("stage 1: %w", err)
		}
		b.layers = append(layersInForce(plan, s), b.limitsLayer(s))
		return nil
	case wire.TypeFailure:
		f := new(wire.Failure)
		if err := wire.Unmarshal(body, f); err != nil {
			return fmt.Errorf("stage 1: %w", err)
		}
		return startError(f)
	}
	return fmt.Errorf("stage 1: unknown report %q", t)
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
