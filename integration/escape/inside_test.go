package escape

import (
	"fmt"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

// TestF1Descriptors starts the launcher with descriptors 3 to 20 open to
// directories and sockets of the host. In the box are three pipes and nothing
// else.
func TestF1Descriptors(t *testing.T) {
	w := newWorld(t, false)
	w.listen()
	leaky := func(cmd *exec.Cmd) *exec.Cmd {
		for i := range 18 {
			f, err := os.Open([]string{"/", w.Scratch, w.Home}[i%3])
			w.must(err)
			t.Cleanup(func() { _ = f.Close() })
			cmd.ExtraFiles = append(cmd.ExtraFiles, f)
		}
		return cmd
	}
	if f := w.look(leaky(w.command(w.probe(), "facts"))); len(f.Descriptors) < 21 {
		t.Fatalf("the control has only %v", f.Descriptors)
	}
	f := w.look(leaky(w.box(w.probe(), "facts")))
	if len(f.Descriptors) != 3 {
		t.Errorf("descriptors: %v", f.Descriptors)
	}
	for fd, is := range f.Descriptors {
		if !strings.HasPrefix(is, "pipe ") {
			t.Errorf("descriptor %s is a %s", fd, is)
		}
	}
}

// TestF2WorkingDirectory starts the launcher in directories that are not in the
// box, or named by way of a process.
func TestF2WorkingDirectory(t *testing.T) {
	w := newWorld(t, false)
	deep := w.In("project/a/b/c")
	for _, c := range []struct{ dir, want string }{
		{w.In("project"), w.In("project")},
		{deep, deep},
		{w.In("docs"), w.In("docs")},
		{w.In("other"), w.Home},
		{w.Scratch, w.Home},
		{"/", "/"},
		{"/proc/self/cwd/../..", ""},
		{"/proc/self/fd", ""},
	} {
		cmd := w.box(w.probe(), "facts")
		cmd.Dir = c.dir
		if c.want == "" {
			// Which directory that is, is open; it has to be one of the box.
			r := w.run(cmd)
			if r.code == 125 && strings.HasPrefix(r.stderr, "mcpbox: ") {
				continue // refused, which is as well
			}
			cmd = w.box(w.probe(), "facts")
			cmd.Dir = c.dir
		}
		f := w.look(cmd)
		if c.want == "/" && f.RawCwd == w.Home {
			continue // the root of the host is not that of the box
		}
		if c.want != "" && f.RawCwd != c.want || !path.IsAbs(f.RawCwd) {
			t.Errorf("started in %s: stands in %q, want %q", c.dir, f.RawCwd, c.want)
		}
	}
}

// TestF8Environment puts secrets into the launcher's environment, and looks for
// them in the box.
func TestF8Environment(t *testing.T) {
	w := newWorld(t, false)
	leaks := func(f Facts) (found []string) {
		for _, kv := range f.Env {
			name, value, _ := strings.Cut(kv, "=")
			if strings.Contains(value, w.Token) || slices.Contains(Injections, name) || slices.Contains(Desktop, name) {
				found = append(found, kv)
			}
		}
		return found
	}
	if found := leaks(w.look(w.command(w.probe(), "facts"))); len(found) < 8 {
		t.Fatalf("the control leaks only %q", found)
	}
	if found := leaks(w.look(w.box(w.probe(), "facts"))); len(found) > 0 {
		t.Errorf("environment of the box: %q", found)
	}
	// What the user names passes.
	flags := append(w.declared(), "--env", "GITHUB_TOKEN", "--env", "LOG=debug")
	f := w.look(w.boxWith(flags, w.probe(), "facts"))
	for _, want := range []string{"GITHUB_TOKEN=" + w.Token, "LOG=debug"} {
		if !slices.Contains(f.Env, want) {
			t.Errorf("environment of the box lacks %s: %q", want, f.Env)
		}
	}
	if found := leaks(f); len(found) != 1 {
		t.Errorf("environment of the box: %q", found)
	}
}

// TestM2Mounts holds the mounts of a box against what it may have.
func TestM2Mounts(t *testing.T) {
	w := newWorld(t, false)
	f := w.look(w.box(w.probe(), "facts"))
	exact := []string{"/", "/proc", "/dev", "/tmp", "/dev/shm", "/usr", w.Home}
	below := []string{"/proc/", "/dev/", "/usr/", "/etc/"}
	for _, dir := range []string{"docs", "tools", "project", "out", ".sshfoo"} {
		exact = append(exact, w.In(dir))
		below = append(below, w.In(dir)+"/")
	}
	for _, m := range f.Mounts {
		fields := strings.Fields(m)
		at, options := fields[4], strings.Split(fields[5], ",")
		ok := slices.Contains(exact, at) || slices.ContainsFunc(below, func(p string) bool { return strings.HasPrefix(at, p) }) ||
			len(at) < 8 && strings.HasPrefix(at, "/lib") || at == "/bin" || at == "/sbin"
		if !ok {
			t.Errorf("unexpected mount: %s", m)
		}
		if !slices.Contains(options, "nosuid") {
			t.Errorf("mount honours set-id programs: %s", m)
		}
		writable := at == "/tmp" || at == "/dev/shm" || at == w.Home || at == w.In("out") || at == w.In("project") ||
			strings.HasPrefix(at, w.In("project")+"/") || at == "/dev" || strings.HasPrefix(at, "/dev/") || at == "/proc"
		if !slices.Contains(options, "ro") && !writable {
			t.Errorf("mount is writable: %s", m)
		}
	}
	if got, want := fmt.Sprint(f.Dev), "[fd full null random shm stderr stdin stdout urandom zero]"; got != want {
		t.Errorf("/dev has %s, want %s", got, want)
	}
	for _, name := range f.Root {
		if !slices.Contains([]string{"bin", "dev", "etc", "home", "lib", "lib32", "lib64", "libx32", "proc", "sbin", "tmp", "usr", "var", "opt"}, name) {
			t.Errorf("the root directory has %s", name)
		}
	}
}

// TestP5Limits reads the limits that a box starts with.
func TestP5Limits(t *testing.T) {
	w := newWorld(t, false)
	f := w.look(w.box(w.probe(), "facts"))
	for name, want := range map[string]uint64{"core": 1, "nofile": 4096, "nproc": 128, "rtprio": 0, "nice": 0} {
		if got := f.Limits[name]; got[1] > want {
			t.Errorf("limit %s is %d, want at most %d", name, got, want)
		}
	}
	// Not 0: the kernel starts a core dump helper all the same then. It does
	// not for 1.
	if got := f.Limits["core"]; got != [2]uint64{1, 1} {
		t.Errorf("limit core is %d, want 1", got)
	}
}
