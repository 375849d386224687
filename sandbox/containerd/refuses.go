package containerd

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// Refuses is the error with which [Backend.Start] would refuse a box of spec, as far as
// that can be known without starting one; nil if it is not known that it would. It needs
// neither RunDir nor ID.
func (b *Backend) Refuses(ctx context.Context, spec *specs.Spec) error {
	l, _, err := b.lower(spec)
	if err != nil {
		return err
	}
	return b.refusesOwners(ctx, l)
}

// refusesOwners is Refuses for what has to be mounted with mapped owners.
func (b *Backend) refusesOwners(ctx context.Context, l *lowered) error {
	for _, check := range l.plan.Checks {
		if check.Mapped && b.leavesOutOwners(ctx) {
			return b.unmapped(check.Path)
		}
	}
	return nil
}

// unmapped is that a directory cannot be given to a box of root's.
func (b *Backend) unmapped(path string) error {
	fix := "start mcpbox as the user who owns the directory"
	if b.runtime() != "runsc" {
		fix = "update runc to runc 1.2 or newer, or " + fix
	}
	return &sandbox.UnsupportedError{Feature: "write access to " + path + " as root", Reason: "the container runtime cannot mount it with mapped owners, and a box never runs as root",
		Fix: fix}
}

// leavesOutOwners reports whether it is known of the runtime that it does not map the
// owners of what it mounts.
func (b *Backend) leavesOutOwners(ctx context.Context) bool {
	if b.runtime() == "runsc" {
		return true
	}
	file := b.Client.find("runc")
	if file == "" {
		return false
	}
	maps, err := mapsOwners(ctx, file)
	return err == nil && !maps
}

// featuresTimeout is how long a runtime may take to say what it can.
const featuresTimeout = 5 * time.Second

// mapsOwners asks a runc, of version 1.1 or newer, whether it maps the owners of what it
// mounts.
func mapsOwners(ctx context.Context, file string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, featuresTimeout)
	defer cancel()
	said, err := exec.CommandContext(ctx, file, "features").Output()
	if err != nil {
		return false, fmt.Errorf("%s features: %w", file, err)
	}
	var f features.Features
	if err := json.Unmarshal(said, &f); err != nil {
		return false, fmt.Errorf("%s features: %w", file, err)
	}
	if f.Linux == nil || f.Linux.MountExtensions == nil || f.Linux.MountExtensions.IDMap == nil {
		return false, nil // it knows of no such thing
	}
	enabled := f.Linux.MountExtensions.IDMap.Enabled
	return enabled != nil && *enabled, nil
}

// find finds a program as root's containerd does, in the PATH that it has. Of another one,
// and where it cannot be known, that is this process's: what is found is started as this
// user, who need not trust another's PATH. "" is nowhere.
func (c *Client) find(program string) string {
	dirs := os.Getenv("PATH")
	if conn, err := net.DialTimeout("unix", c.Address, servingTimeout); err == nil {
		defer conn.Close()
		if peer, err := peerOf(conn); err == nil && peer.Uid == 0 {
			if path, ok := pathOf(int(peer.Pid)); ok {
				dirs = path
			}
		}
	}
	return lookIn(dirs, program)
}

// lookIn finds a program in the directories of a PATH, of which those that are relative
// mean something in the directory of whose PATH it is alone.
func lookIn(dirs, program string) string {
	for _, dir := range filepath.SplitList(dirs) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if file, err := exec.LookPath(filepath.Join(dir, program)); err == nil {
			return file
		}
	}
	return ""
}

// pathOf is the PATH of root's containerd, if the process is that. Who listens on a
// socket need not be there any more, and another user's process may have its number by
// now: whose it is, is asked of the same process whose PATH it is.
func pathOf(pid int) (path string, ok bool) {
	process, err := os.OpenRoot(fmt.Sprintf("/proc/%d", pid)) // fails for what has this number after it
	if err != nil {
		return "", false
	}
	defer process.Close()
	// The owner of the directory would be the effective user alone, who is root in a
	// program that others run with an environment of their own.
	status, err := process.ReadFile("status")
	if err != nil || !bytes.Contains(status, []byte("\nUid:\t0\t0\t0\t0\n")) {
		return "", false
	}
	// One that was updated since it was started is deleted.
	exe, err := process.Readlink("exe")
	if err != nil || filepath.Base(strings.TrimSuffix(exe, " (deleted)")) != "containerd" {
		return "", false
	}
	env, err := process.ReadFile("environ")
	if err != nil {
		return "", false
	}
	for entry := range bytes.SplitSeq(env, []byte{0}) {
		if p, is := bytes.CutPrefix(entry, []byte("PATH=")); is {
			path, ok = string(p), true
		}
	}
	return path, ok
}
