package containerd

import (
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/sandbox/containerd/internal/pid1"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestOwnMounts: beside what a policy has mounted there is what PID 1 speaks through,
// and nobody else may write to what is read from.
func TestOwnMounts(t *testing.T) {
	for _, runsc := range []bool{false, true} {
		tt := testTarget
		tt.runsc = runsc
		spec := fixture(t, "../../policy/testdata/image.json")
		spec.Annotations["dev.gvisor.spec.mount.x"] = "y"
		l, err := lower(spec, tt)
		if err != nil {
			t.Fatal(err)
		}
		if len(l.spec.Annotations) > 0 {
			t.Errorf("a runtime is told %v", l.spec.Annotations)
		}
		for key := range l.spec.Linux.Sysctl {
			if strings.HasPrefix(key, "net.") {
				t.Errorf("the runtime is to set %s, in a namespace that is not its own", key)
			}
		}
		out := "ro"
		if runsc {
			out = "rw"
		}
		for at, access := range map[string]string{pid1.In: "ro", pid1.Out: out} {
			want := specs.Mount{Destination: at, Type: "bind", Source: filepath.Join(tt.dir, filepath.Base(at)), Options: []string{"bind", access, "nosuid", "nodev", "noexec", "private"}}
			if !slices.ContainsFunc(l.spec.Mounts, func(m specs.Mount) bool { return reflect.DeepEqual(m, want) }) {
				t.Errorf("runsc %t: there is no %+v", runsc, want)
			}
		}
	}
}

// TestMountsOfItsOwn: file systems of the box's own are its user's, files of mcpbox's in
// them are read-only, and no mount of the host below a directory hears of the box's.
func TestMountsOfItsOwn(t *testing.T) {
	spec := fixture(t, "../../policy/testdata/image.json")
	spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/x", Type: "tmpfs", Options: []string{"size=1"}},
		specs.Mount{Destination: "/x/file", Type: "file", Source: "text"},
		specs.Mount{Destination: "/w", Source: "/w", Type: "bind", Options: []string{"rbind", "rw", "nosuid", "nodev"}},
		specs.Mount{Destination: "/f", Source: "/f", Type: "bind", Options: []string{"bind", "rw", "nosuid", "nodev"}})
	l, err := lower(spec, testTarget)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"/x":      {fmt.Sprintf("uid=%d", spec.Process.User.UID), fmt.Sprintf("gid=%d", spec.Process.User.GID), "size=1"},
		"/x/file": {"bind", "ro", "nosuid", "nodev", "private"}, "/w": {"rbind", "rprivate"}, "/f": {"bind", "private"},
	}
	for _, m := range l.spec.Mounts {
		for _, o := range want[m.Destination] {
			if !slices.Contains(m.Options, o) {
				t.Errorf("%s is %v, without %s", m.Destination, m.Options, o)
			}
		}
		delete(want, m.Destination)
	}
	if len(want) > 0 {
		t.Errorf("not mounted: %v", want)
	}
}

// TestLowerForRunsc: what is otherwise with gVisor, and only that.
func TestLowerForRunsc(t *testing.T) {
	tt := testTarget
	tt.runsc = true
	tt.socket = func(path string) bool { return path == "/w/agent.sock" }
	spec := fixture(t, "../../policy/testdata/image.json")
	bind := func(source, at string, options ...string) specs.Mount {
		return specs.Mount{Destination: at, Source: source, Type: "bind", Options: append(options, "nosuid", "nodev")}
	}
	spec.Mounts = append(spec.Mounts, bind("/w", "/w", "rbind", "rw"), bind("/w/.git", "/w/.git", "rbind", "rro"),
		bind("/dev/null", "/w/agent.sock", "bind", "ro"), bind("/dev/null", "/w/.env", "bind", "ro"))
	l, err := lower(spec, tt)
	if err != nil {
		t.Fatal(err)
	}
	if l.plan.Kernel {
		t.Error("gVisor's kernel is taken for the host's")
	}
	p := l.spec.Process
	caps := []string{"CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID"}
	if p.User.UID != 0 || p.User.GID != 0 || !p.NoNewPrivileges || !reflect.DeepEqual(p.Capabilities, &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}) {
		t.Errorf("PID 1 is %+v, %+v", p.User, p.Capabilities)
	}
	if l.plan.UID != int(spec.Process.User.UID) || l.plan.UID == 0 {
		t.Errorf("the program is user %d", l.plan.UID)
	}
	linux := l.spec.Linux
	if linux.Seccomp == nil || linux.Seccomp.DefaultAction != specs.ActTrace {
		t.Error("gVisor has no filter, or not the one for it")
	}
	if len(linux.UIDMappings)+len(linux.GIDMappings) > 0 || len(linux.Namespaces) != len(spec.Linux.Namespaces)-1 ||
		slices.ContainsFunc(linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.UserNamespace }) {
		t.Errorf("namespaces %v", linux.Namespaces)
	}
	if got, want := *linux.Resources.Pids.Limit, *spec.Linux.Resources.Pids.Limit+ownThreads+runscThreads; got != want {
		t.Errorf("%d processes, not %d", got, want)
	}
	options := map[string][]string{}
	for _, m := range l.spec.Mounts {
		options[m.Destination] = m.Options
		if m.Destination == "/dev" || m.Source == m.Destination && strings.HasPrefix(m.Source, "/dev/") {
			t.Errorf("a device of the host's: %+v", m)
		}
		if slices.Contains(m.Options, "rro") {
			t.Errorf("%s is %v, which runsc does not know", m.Destination, m.Options)
		}
		inBind := slices.ContainsFunc(l.spec.Mounts, func(o specs.Mount) bool {
			return o.Type == "bind" && strings.HasPrefix(m.Destination, o.Destination+"/")
		})
		if !inBind && !slices.ContainsFunc(l.skeleton, func(n node) bool { return n.path == m.Destination }) {
			t.Errorf("there is no place for %s", m.Destination)
		}
	}
	if !slices.Contains(options["/w/.git"], "ro") || options["/w/.env"] == nil || options["/w/agent.sock"] != nil {
		t.Errorf("%v", options)
	}
}

