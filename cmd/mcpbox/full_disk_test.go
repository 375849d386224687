package main

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"golang.org/x/sys/unix"
)

// A server whose journal can no longer be written, because the disk is full, is
// ended. Under a policy that says so it goes on instead, and what is lost is
// counted. Either way the journal has an end, and is whole.
func TestFullDisk(t *testing.T) {
	const variable = "MCPBOX_TEST_SMALL_DISK"
	dir := os.Getenv(variable)
	if dir == "" {
		needBox(t)
		inMountNamespace(t, variable+"="+t.TempDir())
		return
	}
	if err := unix.Mount("small", dir, "tmpfs", 0, "size=8m,mode=755"); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(dir, unix.MNT_DETACH)
	t.Setenv("TMPDIR", dir)
	// Each refusal of a new destination is a record.
	const server = `echo ready; read line
for port in $(seq 1 400); do (: </dev/tcp/192.0.2.1/$port) 2>/dev/null; done
echo done; read line; exit 3`
	for _, c := range []struct {
		policy, said string
		code         int
		signal       int
	}{
		{"", "test: ended: journal: fallocate: no space left on device", exitFailure, int(syscall.SIGKILL)},
		{"[journal]\nfull = \"continue\"\n", `test: journal: fallocate: no space left on device; it goes on without, as [journal] full = "continue" says`, 3, 0},
	} {
		args := []string{"--", "bash", "-c", server}
		if c.policy != "" {
			if os.Geteuid() != 0 {
				continue // to a user namespace / is somebody else's, and with it every policy
			}
			file := filepath.Join(t.TempDir(), "p.toml")
			if err := os.WriteFile(file, []byte(c.policy), 0o600); err != nil {
				t.Fatal(err)
			}
			args = append([]string{"--policy", file}, args...)
		}
		l := launch(t, args...)
		if line, err := l.out.ReadString('\n'); line != "ready\n" {
			l.wait()
			t.Fatalf("%q, %v, %s", line, err, l.err)
		}
		filler := filepath.Join(dir, "filler")
		out, err := os.OpenFile(filler, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		for err == nil {
			_, err = out.Write(make([]byte, 4096))
		}
		if !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		l.in.WriteString("\n")
		if c.signal == 0 {
			if line := l.line(); line != "done" {
				t.Fatal(line)
			}
			l.in.WriteString("\n")
		}
		if code := l.wait(); code != c.code {
			t.Errorf("exit code %d, want %d", code, c.code)
		}
		if !strings.Contains(l.err.String(), c.said) {
			t.Errorf("stderr %q, want %q", l.err, c.said)
		}
		var gap journal.Gap
		var exit journal.Exit
		list := l.journal()
		if err := errors.Join(list[len(list)-2].Decode(&gap), list[len(list)-1].Decode(&exit)); err != nil {
			t.Fatal(err)
		}
		if gap.Lost["connect"] < 1 || exit.Signal != c.signal || list[len(list)-1].Event != "exit" {
			t.Errorf("%s\n%s", list[len(list)-2].Line, list[len(list)-1].Line)
		}
		checked, err := journal.Verify(filepath.Join(l.state, "mcpbox"), func(journal.File) bool { return true })
		if err != nil || len(checked) != 1 || checked[0].State != journal.Whole {
			t.Errorf("%+v, %v", checked, err)
		}
		if err := errors.Join(out.Close(), os.Remove(filler)); err != nil {
			t.Fatal(err)
		}
	}
}

// journal is all that stands in the run's journal.
func (l *launched) journal() []journal.Entry {
	l.t.Helper()
	files, err := journal.Files(filepath.Join(l.state, "mcpbox"))
	if err != nil || len(files) != 1 {
		l.t.Fatalf("%d journals, %v", len(files), err)
	}
	list, err := (&journal.Follower{File: files[0]}).Next(time.Time{})
	if err != nil || len(list) < 2 {
		l.t.Fatalf("%d records, %v", len(list), err)
	}
	return list
}

// inMountNamespace runs the test again, with a variable set, where it can mount.
// The user needs no rights for that.
func inMountNamespace(t *testing.T, variable string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), variable)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{unix.CAP_SYS_ADMIN}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name()+" ")) {
		t.Fatalf("%v\n%s", err, out)
	}
}
