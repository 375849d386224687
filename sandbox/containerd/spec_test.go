package containerd

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/policy"
	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/containerd/internal/pid1"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var testTarget = target{dir: "/run/user/1000/mcpbox/0123abcd", cgroup: "mcpbox-1-2-3", rootUID: 2000000001, rootGID: 2000000002}

// fixture reads what package policy makes of one of its examples.
func fixture(t testing.TB, file string) *specs.Spec {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	spec := new(specs.Spec)
	if err := json.Unmarshal(data, spec); err != nil {
		t.Fatal(err)
	}
	// The examples leave the filter out, which is the same for all of them.
	mode := policy.SocketMode(spec.Annotations[sandbox.AnnotationUnixSockets])
	if spec.Linux.Seccomp, err = policy.Seccomp(mode, runtime.GOARCH); err != nil {
		t.Fatal(err)
	}
	return spec
}

// TestParity: what a native box is asked for, a runtime is asked for too, item by
// item, for each example of a policy.
func TestParity(t *testing.T) {
	files, err := filepath.Glob("../../policy/testdata/*.json")
	if err != nil || len(files) < 5 {
		t.Fatalf("%v, %v", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".json"), func(t *testing.T) {
			asked, unchanged := fixture(t, file), fixture(t, file)
			// What no runtime can do is refused; the rest is compared without it.
			cannot := func(m specs.Mount) bool { return m.Type == "staged" || slices.Contains(m.Options, "dest-nofollow") }
			l, err := lower(asked, testTarget)
			if slices.ContainsFunc(asked.Mounts, cannot) {
				if !errors.Is(err, sandbox.ErrUnsupported) {
					t.Errorf("not refused: %v", err)
				}
				asked.Mounts = slices.DeleteFunc(asked.Mounts, cannot)
				unchanged.Mounts = slices.DeleteFunc(unchanged.Mounts, cannot)
				l, err = lower(asked, testTarget)
			}
			if err != nil {
				t.Fatal(err)
			}
			l.enter("/proc/1/fd/3")
			if !reflect.DeepEqual(asked, unchanged) {
				t.Error("lowering has changed what was asked for")
			}
			sameProcess(t, asked, l)
			sameLinux(t, asked.Linux, l)
			sameMounts(t, asked.Mounts, l)
			sameLandlock(t, asked, l)
			text, err := json.Marshal(l.spec)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range asked.Process.Env {
				if strings.Contains(string(text), e) {
					t.Errorf("containerd would keep %s", e)
				}
			}
		})
	}
}

func sameProcess(t *testing.T, asked *specs.Spec, l *lowered) {
	t.Helper()
	p, q := asked.Process, l.spec.Process
	if !q.NoNewPrivileges || q.Terminal || hasAny(q.Capabilities) || q.User.UID == 0 || q.User.GID == 0 || !reflect.DeepEqual(p.User, q.User) {
		t.Errorf("process %+v", q)
	}
	if !reflect.DeepEqual(p.OOMScoreAdj, q.OOMScoreAdj) || q.OOMScoreAdj == nil {
		t.Error("oomScoreAdj differs")
	}
	if !slices.Equal(q.Args, []string{pid1.Init}) || len(q.Env) > 0 {
		t.Errorf("PID 1 is %q with %q", q.Args, q.Env)
	}
	if !slices.Equal(l.plan.Args, p.Args) || !slices.Equal(l.plan.Env, p.Env) || l.plan.Cwd != p.Cwd || l.plan.UID != int(p.User.UID) || l.plan.GID != int(p.User.GID) {
		t.Errorf("the program is %+v", l.plan)
	}
	core := false
	for i, r := range p.Rlimits {
		if r.Type == "RLIMIT_NPROC" {
			r.Soft, r.Hard = r.Soft+ownThreads, r.Hard+ownThreads
		}
		core = core || r.Type == "RLIMIT_CORE" && r.Hard == 1
		if i >= len(q.Rlimits) || q.Rlimits[i] != r {
			t.Errorf("rlimit %+v", r)
		}
	}
	if !core || len(p.Rlimits) != len(q.Rlimits) {
		t.Errorf("rlimits %+v", q.Rlimits)
	}
	hooks := &specs.Hooks{CreateContainer: []specs.Hook{{Path: "/proc/self/cwd/run/mcpbox/init", Args: []string{"/proc/self/cwd/run/mcpbox/init", "limit"}}}}
	if !l.plan.Kernel {
		hooks = nil
	}
	if !reflect.DeepEqual(l.spec.Hooks, hooks) || l.spec.Root == nil || !l.spec.Root.Readonly || l.spec.Hostname != asked.Hostname {
		t.Errorf("hooks, root or hostname: %+v", l.spec)
	}
}