// TestLowerRefusesPlaces: where nothing of a policy can be.
func TestLowerRefusesPlaces(t *testing.T) {
	tmpfs := func(at string) specs.Mount {
		return specs.Mount{Destination: at, Type: "tmpfs", Options: []string{"size=1"}}
	}
	id := []specs.LinuxIDMapping{{Size: 1}}
	for _, x := range []struct {
		m    specs.Mount
		want string
	}{
		{tmpfs("/"), "clean"}, {tmpfs("x"), "clean"}, {tmpfs("/x/"), "clean"}, {tmpfs("/run"), "mcpbox's own"}, {tmpfs("/run/mcpbox"), "mcpbox's own"},
		{tmpfs("/run/mcpbox/init"), "mcpbox's own"}, {tmpfs("/run/mcpboxes"), ""}, {tmpfs("/run/x"), ""},
		{specs.Mount{Destination: "/x", Type: "symlink", Source: "y", Options: []string{"ro"}}, "no options"},
		{specs.Mount{Destination: "/x", Type: "file", Source: "y", Options: []string{"ro"}}, "no options"},
		{specs.Mount{Destination: "/x", Type: "bind", Source: "x", Options: []string{"bind", "nosuid"}}, "clean absolute"},
		{specs.Mount{Destination: "/x", Type: "bind", Source: "/x", Options: []string{"bind", "nosuid"}, UIDMappings: id}, "id mappings"},
		{specs.Mount{Destination: "/x", Type: "bind", Source: "/x", Options: []string{"bind", "nosuid"}, GIDMappings: id}, "id mappings"},
	} {
		spec := fixture(t, "../../policy/testdata/image.json")
		spec.Mounts = append(spec.Mounts, x.m)
		_, err := lower(spec, testTarget)
		if (err != nil) != (x.want != "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%+v: %v; want %q", x.m, err, x.want)
		}
	}
	// A link in what can only be read.
	spec := fixture(t, "../../policy/testdata/image.json")
	spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/x", Type: "tmpfs", Options: []string{"size=1", "ro"}}, specs.Mount{Destination: "/x/y", Type: "symlink", Source: "z"})
	if _, err := lower(spec, testTarget); err == nil {
		t.Error("a link in a tmpfs that is read-only")
	}
}

// TestOwnerOfNeighbour: a directory whose name begins as another's is not in it.
func TestOwnerOfNeighbour(t *testing.T) {
	spec := fixture(t, "../../policy/testdata/image.json")
	for _, at := range []string{"/w", "/w2"} {
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: at, Source: at, Type: "bind", Options: []string{"rbind", "rw", "nosuid", "nodev"}})
	}
	tt, asked := testTarget, []string{}
	tt.owner = func(source string) (owner, error) {
		asked = append(asked, source)
		return owner{7, 8}, nil
	}
	l, err := lower(spec, tt)
	if err != nil || !slices.Contains(asked, "/w") || !slices.Contains(asked, "/w2") {
		t.Fatalf("asked for the owners of %v; %v", asked, err)
	}
	for _, c := range l.plan.Checks {
		if c.Mapped != (!c.ReadOnly && !strings.HasPrefix(c.Path, "/dev/")) {
			t.Errorf("looked at as %+v", c)
		}
	}
}
