package native

import (
	"context"
	"io"
	"os"
	"testing"
	"time"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestMain(m *testing.M) {
	Init()
	os.Exit(m.Run())
}

// testSpec is a small box around args: /usr, /proc, /dev and a home.
func testSpec(t testing.TB, args ...string) *specs.Spec {
	t.Helper()
	uid, gid, err := BoxUser()
	if err != nil {
		t.Fatal(err)
	}
	filter, err := seccomp.GetDefaultProfile(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{}}, Linux: &specs.Linux{}})
	if err != nil {
		t.Fatal(err)
	}
	filter.Architectures = filter.Architectures[:1]
	ids := func(id int) []specs.LinuxIDMapping {
		return []specs.LinuxIDMapping{{ContainerID: uint32(id), HostID: uint32(id), Size: 1}}
	}
	system := []string{"rbind", "rro", "nosuid", "nodev"}
	spec := &specs.Spec{
		Version:  specs.Version,
		Hostname: "mcpbox",
		Root:     &specs.Root{Path: "rootfs", Readonly: true},
		Process: &specs.Process{
			Args: args, Cwd: "/tmp", NoNewPrivileges: true,
			Env:  []string{"PATH=/usr/local/bin:/usr/bin:/bin"},
			User: specs.User{UID: uint32(uid), GID: uint32(gid)},
		},
		Mounts: []specs.Mount{
			{Destination: "/usr", Source: "/usr", Type: "bind", Options: system},
			{Destination: "/proc", Type: "proc", Options: []string{"nosuid", "nodev", "noexec"}},
			{Destination: "/dev", Type: "tmpfs", Options: []string{"nosuid", "noexec", "ro", "size=65536", "mode=0755"}},
			{Destination: "/dev/null", Source: "/dev/null", Type: "bind", Options: []string{"bind", "rw", "nosuid", "noexec"}},
			{Destination: "/tmp", Type: "tmpfs", Options: []string{"nosuid", "nodev", "size=1048576", "nr_inodes=100", "mode=1777"}},
			{Destination: "/etc/hostname", Source: "mcpbox\n", Type: "file"},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{{Type: specs.UserNamespace}, {Type: specs.MountNamespace}, {Type: specs.PIDNamespace},
				{Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.CgroupNamespace}},
			UIDMappings: ids(uid), GIDMappings: ids(gid),
			RootfsPropagation: "private",
			MaskedPaths:       []string{"/proc/kcore", "/proc/acpi"},
			ReadonlyPaths:     []string{"/proc/sys"},
			Seccomp:           filter,
		},
	}
	for _, name := range []string{"bin", "lib", "lib64", "sbin"} {
		if target, err := os.Readlink("/" + name); err == nil {
			spec.Mounts = append(spec.Mounts, specs.Mount{Destination: "/" + name, Source: target, Type: "symlink"})
		}
	}
	return spec
}

// run starts spec and returns its output and how it ended.
func run(t testing.TB, spec *specs.Spec) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	box, err := new(Backend).Start(ctx, spec, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer box.Kill()
	box.Stdin().Close()
	errs := make(chan string)
	go func() {
		data, _ := io.ReadAll(box.Stderr())
		errs <- string(data)
	}()
	out, err := io.ReadAll(box.Stdout())
	if err != nil {
		t.Fatal(err)
	}
	stderr = <-errs
	exit, err := box.Wait()
	if err != nil {
		t.Fatal(err)
	}
	return string(out), stderr, exit.Code
}

func TestRunsAProgram(t *testing.T) {
	out, stderr, code := run(t, testSpec(t, "/bin/sh", "-c", "id; cat /proc/self/status /proc/self/uid_map /proc/mounts; ls -la / /dev /proc/self/fd; hostname; pwd; exit 7"))
	t.Logf("%s%s", out, stderr)
	if code != 7 {
		t.Errorf("exit code %d, want 7", code)
	}
}
