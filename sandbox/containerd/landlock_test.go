package containerd

import (
	"slices"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/containerd/internal/pid1"
	"github.com/mcpbox/mcpbox/sandbox/internal/landlock"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// sameLandlock: nothing is writable by path that a mount does not have writable, no FIFO
// is made in what belongs to the host, and all that is writable is there.
func sameLandlock(t *testing.T, asked *specs.Spec, l *lowered) {
	t.Helper()
	p := l.plan.Landlock
	if mode := asked.Annotations[sandbox.AnnotationUnixSockets]; p.UnixSockets != (mode == "private" || mode == "host") {
		t.Errorf("sockets %t, for %s", p.UnixSockets, mode)
	}
	if len(p.Rules) == 0 || p.Rules[0].Path != "/" || p.Rules[0].Access != "read" {
		t.Errorf("rules %+v", p.Rules)
	}
	made := map[string]string{}
	for _, r := range p.Rules[1:] {
		made[r.Path] = r.Access
	}
	for _, name := range []string{pid1.Stdout, pid1.Stderr} {
		if made[pid1.Path(name)] != "stream" {
			t.Errorf("%s cannot be opened anew", name)
		}
		delete(made, pid1.Path(name))
	}
	for _, m := range asked.Mounts {
		got := made[m.Destination]
		delete(made, m.Destination)
		want := ""
		host := func(o specs.Mount) bool {
			return o.Type == "bind" && strings.HasPrefix(o.Destination, m.Destination+"/")
		}
		switch {
		case m.Type == "bind" && m.Source == m.Destination && strings.HasPrefix(m.Source, "/dev/"):
			want = "device"
		case m.Type == "bind" && m.Source == "/dev/null", slices.Contains(m.Options, "ro"), slices.Contains(m.Options, "rro"):
		case m.Type == "tmpfs" && !slices.ContainsFunc(asked.Mounts, host):
			want = "private"
		case m.Type == "tmpfs", m.Type == "bind":
			want = "write"
		}
		if got != want {
			t.Errorf("%s is %q by path, not %q", m.Destination, got, want)
		}
	}
	if len(made) > 0 {
		t.Errorf("nobody asked for %v", made)
	}
}

// TestLandlockSockets: sockets are made where the policy has any, and one of the host's that
// is declared is a socket, and nothing to write to.
func TestLandlockSockets(t *testing.T) {
	const at = "/home/me/agent.sock"
	for mode, want := range map[string]bool{"none": false, "private": true, "host": true} {
		spec, tt := fixture(t, "../../policy/testdata/image.json"), testTarget
		spec.Annotations[sandbox.AnnotationUnixSockets] = mode
		delete(spec.Annotations, sandbox.AnnotationHostDirectories)
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: at, Source: at, Type: "bind", Options: []string{"bind", "rw", "nosuid", "nodev"}})
		tt.socket = func(path string) bool { return path == at }
		l, err := lower(spec, tt)
		if err != nil {
			t.Fatal(err)
		}
		if got := l.plan.Landlock.UnixSockets; got != want {
			t.Errorf("%s: sockets %t", mode, got)
		}
		i := slices.IndexFunc(l.plan.Landlock.Rules, func(r landlock.Rule) bool { return r.Path == at })
		if i < 0 || l.plan.Landlock.Rules[i].Access != "socket" {
			t.Errorf("%s: rules %+v", mode, l.plan.Landlock.Rules)
		}
	}
}
