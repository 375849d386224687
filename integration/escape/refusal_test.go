package escape

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mcpbox/mcpbox/integration/setup"
)

// mark is a command that shows on the host whether it was executed.
func (w *world) mark() []string { return []string{"/bin/sh", "-c", "echo ran"} }

// refused checks that a launch was refused, with a line that says the words,
// and that the server was not executed.
func refused(t *testing.T, r ran, words ...string) {
	t.Helper()
	if r.code != 125 || r.stdout != "" || !strings.HasPrefix(r.stderr, "mcpbox: ") {
		t.Errorf("want a refusal with exit 125: %+v", r)
	}
	for _, word := range words {
		if !strings.Contains(r.stderr, word) {
			t.Errorf("want a word of %q: %+v", word, r)
		}
	}
}

// TestW7Refusals declares directories in which the box could reach the
// launcher's own files, or everything. Each is refused before anything runs.
func TestW7Refusals(t *testing.T) {
	w := newWorld(t, false)
	w.arm()
	w.must(os.Symlink(w.In(".config/mcpbox"), w.In("innocent")))
	w.must(os.Symlink(w.In(".config"), w.In("project/innocent")))
	w.must(os.MkdirAll(w.In("bin"), 0o755))
	w.must(os.MkdirAll(w.In(".cursor"), 0o755))
	w.write(".cursor/mcp.json", "{}", 0o600)
	w.own()
	launcher := w.In(".local/bin/mcpbox")
	try := func(flags ...string) ran {
		line := append([]string{launcher, "run", "--raw", "--name", "probe"}, flags...)
		return w.run(w.command(append(append(line, "--"), w.mark()...)...))
	}
	if r := try(w.declared()...); r.stdout != "ran\n" {
		t.Fatalf("the control failed: %+v", r)
	}
	for _, dir := range []string{
		w.In(".config/mcpbox/servers"), w.In(".config/mcpbox"), w.In(".config"), // the policy
		w.In("innocent"), w.In("project/innocent"), // the same, by way of a link
		w.In(".local/state/mcpbox"), w.In(".local/state/mcpbox/journal/probe"), w.In(".local/state"), w.In(".local"), // the journal
		w.In(".local/bin"),                      // the launcher
		w.In(".cache/mcpbox"),                   // compiled filters
		filepath.Join(w.Scratch, "run"),         // run-time state
		w.In(".config/Claude"), w.In(".cursor"), // clients
		w.Home, filepath.Dir(w.Home), "/", "/proc", "/proc/sys", "/sys", "/dev", "/dev/shm", "/run", "/tmp", "/etc", "/usr", "/var", "/boot",
	} {
		if _, err := os.Lstat(dir); err != nil {
			continue
		}
		t.Run("rw"+strings.TrimPrefix(dir, w.Home), func(t *testing.T) {
			refused(t, try("--rw", dir), "--rw")
		})
	}
	for _, dir := range []string{w.In(".config/mcpbox"), w.In("innocent"), w.In(".local/state/mcpbox"), w.Home, "/", "/proc", "/sys", "/dev", "/run"} {
		t.Run("ro"+strings.TrimPrefix(dir, w.Home), func(t *testing.T) {
			refused(t, try("--ro", dir), "--ro")
		})
	}
}

