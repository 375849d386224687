package containerd

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/integration/ctr"
)

// TestMapsOwners: what versions of runc say of themselves.
func TestMapsOwners(t *testing.T) {
	for _, x := range []struct {
		said        string
		maps, fails bool
	}{
		{`{"ociVersionMin": "1.0.0", "linux": {"namespaces": ["user"]}}`, false, false}, // 1.1
		{`{"linux": {"mountExtensions": {"idmap": {"enabled": true}}}}`, true, false},
		{`{"linux": {"mountExtensions": {"idmap": {"enabled": false}}}}`, false, false},
		{`{"linux": {"mountExtensions": {}}}`, false, false},
		{`No help topic for 'features'`, false, true}, // 1.0
	} {
		file := filepath.Join(t.TempDir(), "runc")
		if err := os.WriteFile(file, []byte("#!/bin/sh\n[ \"$1\" = features ] && cat <<'END'\n"+x.said+"\nEND\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		maps, err := mapsOwners(t.Context(), file)
		if maps != x.maps || (err != nil) != x.fails {
			t.Errorf("%s: %t, %v", x.said, maps, err)
		}
	}
}

// program puts an executable file into a new directory, and returns the directory.
func program(t *testing.T, name string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/true\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestLookIn: of a PATH, what is relative to somewhere leads nowhere.
func TestLookIn(t *testing.T) {
	dir := program(t, "runc")
	t.Setenv("PATH", dir)
	t.Chdir(dir)
	for dirs, want := range map[string]string{
		"": "", ":": "", ".": "", "./:/nowhere": "", "..": "", filepath.Base(dir): "",
		dir: dir + "/runc", ":.:" + dir: dir + "/runc", // the control
	} {
		if got := lookIn(dirs, "runc"); got != want {
			t.Errorf("%q: %q, not %q", dirs, got, want)
		}
	}
}

// TestPathOf: whose PATH root believes to be containerd's.
func TestPathOf(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root reads the environment of root's containerd; as root this test runs")
	}
	sleep, err := os.ReadFile("/bin/sleep")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "path-of-") // where other users come
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		name     string
		mode     os.FileMode
		uid      uint32
		believed bool
	}{
		{"containerd", 0o755, 0, true},
		{"containerd", 0o755, 12345, false},
		{"containerd", 0o755 | os.ModeSetuid, 12345, false},
		{"sleep", 0o755, 0, false},
	} {
		file := filepath.Join(dir, x.name)
		if err := os.WriteFile(file, sleep, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, x.mode); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(file, "600")
		cmd.Env = []string{"A=b", "PATH=/its/own"}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: x.uid, Gid: x.uid}, Pdeathsig: syscall.SIGKILL}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(fmt.Sprint("/proc/", cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		if owner := info.Sys().(*syscall.Stat_t).Uid; x.mode&os.ModeSetuid != 0 && owner != 0 {
			t.Logf("set-user-ID bits have no effect below %s: it is of user %d", dir, owner)
		}
		// A moment after it has begun to be the program it has its environment.
		for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			if env, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", cmd.Process.Pid)); err == nil && len(env) > 0 {
				break
			} else if time.Now().After(end) {
				t.Fatalf("%+v has no environment: %v", x, err)
			}
		}
		path, ok := pathOf(cmd.Process.Pid)
		if ok != x.believed || ok != (path == "/its/own") {
			t.Errorf("%+v: %q, %t", x, path, ok)
		}
		cmd.Process.Kill()
		cmd.Wait()
		if path, ok := pathOf(cmd.Process.Pid); ok {
			t.Errorf("%+v: after its end: %q", x, path)
		}
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFind: a containerd's runc is found where that looks, and where the process that
// listened is another, where this process looks.
func TestFind(t *testing.T) {
	ctr.Need(t)
	before, own := program(t, "runc"), program(t, "runc")
	was := os.Getenv("PATH")
	t.Setenv("PATH", before+":"+was)
	t.Setenv("MCPBOX_CONTAINERD", before+":"+os.Getenv("MCPBOX_CONTAINERD"))
	daemon := ctr.Start(t)
	t.Setenv("PATH", own)
	if got, want := (&Client{Address: daemon.Address}).find("runc"), before+"/runc"; got != want {
		t.Errorf("a containerd's: %q, not %q", got, want)
	}
	socket := filepath.Join(daemon.Dir, "other.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if got, want := (&Client{Address: socket}).find("runc"), own+"/runc"; got != want {
		t.Errorf("another's: %q, not %q", got, want)
	}
}
