//go:build !nocontainerd

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/images"
	"github.com/mcpbox/mcpbox/sandbox/containerd"
)

// updateImages changes a server's pins to what their references mean today, if a
// person says so.
func updateImages(ctx context.Context, c console, own dirs.Dirs, name string, yes bool) error {
	pins, err := images.List(own.State, name)
	if err != nil || len(pins) == 0 {
		return err
	}
	client, err := containerd.Dial(ctx, "")
	if err != nil {
		return err
	}
	defer client.Close()
	for _, pin := range pins {
		if err := updateImage(ctx, client, c, own, pin, yes); err != nil {
			return err
		}
	}
	return nil
}

func updateImage(ctx context.Context, client *containerd.Client, c console, own dirs.Dirs, pin *images.Pin, yes bool) error {
	next, err := newest(ctx, client, c, pin)
	if err != nil {
		return err
	}
	if next.Digest == pin.Digest {
		fprint(c.out, printable(fmt.Sprintf("%s: %s is what %s still means", pin.Server, pin.Digest, pin.Ref)))
		return nil
	}
	lines := []string{brief(fmt.Sprintf("%s: %s", pin.Server, pin.Ref)), "from " + pin.Digest, "to   " + next.Digest}
	old, err := client.Image(ctx, pin.Ref, pin.Digest)
	switch {
	case errors.As(err, new(*containerd.NotFoundError)):
		lines = append(lines, "its configuration is not compared, as the old image is not here any more")
	case err != nil:
		return err
	default:
		lines = append(lines, fmt.Sprintf("%s -> %s", size(old.Size), size(next.Size)))
		lines = append(lines, briefList(configChanges(old, next))...)
	}
	fprint(c.out, strings.Join(lines, "\n  "))
	if !yes {
		if err := confirm(ctx, c, pin.Server); err != nil {
			return err
		}
	}
	unlock, err := images.Lock(ctx, own.State, func() { c.say("another mcpbox is fetching an image; waiting for it") })
	if err != nil {
		return err
	}
	defer unlock()
	if err := images.Set(own.State, &images.Pin{Server: pin.Server, Ref: pin.Ref, Digest: next.Digest, Pinned: time.Now().UTC()}); err != nil {
		return err
	}
	if err := keep(ctx, client, own, pin, next.Digest); err != nil {
		return err
	}
	fprint(c.out, printable(fmt.Sprintf("%s runs %s from its next start on", pin.Server, next.Digest)))
	return nil
}

// keep tells other users of containerd that a pin has come to be for another image.
func keep(ctx context.Context, client *containerd.Client, own dirs.Dirs, was *images.Pin, digest string) error {
	if err := client.Keep(ctx, was.Ref, digest); err != nil {
		return err
	}
	pins, err := images.List(own.State, "")
	if err != nil || slices.ContainsFunc(pins, func(p *images.Pin) bool { return p.Ref == was.Ref && p.Digest == was.Digest }) {
		return err
	}
	return client.Forget(ctx, was.Ref, was.Digest)
}

// newest is what a reference means today. What a person has imported under it since
// the pin was made is meant; else its registry is asked.
func newest(ctx context.Context, client *containerd.Client, c console, pin *images.Pin) (*containerd.Image, error) {
	here, err := client.Image(ctx, pin.Ref, "")
	if err != nil && !errors.As(err, new(*containerd.NotFoundError)) {
		return nil, err
	}
	if err == nil && here.Source == "archive" && here.Created.After(pin.Pinned) {
		return here, nil
	}
	digest, err := client.Resolve(ctx, pin.Ref, containerd.DockerCredentials)
	if err != nil {
		return nil, err
	}
	im, err := client.Image(ctx, pin.Ref, digest)
	if errors.As(err, new(*containerd.NotFoundError)) {
		return pull(ctx, client, c, pin.Server, pin.Ref, digest)
	}
	return im, err
}

// configChanges says what an image says otherwise of itself than another.
func configChanges(old, next *containerd.Image) []string {
	var lines []string
	words := func(what string, a, b []string) {
		if !slices.Equal(a, b) {
			lines = append(lines, fmt.Sprintf("%s: %s -> %s", what, commandLine(a), commandLine(b)))
		}
	}
	a, b := old.Config, next.Config
	words("entrypoint", a.Entrypoint, b.Entrypoint)
	words("command", a.Cmd, b.Cmd)
	words("directory", []string{a.WorkingDir}, []string{b.WorkingDir})
	words("user", []string{a.User}, []string{b.User})
	words("volumes", slices.Sorted(maps.Keys(a.Volumes)), slices.Sorted(maps.Keys(b.Volumes)))
	for _, e := range b.Env {
		if !slices.Contains(a.Env, e) {
			lines = append(lines, "sets "+e)
		}
	}
	for _, e := range a.Env {
		name, _, _ := strings.Cut(e, "=")
		if !slices.ContainsFunc(b.Env, func(o string) bool { return strings.HasPrefix(o, name+"=") }) {
			lines = append(lines, "no longer sets "+name)
		}
	}
	if len(lines) == 0 {
		lines = []string{"what it says of itself is the same; its files are not"}
	}
	return lines
}
