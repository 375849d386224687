//go:build !nocontainerd

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/images"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/quarantine"
	"github.com/mcpbox/mcpbox/policy"
	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/containerd"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
)

// withContainerd says that containerd's client is in this program.
const withContainerd = true

// containerdEngine runs images.
type containerdEngine struct {
	*containerd.Backend
	image   *containerd.Image
	started func() // undoes what ready has done
}

// openContainerd connects to containerd for a server.
func openContainerd(inv *invocation) (engine, error) {
	client, err := containerd.Dial(context.Background(), "")
	if err != nil {
		return nil, err
	}
	return &containerdEngine{Backend: &containerd.Backend{Client: client, Runtime: string(inv.said.RuntimeName()), CacheDir: filepath.Join(inv.dirs.Cache, "filters")}}, nil
}

// provide finds the image that the server is pinned to. The first time it fetches
// what the reference means, and pins the server to that.
func (e *containerdEngine) provide(inv *invocation, c console, signals <-chan os.Signal) error {
	ref, _, err := containerd.ParseReference(inv.said.Image.Value)
	if err != nil {
		return &policy.Error{Origin: inv.said.Image.Origin, Msg: err.Error()}
	}
	pin, err := images.Get(inv.dirs.State, inv.name, ref)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if signals == nil {
		digest := ""
		if pin != nil {
			digest = pin.Digest
		}
		if e.image, err = e.Client.Image(ctx, ref, digest); errors.As(err, new(*containerd.NotFoundError)) {
			err = &codedError{exitNotFound, fmt.Errorf("%w; to fetch it, type: mcpbox image pull %s", err, shellQuote(inv.said.Image.Value))}
		}
		return err
	}
	if err := quarantine.Refuse(inv.dirs.State, inv.name); err != nil {
		return err
	}
	if pin != nil {
		if e.image, err = e.Client.Image(ctx, ref, pin.Digest); err == nil || !errors.As(err, new(*containerd.NotFoundError)) {
			return err
		}
	}
	return interruptible(signals, func(ctx context.Context) error {
		unlock, err := images.Lock(ctx, inv.dirs.State, func() {
			c.say("%s: another mcpbox is fetching an image; waiting for it", inv.name)
		})
		if err != nil {
			return err
		}
		defer unlock()
		return e.fetch(ctx, inv, c, ref)
	})
}

// interruptible runs f with a context that a signal ends, which is then the error.
func interruptible(signals <-chan os.Signal, f func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	defer cancelOn(signals, cancel)()
	err := f(ctx)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// fetch is provide under the lock: by now another start may have done it.
func (e *containerdEngine) fetch(ctx context.Context, inv *invocation, c console, ref string) error {
	pin, err := images.Get(inv.dirs.State, inv.name, ref)
	if err != nil {
		return err
	}
	digest := ""
	if pin != nil {
		digest = pin.Digest
	}
	e.image, err = e.Client.Image(ctx, ref, digest)
	if errors.As(err, new(*containerd.NotFoundError)) {
		e.image, err = pull(ctx, e.Client, c, inv.name, ref, digest)
		if err != nil && pin != nil {
			err = fmt.Errorf("%w; %s is pinned to that image since %s; to change to what %s means today, type: mcpbox update %s",
				err, inv.name, pin.Pinned.Local().Format(time.DateOnly), ref, inv.name)
		}
	}
	if err != nil {
		return err
	}
	if pin == nil {
		c.say("%s: runs %s, pinned to %s; whatever the reference comes to mean, exactly this is run from now on", inv.name, ref, e.image.Digest)
		if err := images.Set(inv.dirs.State, &images.Pin{Server: inv.name, Ref: ref, Digest: e.image.Digest, Pinned: time.Now().UTC()}); err != nil {
			return err
		}
	}
	return e.Client.Keep(ctx, ref, e.image.Digest)
}

// pull fetches an image, and says now and then how far it is.
func pull(ctx context.Context, client *containerd.Client, c console, who, ref, digest string) (*containerd.Image, error) {
	began := time.Now()
	said := began
	c.say("%s: fetching the image %s", who, ref)
	im, err := client.Pull(ctx, ref, digest, containerd.DockerCredentials, func(done, all int64) {
		if time.Since(said) > 5*time.Second {
			said = time.Now()
			if done < all {
				c.say("%s: fetching the image: %s of %s", who, size(done), size(all))
			} else {
				c.say("%s: fetching the image: %s", who, size(done))
			}
		}
	})
	if err == nil {
		c.say("%s: fetched %s, %s, in %s", who, ref, size(im.Size), seconds(time.Since(began)))
	}
	return im, err
}

// startMemory is more than a start takes.
const startMemory = 64 << 20

// ready has no garbage collected until the box is there: the heap is so small that
// the collector would have begun again and again, and each time all that the start
// waits for would have waited for it.
func (e *containerdEngine) ready() {
	percent, limit := debug.SetGCPercent(-1), debug.SetMemoryLimit(startMemory)
	e.started = func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	}
}

// Start implements [sandbox.Backend].
func (e *containerdEngine) Start(ctx context.Context, spec *specs.Spec, network *sandbox.Network) (sandbox.Box, error) {
	defer e.started()
	return e.Backend.Start(ctx, spec, network)
}

func (e *containerdEngine) program(inv *invocation, p *prepared, _, _ *policy.Policy) (policy.Program, error) {
	prog := policy.Program{Image: policyImage(inv.said.Image.Value, e.image), Argv: inv.argv}
	if p.args = inv.argv; len(p.args) == 0 {
		p.args = slices.Concat(prog.Image.Entrypoint, prog.Image.Cmd)
	}
	p.args = p.args[min(1, len(p.args)):]
	return prog, nil
}

// policyImage is an image as a policy sees it.
func policyImage(ref string, im *containerd.Image) *policy.Image {
	out := &policy.Image{
		Ref: ref, Digest: im.Digest, Entrypoint: im.Config.Entrypoint, Cmd: im.Config.Cmd, Env: im.Config.Env,
		WorkingDir: im.Config.WorkingDir, User: im.Config.User,
	}
	for v := range im.Config.Volumes {
		out.Volumes = append(out.Volumes, v)
	}
	slices.Sort(out.Volumes)
	return out
}

func (e *containerdEngine) refuses(p *prepared) error {
	return e.Refuses(context.Background(), p.spec)
}

func (e *containerdEngine) begin(id, dir string) {
	e.Backend.Image, e.RunDir, e.ID = *e.image, dir, id
}

func (e *containerdEngine) what() string { return "oci:" + e.image.Ref + " " + e.image.Digest }

func (e *containerdEngine) close() { e.Client.Close() }

// initContainerd has to be called first of all: some of a box is made by a process
// of this program.
func initContainerd() { containerd.Init() }

// reapRun is a [runs.Reaper].
func reapRun(dir string) error { return containerd.Reap(context.Background(), dir) }

// hiddenCommands are for mcpbox itself.
func hiddenCommands() []*cobra.Command {
	return []*cobra.Command{{
		Use: "reap DIRECTORY", Hidden: true, Args: cobra.ExactArgs(1),
		Short: "Remove what a run that is over has left in containerd",
		RunE:  func(_ *cobra.Command, args []string) error { return reapRun(args[0]) },
	}}
}

// checkContainerd looks at containerd and its runtimes.
func checkContainerd() []sandbox.Layer { return containerd.Diagnose(context.Background()) }