func sameLinux(t *testing.T, asked *specs.Linux, l *lowered) {
	t.Helper()
	got := l.spec.Linux
	if got.Seccomp != nil || !l.plan.Kernel {
		t.Error("the filter is PID 1's to install, and the runtime is asked for one")
	}
	// What runc covers by default, and containers have at all.
	for _, path := range []string{"/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi"} {
		if !slices.Contains(got.MaskedPaths, path) {
			t.Errorf("%s is not masked", path)
		}
	}
	for _, path := range []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"} {
		if !slices.Contains(got.ReadonlyPaths, path) {
			t.Errorf("%s is not read-only", path)
		}
	}
	if !slices.Equal(asked.MaskedPaths, got.MaskedPaths) || !slices.Equal(asked.ReadonlyPaths, got.ReadonlyPaths) || got.RootfsPropagation != "private" {
		t.Error("masked or read-only paths, or the propagation, differ")
	}
	kinds := map[specs.LinuxNamespaceType]string{}
	for _, ns := range got.Namespaces {
		kinds[ns.Type] = ns.Path
	}
	want := map[specs.LinuxNamespaceType]string{specs.UserNamespace: "", specs.MountNamespace: "", specs.PIDNamespace: "",
		specs.NetworkNamespace: "/proc/1/fd/3", specs.IPCNamespace: "", specs.UTSNamespace: "", specs.CgroupNamespace: ""}
	if !reflect.DeepEqual(kinds, want) || len(got.Namespaces) != len(want) {
		t.Errorf("namespaces %+v", got.Namespaces)
	}
	for _, maps := range [][2][]specs.LinuxIDMapping{{asked.UIDMappings, got.UIDMappings}, {asked.GIDMappings, got.GIDMappings}} {
		if len(maps[1]) != 2 || maps[1][0] != maps[0][0] {
			t.Errorf("ids %+v", maps[1])
		}
		for _, m := range maps[1] {
			if m.HostID == 0 || m.Size != 1 {
				t.Errorf("ids %+v", maps[1])
			}
		}
	}
	sysctl := map[string]string{}
	for _, set := range []map[string]string{got.Sysctl, l.network} {
		for key, value := range set {
			sysctl[key] = value
		}
	}
	if !reflect.DeepEqual(sysctl, asked.Sysctl) {
		t.Errorf("sysctls %v", sysctl)
	}
	a, r := asked.Resources, got.Resources
	if !reflect.DeepEqual(a.Memory, r.Memory) || *r.Memory.Swap != *r.Memory.Limit || !reflect.DeepEqual(a.CPU, r.CPU) || *r.Pids.Limit != *a.Pids.Limit+ownThreads {
		t.Errorf("resources %+v", r)
	}
	if !reflect.DeepEqual(r.Devices, []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}) || len(got.Devices) > 0 {
		t.Errorf("devices %+v", r.Devices)
	}
	if got.CgroupsPath != "/"+testTarget.cgroup {
		t.Errorf("cgroup %s", got.CgroupsPath)
	}
}