// TestW7BindAlias declares a second mount of the directory that holds policies.
func TestW7BindAlias(t *testing.T) {
	if os.Getuid() != 0 {
		setup.Need(t, false, "root")
	}
	w := newWorld(t, false)
	w.must(os.MkdirAll(w.In("alias"), 0o755))
	w.own()
	script := `mount --bind "$0" "$1" && shift 1 && exec setpriv --reuid "$UID_" --regid "$UID_" --clear-groups "$@"`
	line := append([]string{needPrograms(t).launcher, "run", "--raw", "--rw", w.In("alias"), "--"}, w.mark()...)
	cmd := w.command(append([]string{"/bin/sh", "-c", script, w.In(".config/mcpbox"), w.In("alias")}, line...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
	cmd.Env = append(cmd.Env, "UID_="+strconv.Itoa(w.uid))
	refused(t, w.run(cmd), "--rw")
}

// TestW7PolicyFile uses policy files that somebody else could have written.
func TestW7PolicyFile(t *testing.T) {
	w := newWorld(t, false)
	policy := w.In("mine.toml")
	try := func() ran {
		return w.run(w.boxWith(append(w.declared(), "--policy", policy), w.mark()...))
	}
	fresh := func(mode os.FileMode) {
		_ = os.Remove(policy)
		w.write("mine.toml", "[limits]\npids = 64\n", mode)
	}
	if fresh(0o600); try().stdout != "ran\n" {
		t.Fatalf("the control failed: %+v", try())
	}
	fresh(0o666)
	refused(t, try(), "mine.toml")
	fresh(0o620)
	refused(t, try(), "mine.toml")
	fresh(0o600)
	w.must(os.Link(policy, w.In("project/again.toml")))
	refused(t, try(), "mine.toml")
	w.must(os.Remove(w.In("project/again.toml")))
	// In the project a box could write it, so it protects its own.
	w.must(os.Rename(policy, w.In("project/mine.toml")))
	policy = w.In("project/mine.toml")
	r := w.run(w.boxWith(append(w.declared(), "--policy", policy), "/bin/sh", "-c", "echo 'pids = 9999' >> mine.toml"))
	if r.code == 0 || strings.Contains(w.read(policy), "9999") {
		t.Errorf("the box wrote its own policy: %+v", r)
	}
}

// TestW7PolicyEdited edits the policy while the box runs. That has no effect on
// the run.
func TestW7PolicyEdited(t *testing.T) {
	w := newWorld(t, false)
	script := `echo up; read go; cat "$1" 2>&1; ulimit -u; exit 0`
	cmd := w.box("/bin/sh", "-c", script, "sh", w.In("other/secret.txt"))
	in, err := cmd.StdinPipe()
	w.must(err)
	out, err := cmd.StdoutPipe()
	w.must(err)
	w.must(cmd.Start())
	b := make([]byte, 4096)
	_, err = out.Read(b)
	w.must(err)
	w.write(".config/mcpbox/servers/probe.toml", "[files]\nread = [\"~/other\"]\n", 0o600)
	_, err = in.Write([]byte("go\n"))
	w.must(err)
	n, err := out.Read(b)
	w.must(err)
	_ = cmd.Wait()
	if text := string(b[:n]); strings.Contains(text, "other project") {
		t.Errorf("the edited policy took effect: %q", text)
	}
	// The control: the next run has it.
	if r := w.run(w.box("/bin/cat", w.In("other/secret.txt"))); r.stdout != "other project" {
		t.Errorf("the control failed: %+v", r)
	}
}

// TestN7NoNamespaces starts the launcher where user namespaces are refused, in
// the ways that distributions do. It refuses, with what to type, and runs
// nothing.
func TestN7NoNamespaces(t *testing.T) {
	w := newWorld(t, false)
	// Not the name that has a policy: in a user namespace of its own its
	// directory would seem to belong to somebody else.
	line := append([]string{needPrograms(t).launcher, "run", "--raw", "--name", "other-name", "--rw", w.In("project"), "--"}, w.mark()...)
	for _, errno := range []unix.Errno{unix.EPERM, unix.ENOSPC, unix.EACCES} {
		t.Run(unix.ErrnoName(errno), func(t *testing.T) {
			shim := []string{w.probe(), "act", "no-namespaces", strconv.Itoa(int(errno))}
			r := w.run(w.command(append(shim, line...)...))
			refused(t, r, "namespaces")
			if !strings.Contains(r.stderr, "sysctl ") && !strings.Contains(r.stderr, "--security-opt ") {
				t.Errorf("nothing to type: %+v", r)
			}
			if ok := w.run(w.command(append(shim, "/bin/echo", "ran")...)); ok.stdout != "ran\n" {
				t.Errorf("the control failed: %+v", ok)
			}
		})
	}
	t.Run("limit", func(t *testing.T) {
		// In a user namespace of its own the limit can be set to 0 without
		// root.
		cmd := w.command(append([]string{"/bin/sh", "-c", `echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"`, "sh"}, line...)...)
		cmd.SysProcAttr.Credential = nil
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 1000, HostID: w.uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 1000, HostID: w.uid, Size: 1}}
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: 1000, Gid: 1000, NoSetGroups: true}
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_RESOURCE}
		refused(t, w.run(cmd), "namespaces", "max_user_namespaces")
	})
}

// TestM9MaskedProc starts the launcher where /proc has something mounted over a
// part of it, as in a container: the kernel then lets nobody mount another.
func TestM9MaskedProc(t *testing.T) {
	if os.Getuid() != 0 {
		setup.Need(t, false, "root")
	}
	w := newWorld(t, false)
	script := `mount --make-rprivate / && { test -z "$MASK" || mount -t tmpfs none /proc/irq; } && exec setpriv --reuid "$UID_" --regid "$UID_" --clear-groups "$@"`
	try := func(mask string) ran {
		cmd := w.command(append([]string{"/bin/sh", "-c", script, "sh"}, w.boxed(needPrograms(t).launcher, w.mark()...)...)...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}
		cmd.Env = append(cmd.Env, "MASK="+mask, "UID_="+strconv.Itoa(w.uid))
		return w.run(cmd)
	}
	if r := try(""); r.stdout != "ran\n" {
		t.Fatalf("the control failed: %+v", r)
	}
	refused(t, try("yes"), "proc")
}
