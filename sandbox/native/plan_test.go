package native

import (
	"errors"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// A backend that leaves out what it does not know is a hole; each of these has
// to be refused.
func TestPlanRefuses(t *testing.T) {
	ptr := func(n int64) *int64 { return &n }
	mount := func(m specs.Mount) func(*specs.Spec) {
		return func(s *specs.Spec) { s.Mounts = append(s.Mounts, m) }
	}
	for _, c := range []struct {
		name   string
		change func(*specs.Spec)
		want   string
	}{
		{"terminal", func(s *specs.Spec) { s.Process.Terminal = true }, "terminal"},
		{"new privileges", func(s *specs.Spec) { s.Process.NoNewPrivileges = false }, "noNewPrivileges"},
		{"capability", func(s *specs.Spec) {
			s.Process.Capabilities = &specs.LinuxCapabilities{Ambient: []string{"CAP_NET_ADMIN"}}
		}, "capabilities"},
		{"apparmor profile", func(s *specs.Spec) { s.Process.ApparmorProfile = "x" }, "process"},
		{"no filter", func(s *specs.Spec) { s.Linux.Seccomp = nil }, "seccomp"},
		{"writable root", func(s *specs.Spec) { s.Root.Readonly = false }, "root.readonly"},
		{"shared mounts", func(s *specs.Spec) { s.Linux.RootfsPropagation = "rslave" }, "rootfsPropagation"},
		{"host network", func(s *specs.Spec) {
			s.Linux.Namespaces = s.Linux.Namespaces[:3]
		}, "missing"},
		{"joined namespace", func(s *specs.Spec) { s.Linux.Namespaces[3].Path = "/proc/1/ns/net" }, "namespaces"},
		{"two users", func(s *specs.Spec) { s.Linux.UIDMappings[0].Size = 2 }, "uidMappings"},
		{"hook", func(s *specs.Spec) { s.Hooks = &specs.Hooks{} }, "hooks"},
		{"device", func(s *specs.Spec) { s.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/kvm"}} }, "devices"},
		{"memory limit", func(s *specs.Spec) {
			s.Linux.Resources = &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: ptr(1)}}
		}, "resources"},
		{"sysctl", func(s *specs.Spec) { s.Linux.Sysctl = map[string]string{"kernel.core_pattern": "|x"} }, "core_pattern"},
		{"rlimit", func(s *specs.Spec) { s.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_X"}} }, "RLIMIT_X"},
		{"relative cwd", func(s *specs.Spec) { s.Process.Cwd = "x" }, "cwd"},
		{"mount type", mount(specs.Mount{Destination: "/x", Type: "overlay", Options: []string{"nosuid"}}), "overlay"},
		{"mount option", mount(specs.Mount{Destination: "/x", Source: "/usr", Type: "bind", Options: []string{"nosuid", "suid"}}), "suid"},
		{"set-id mount", mount(specs.Mount{Destination: "/x", Source: "/usr", Type: "bind", Options: []string{"rbind", "rro"}}), "nosuid"},
		{"half read-only", mount(specs.Mount{Destination: "/x", Source: "/usr", Type: "bind", Options: []string{"rbind", "ro", "nosuid"}}), "rro"},
		{"endless tmpfs", mount(specs.Mount{Destination: "/x", Type: "tmpfs", Options: []string{"nosuid"}}), "size"},
		{"destination with ..", mount(specs.Mount{Destination: "/x/../y", Type: "proc", Options: []string{"nosuid"}}), "clean"},
		{"mount on the root", mount(specs.Mount{Destination: "/", Type: "proc", Options: []string{"nosuid"}}), "clean"},
	} {
		t.Run(c.name, func(t *testing.T) {
			spec := testSpec(t, "/bin/true")
			if _, err := newPlan(spec); err != nil {
				t.Fatalf("the unchanged spec: %v", err)
			}
			c.change(spec)
			_, err := newPlan(spec)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one about %s", err, c.want)
			}
		})
	}
}

// A limit that only a later tier could enforce is unsupported, not unknown: the
// caller may have another backend.
func TestUnsupportedIsTyped(t *testing.T) {
	spec := testSpec(t, "/bin/true")
	n := uint64(1)
	spec.Linux.Resources = &specs.LinuxResources{CPU: &specs.LinuxCPU{Shares: &n}}
	_, err := newPlan(spec)
	if !errors.Is(err, sandbox.ErrUnsupported) {
		t.Errorf("error %v is no ErrUnsupported", err)
	}
}

func TestPrivateSocketsNeedAKernelThatKnowsThem(t *testing.T) {
	spec := func(mode, dirs string) map[string]string {
		return map[string]string{sandbox.AnnotationUnixSockets: mode, sandbox.AnnotationHostDirectories: dirs}
	}
	for _, c := range []struct {
		annotations map[string]string
		abi         int
		refused     bool
	}{
		{spec("private", "true"), 7, true},
		{spec("private", "true"), 0, true},
		{spec("private", "true"), 9, false},
		{spec("private", ""), 0, false},
		{spec("none", "true"), 0, false},
		{spec("host", "true"), 0, false},
	} {
		if err := checkSockets(c.annotations, c.abi); (err != nil) != c.refused {
			t.Errorf("%v with ABI %d: %v", c.annotations, c.abi, err)
		}
	}
}

func TestOldKernelsAreRefused(t *testing.T) {
	for release, ok := range map[string]bool{
		"5.10.0-28-amd64": false, "5.13.19": false, "4.19.0": false, "2.6.32": false,
		"5.14.0-427.el9.x86_64": true, "5.15.0": true, "6.1.0-18-amd64": true, "7.0": true,
	} {
		if err := checkRelease(release); (err == nil) != ok {
			t.Errorf("%s: %v", release, err)
		}
	}
}