func sameMounts(t *testing.T, asked []specs.Mount, l *lowered) {
	t.Helper()
	made := map[string]specs.Mount{}
	for i, m := range l.spec.Mounts {
		made[m.Destination] = m
		for _, later := range l.spec.Mounts[i+1:] {
			if strings.HasPrefix(m.Destination, later.Destination+"/") {
				t.Errorf("%s would be covered by %s", m.Destination, later.Destination)
			}
		}
	}
	place := func(at string, kind nodeKind, text string) bool {
		return slices.Contains(l.skeleton, node{at, kind, text})
	}
	for _, m := range asked {
		got, mounted := made[m.Destination]
		delete(made, m.Destination)
		switch m.Type {
		case "symlink":
			standard := strings.HasPrefix(m.Destination, "/dev/") && strings.HasPrefix(m.Source, "/proc/self/fd")
			if mounted || !standard && !place(m.Destination, symlink, m.Source) && !slices.Contains(l.plan.Links, pid1.Link{Path: m.Destination, Text: m.Source}) {
				t.Errorf("link %s", m.Destination)
			}
		case "file":
			if !mounted && !place(m.Destination, regular, m.Source) {
				t.Errorf("file %s", m.Destination)
			}
			if mounted && (!slices.Contains(got.Options, "ro") || !slices.ContainsFunc(l.files, func(n node) bool { return n.text == m.Source && strings.HasSuffix(got.Source, "/"+n.path) })) {
				t.Errorf("file %+v", got)
			}
		default:
			if got.Type != m.Type || got.Source != m.Source {
				t.Errorf("mount %+v, for %+v", got, m)
			}
			for _, o := range m.Options {
				if o != "dest-elsewhere" && !slices.Contains(got.Options, o) {
					t.Errorf("mount %s lacks %s: %v", m.Destination, o, got.Options)
				}
			}
			for _, o := range got.Options {
				known := slices.Contains(m.Options, o) || o == "private" || o == "rprivate" || m.Type == "tmpfs" && (strings.HasPrefix(o, "uid=") || strings.HasPrefix(o, "gid="))
				if !known {
					t.Errorf("mount %s has %s of its own", m.Destination, o)
				}
			}
			readOnly := slices.Contains(m.Options, "ro") || slices.Contains(m.Options, "rro")
			if m.Type == "bind" && !slices.ContainsFunc(l.plan.Checks, func(c pid1.Check) bool { return c.Path == m.Destination && c.ReadOnly == readOnly }) {
				t.Errorf("nobody looks at %s", m.Destination)
			}
		}
	}
	for _, own := range []string{pid1.In, pid1.Out} {
		if !slices.Contains(made[own].Options, "ro") {
			t.Errorf("%s can be written to", own)
		}
		delete(made, own)
	}
	if len(made) > 0 {
		t.Errorf("nobody asked for %v", made)
	}
}

func hasAny(c *specs.LinuxCapabilities) bool {
	return c != nil && len(c.Bounding)+len(c.Effective)+len(c.Inheritable)+len(c.Permitted)+len(c.Ambient) > 0
}

// TestLowerRefuses: a backend that leaves out what it does not know is a hole.
func TestLowerRefuses(t *testing.T) {
	mount := func(m specs.Mount) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Mounts = append(s.Mounts, m) }
	}
	for _, c := range []struct {
		name   string
		change func(*specs.Spec)
		want   string
	}{
		{"capability", func(s *specs.Spec) {
			s.Process.Capabilities = &specs.LinuxCapabilities{Ambient: []string{"CAP_NET_ADMIN"}}
		}, "capabilities"},
		{"no filter", func(s *specs.Spec) { s.Linux.Seccomp = nil }, "seccomp"},
		{"hook", func(s *specs.Spec) { s.Hooks = &specs.Hooks{} }, "hooks"},
		{"joined namespace", func(s *specs.Spec) { s.Linux.Namespaces[0].Path = "/proc/1/ns/user" }, "namespaces"},
		{"private sockets beside the host's files", func(s *specs.Spec) {
			s.Annotations = map[string]string{sandbox.AnnotationUnixSockets: "private", sandbox.AnnotationHostDirectories: "true"}
		}, "unix_sockets"},
		{"mount type", mount(specs.Mount{Destination: "/x", Type: "overlay", Options: []string{"nosuid"}}), "overlay"},
		{"staged", mount(specs.Mount{Destination: "/x", Type: "staged", Source: "/x"}), "staged"},
		{"mount option", mount(specs.Mount{Destination: "/x", Source: "/usr", Type: "bind", Options: []string{"bind", "nosuid", "suid"}}), "suid"},
		{"a link to hide", mount(specs.Mount{Destination: "/x", Source: "/dev/null", Type: "bind", Options: []string{"bind", "ro", "nosuid", "dest-nofollow"}}), "symbolic link"},
		{"set-id mount", mount(specs.Mount{Destination: "/x", Source: "/usr", Type: "bind", Options: []string{"rbind", "rro"}}), "nosuid"},
		{"half read-only", mount(specs.Mount{Destination: "/x", Source: "/usr", Type: "bind", Options: []string{"rbind", "ro", "nosuid"}}), "rro"},
		{"endless tmpfs", mount(specs.Mount{Destination: "/x", Type: "tmpfs", Options: []string{"nosuid"}}), "size"},
		{"destination with ..", mount(specs.Mount{Destination: "/x/../y", Type: "proc"}), "clean"},
		{"source with ..", mount(specs.Mount{Destination: "/x", Source: "/x/../y", Type: "bind", Options: []string{"bind", "nosuid"}}), "clean"},
		{"over PID 1", mount(specs.Mount{Destination: "/run/mcpbox/in", Type: "tmpfs", Options: []string{"size=1"}}), "mcpbox's own"},
		{"link in a directory of the host", func(s *specs.Spec) {
			s.Mounts = append(s.Mounts, specs.Mount{Destination: "/x", Source: "/x", Type: "bind", Options: []string{"rbind", "rw", "nosuid"}},
				specs.Mount{Destination: "/x/y", Source: "z", Type: "symlink"})
		}, "symbolic link"},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := fixture(t, "../../policy/testdata/image.json")
			if _, err := lower(spec, testTarget); err != nil {
				t.Fatalf("the unchanged spec: %v", err)
			}
			c.change(spec)
			if _, err := lower(spec, testTarget); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one about %s", err, c.want)
			}
		})
	}
}

