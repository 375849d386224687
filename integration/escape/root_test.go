package escape

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/mcpbox/mcpbox/integration/setup"
)

// TestN8Root starts the launcher as root. The box is nobody: what it makes in
// root's directory belongs to root and has no set-id bit, what root alone may
// read it does not, and what belongs to others it does not touch.
func TestN8Root(t *testing.T) {
	if os.Getuid() != 0 {
		setup.Need(t, false, "root")
	}
	w := newWorld(t, true)
	w.write("docs/secret", "root only\n", 0o600)
	w.write("project/theirs", "theirs\n", 0o600)
	w.must(os.Chown(w.In("project/theirs"), 12345, 12345))
	script := `id -u; cat ../docs/secret project/theirs 2>/dev/null; cat theirs 2>/dev/null
		echo new > new && chmod 755 new && chmod u+s new 2>/dev/null && echo set-id
		echo more >> main.go && echo wrote; exit 0`
	r := w.run(w.box("/bin/sh", "-c", script))
	uid, rest, _ := strings.Cut(r.stdout, "\n")
	if n, err := strconv.Atoi(uid); err != nil || n == 0 || r.code != 0 {
		t.Errorf("the box ran as %q: %+v", uid, r)
	}
	if rest != "wrote\n" {
		t.Errorf("the box did %q", rest)
	}
	info, err := os.Lstat(w.In("project/new"))
	w.must(err)
	if owner(info) != 0 || info.Mode()&os.ModeSetuid != 0 {
		t.Errorf("the new file belongs to %d and is %v", owner(info), info.Mode())
	}
	if !strings.HasSuffix(w.read(w.In("project/main.go")), "more\n") {
		t.Error("the control failed: root's own file was not written")
	}
}

// TestN6Groups starts the launcher as a user in a powerful group. An
// unprivileged launcher cannot leave it: it warns of a declared directory that
// is the group's, in which can be read what the group may read.
func TestN6Groups(t *testing.T) {
	if os.Getuid() != 0 {
		setup.Need(t, false, "root")
	}
	gid := groupID(t, "disk")
	w := newWorld(t, false)
	w.write("docs/group", "group only\n", 0o640)
	w.must(os.Chown(w.In("docs/group"), 0, gid))
	w.must(os.Chown(w.In("docs"), 0, gid))
	cmd := w.box("/bin/cat", w.In("docs/group"))
	cmd.SysProcAttr.Credential.Groups = []uint32{uint32(gid)}
	if r := w.run(cmd); r.stdout != "group only\n" || !strings.Contains(r.stderr, "group disk") {
		t.Errorf("want the content and a warning: %+v", r)
	}
	if r := w.run(w.box("/bin/cat", w.In("docs/group"))); r.stdout != "" || r.code == 0 || strings.Contains(r.stderr, "group disk") {
		t.Errorf("without the group: %+v", r)
	}
}

// groupID looks a group up.
func groupID(t *testing.T, name string) int {
	t.Helper()
	b, err := os.ReadFile("/etc/group")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines(string(b)) {
		if f := strings.Split(line, ":"); f[0] == name {
			n, err := strconv.Atoi(f[2])
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	setup.Need(t, false, "a group "+name)
	return 0
}

// TestF4Seals looks at the program that PID 1 of a box runs, from the host: a
// memory file that nobody can change any more.
func TestF4Seals(t *testing.T) {
	if os.Getuid() != 0 {
		setup.Need(t, false, "root") // PID 1 lets its own user not look
	}
	w := newWorld(t, false)
	w.held(w.box("/bin/sh", "-c", "echo up; cat"), func(string) {
		found := 0
		for _, pid := range w.processes() {
			exe := "/proc/" + strconv.Itoa(pid) + "/exe"
			if target, err := os.Readlink(exe); err != nil || !strings.Contains(target, "memfd:") {
				continue
			}
			f, err := os.Open(exe)
			w.must(err)
			seals, err := unix.FcntlInt(f.Fd(), unix.F_GET_SEALS, 0)
			w.must(f.Close())
			const all = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
			if err != nil || seals&all != all {
				t.Errorf("%s has seals %#x, %v", exe, seals, err)
			}
			found++
		}
		if found != 1 {
			t.Errorf("%d processes run a memory file, want PID 1 of the box alone", found)
		}
	})
}

// TestR7HostKeepsItsShare has a box take all the processes and inotify
// instances it can get. Its user on the host still gets some.
func TestR7HostKeepsItsShare(t *testing.T) {
	w := newWorld(t, false)
	w.held(w.box(w.probe(), "act", "hoard"), func(said string) {
		t.Log(said)
		r := w.run(w.command(w.probe(), "attack", w.scenario(1), "needs/inotify"))
		if !strings.Contains(r.stdout, `"succeeded":true`) {
			t.Errorf("no inotify instance is left for the host: %+v", r)
		}
		if r := w.run(w.command("/bin/sh", "-c", "/bin/echo one | /bin/cat")); r.stdout != "one\n" {
			t.Errorf("no process is left for the host: %+v", r)
		}
	})
}
