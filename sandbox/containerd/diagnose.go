package containerd

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/sandbox"
	"golang.org/x/sys/unix"
)

// Diagnose says what this backend has on this machine: containerd, its snapshotter,
// and the runtimes. A machine without containerd is in order, and has one line;
// nothing here is ever Fatal, since native boxes need none of it.
func Diagnose(ctx context.Context) []sandbox.Layer {
	ctx, cancel := context.WithTimeout(ctx, 4*dialTimeout)
	defer cancel()
	c, err := Dial(ctx, "")
	var missing *sandbox.UnsupportedError
	switch {
	case errors.As(err, &missing) && missing.Feature == rootlessFeature:
		return []sandbox.Layer{{Name: "containerd", State: sandbox.Missing, Detail: missing.Error(), Fix: missing.Fix}}
	case errors.As(err, &missing):
		return []sandbox.Layer{{Name: "containerd", State: sandbox.Missing, Detail: missing.Reason + `; only backend = "containerd" needs it`}}
	case err != nil:
		return []sandbox.Layer{{Name: "containerd", State: sandbox.Missing, Detail: err.Error()}}
	}
	defer c.Close()
	return append([]sandbox.Layer{c.daemon(ctx)}, runtimes(ctx)...)
}

// daemon is the line of containerd itself.
func (c *Client) daemon(ctx context.Context) sandbox.Layer {
	l := sandbox.Layer{Name: "containerd", State: sandbox.Enforced}
	version, err := c.Version(ctx)
	if err != nil {
		l.State, l.Detail = sandbox.Partial, err.Error()
		return l
	}
	whose := "the machine's, as root"
	if c.rootless != nil {
		whose = "of an ordinary user, rootless: limits by watchdog, runc only"
	}
	l.Detail = fmt.Sprintf("%s at %s, %s; files of images: %s; cgroups: %s", version, c.Address, whose, c.snapshotterState(ctx), cgroupDriver())
	return l
}

// snapshotterState is the snapshotter's name, and what is wrong with it.
func (c *Client) snapshotterState(ctx context.Context) string {
	found, err := c.c.IntrospectionService().Plugins(ctx, "type==io.containerd.snapshotter.v1,id=="+Snapshotter)
	switch {
	case err != nil:
		return Snapshotter + ", of which it does not tell: " + err.Error()
	case len(found.Plugins) == 0:
		return Snapshotter + ", which it does not have"
	case found.Plugins[0].InitErr != nil:
		return Snapshotter + ", which does not work: " + found.Plugins[0].InitErr.Message
	}
	return Snapshotter
}

// cgroupDriver says how runtimes make cgroups: by themselves, with mkdir(2), in
// either version.
func cgroupDriver() string {
	var fs unix.Statfs_t
	if err := unix.Statfs("/sys/fs/cgroup", &fs); err == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
		return "cgroupfs, version 2"
	}
	return "cgroupfs, version 1"
}

// runtimes are the lines of runc and runsc. containerd looks for them in its own
// PATH, which is mostly the same.
func runtimes(ctx context.Context) []sandbox.Layer {
	var list []sandbox.Layer
	for _, r := range []struct {
		name  string
		judge func(said string) sandbox.Layer
	}{{"runc", judgeRunc}, {"runsc", judgeRunsc}} {
		path, err := exec.LookPath(r.name)
		if err != nil {
			list = append(list, sandbox.Layer{Name: r.name, State: sandbox.Missing, Detail: "not in PATH; only runtime = \"" + r.name + "\" needs it"})
			continue
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		said, err := exec.CommandContext(ctx, path, "--version").Output()
		cancel()
		l := r.judge(string(said))
		if l.Name = r.name; err != nil {
			l = sandbox.Layer{Name: r.name, State: sandbox.Missing, Detail: fmt.Sprintf("%s --version: %v", path, err)}
		}
		list = append(list, l)
	}
	return list
}

func judgeRunsc(said string) sandbox.Layer {
	return sandbox.Layer{State: sandbox.Enforced, Detail: "gVisor " + versionOf("runsc", said)}
}

// versionOf finds the version in what a runtime says with --version.
func versionOf(name, said string) string {
	for line := range strings.Lines(said) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+" version "); ok {
			return v
		}
	}
	return ""
}