// TestOwners: what root's box may write to, and what lies in it, is mapped; the rest
// is read as anybody reads it.
func TestOwners(t *testing.T) {
	spec := fixture(t, "../../policy/testdata/image.json")
	options := func(o string) []string { return []string{"rbind", o, "nosuid", "nodev"} }
	spec.Mounts = append(spec.Mounts,
		specs.Mount{Destination: "/w", Source: "/w", Type: "bind", Options: options("rw")},
		specs.Mount{Destination: "/w/.git", Source: "/w/.git", Type: "bind", Options: options("rro")},
		specs.Mount{Destination: "/r", Source: "/r", Type: "bind", Options: options("rro")})
	tt := testTarget
	tt.owner = func(source string) (owner, error) {
		if strings.HasPrefix(source, "/w/") {
			t.Errorf("asked for the owner of %s", source)
		}
		return owner{7, 8}, nil
	}
	l, err := lower(spec, tt)
	if err != nil {
		t.Fatal(err)
	}
	uid := func(to uint32, id uint32) []specs.LinuxIDMapping {
		return []specs.LinuxIDMapping{{ContainerID: id, HostID: to, Size: 1}}
	}
	u := spec.Process.User
	for _, m := range l.spec.Mounts {
		wantUID, wantGID := uid(u.UID, 7), uid(u.GID, 8)
		switch m.Destination {
		case "/w", "/w/.git":
		case "/r", "/dev/null", "/proc":
			wantUID, wantGID = nil, nil
		default:
			continue
		}
		if !reflect.DeepEqual(m.UIDMappings, wantUID) || !reflect.DeepEqual(m.GIDMappings, wantGID) {
			t.Errorf("%s: %+v, %+v", m.Destination, m.UIDMappings, m.GIDMappings)
		}
	}
}

// TestFilterForRunsc: what is not implemented is that with gVisor, too; the rest of
// the filter, and the original, stay as they are.
func TestFilterForRunsc(t *testing.T) {
	before, err := policy.Seccomp(policy.SocketsNone, runtime.GOARCH)
	if err != nil {
		t.Fatal(err)
	}
	kept, err := json.Marshal(before)
	if err != nil {
		t.Fatal(err)
	}
	after := filterForRunsc(before)
	if now, err := json.Marshal(before); err != nil || string(now) != string(kept) {
		t.Errorf("the original has changed: %v", err)
	}
	if before.DefaultAction != specs.ActErrno || after.DefaultAction != specs.ActTrace {
		t.Errorf("what no rule names: %s, and %s with gVisor", before.DefaultAction, after.DefaultAction)
	}
	// Only because nobody can trace is what a tracer is asked about an error.
	traces := false
	for i, rule := range after.Syscalls {
		old := before.Syscalls[i]
		switch {
		case rule.Action == specs.ActTrace:
			if old.Action != specs.ActErrno || old.ErrnoRet == nil || *old.ErrnoRet != uint(unix.ENOSYS) {
				t.Errorf("%v was %s", rule.Names, old.Action)
			}
		case !reflect.DeepEqual(rule, old):
			t.Errorf("%v is %v, and was %v", rule.Names, rule, old)
		}
		if slices.Contains(rule.Names, "ptrace") && rule.Action == specs.ActErrno && len(rule.Args) == 0 {
			traces = true
		}
	}
	if !traces {
		t.Error("programs may trace")
	}
	if filterForRunsc(nil) != nil {
		t.Error("a filter from nothing")
	}
}
