package containers

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/containerd"
)

// somebody is a user id that owns nothing but what these tests give it.
const somebody = 54321

// TestOrdinaryUser: a launcher that is not root has a box of its own user, which
// writes to its own directories, and which the launcher needs no containerd to end.
func TestOrdinaryUser(t *testing.T) { each(t, testOrdinaryUser) }

func testOrdinaryUser(t *testing.T, m *machine) {
	if err := os.Chown(m.Address, somebody, somebody); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o755); err != nil {
		t.Fatal(err)
	}
	work, secret := filepath.Join(dir, "work"), filepath.Join(dir, "secret")
	if err := errors.Join(os.Mkdir(work, 0o755), os.Chown(work, somebody, somebody), os.WriteFile(secret, []byte("x"), 0o600)); err != nil {
		t.Fatal(err)
	}
	policy := `files.write = ["` + work + `"]` + "\n" + `files.read = ["` + secret + `"]`
	cmd, run, l := m.launcherAs(t, somebody, false, policy, `
echo "$(id -u) $(cat `+secret+` 2>&1)" >`+work+`/made; mkdir `+work+`/dir
for fd in 3 4 5 6 7 8 9; do chmod 666 /proc/1/fd/$fd; (exec 8>>/proc/1/fd/$fd; sleep 10000) & done 2>/dev/null
`+stubborn)
	var st syscall.Stat_t
	if err := syscall.Stat(filepath.Join(work, "made"), &st); err != nil || st.Uid != somebody {
		t.Errorf("the file on the host: %+v, %v", st, err)
	}
	if text, err := os.ReadFile(filepath.Join(work, "made")); err != nil || !strings.HasPrefix(string(text), "54321 ") || !strings.Contains(string(text), "denied") {
		t.Errorf("inside: %q, %v", text, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	await(t, "the box ends", l.dead)
	if err := containerd.Reap(t.Context(), run); err != nil {
		t.Fatal(err)
	}
	await(t, "nothing is left", func() bool { return len(m.left(t, l)) == 0 })
}

// TestRootsDirectories: started by root, the box is another user, to which the
// directories that it may write to belong inside, and outside to their owner. A
// runtime that cannot do this is refused, and the box does not run.
func TestRootsDirectories(t *testing.T) {
	m := start(t, busybox(t))
	work := filepath.Join(t.TempDir(), "work")
	if err := errors.Join(os.Mkdir(work, 0o700), os.Chown(work, somebody, somebody)); err != nil {
		t.Fatal(err)
	}
	box, err := m.backend(t).Start(t.Context(), m.specOf(t, `files.write = ["`+work+`"]`, "sh", "-c", "cd "+work+" && mkdir d && echo x >f && stat -c %u . d f && id -u"), nil)
	if !m.mapsOwners(t) {
		if !errors.Is(err, sandbox.ErrUnsupported) || !strings.Contains(err.Error(), "runc 1.2") {
			t.Errorf("error %v", err)
		}
		if list, err := os.ReadDir(work); err != nil || len(list) > 0 {
			t.Errorf("%v, %v", list, err)
		}
		return
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, m.Log())
	}
	out, errs, _ := finish(t, box, "")
	if ids := strings.Fields(out); len(ids) != 4 || ids[0] == "0" || ids[0] != ids[1] || ids[1] != ids[2] || ids[2] != ids[3] {
		t.Errorf("%q, %q", out, errs)
	}
	for _, name := range []string{"d", "f"} {
		var st syscall.Stat_t
		if err := syscall.Stat(filepath.Join(work, name), &st); err != nil || st.Uid != somebody || st.Gid != somebody {
			t.Errorf("%s on the host: %+v, %v", name, st, err)
		}
	}
}

// mapsOwners reports whether the runtime can mount with mapped owners.
func (m *machine) mapsOwners(t *testing.T) bool {
	t.Helper()
	out, err := m.runc("--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	var major, minor int
	if _, err := fmt.Sscanf(string(out), "runc version %d.%d", &major, &minor); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	return major > 1 || minor >= 2
}

// runc is the one that the daemon finds.
func (m *machine) runc(args ...string) *exec.Cmd {
	path := "runc"
	if dir := os.Getenv("MCPBOX_CONTAINERD"); dir != "" {
		if at := filepath.Join(dir, "runc"); exec.Command("test", "-x", at).Run() == nil {
			path = at
		}
	}
	return exec.Command(path, args...)
}

// TestReadOnlyBelow: what is mounted inside a directory that may be read is not
// writable either.
func TestReadOnlyBelow(t *testing.T) { each(t, testReadOnlyBelow) }

func testReadOnlyBelow(t *testing.T, m *machine) {
	dir := t.TempDir()
	below := filepath.Join(dir, "below")
	if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Mkdir(below, 0o755), syscall.Mount("tmpfs", below, "tmpfs", 0, "mode=1777")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Unmount(below, 0) })
	// The control: on the host anybody may.
	touch := exec.Command("touch", filepath.Join(below, "control"))
	touch.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: somebody, Gid: somebody}}
	if err := touch.Run(); err != nil {
		t.Fatal(err)
	}
	out, errs, _ := m.outcome(t, `files.read = ["`+dir+`"]`, "", "sh", "-c", "ls "+below+"; for f in x control; do echo x >"+below+"/$f; done; chmod 777 "+below+"/control; mkdir "+below+"/d")
	if out != "control\n" || !strings.Contains(errs, "Read-only file system") {
		t.Errorf("%q, %q", out, errs)
	}
	if list, err := os.ReadDir(below); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if info, err := os.Stat(filepath.Join(below, "control")); err != nil || info.Size() > 0 || info.Mode().Perm() == 0o777 {
		t.Errorf("%+v, %v", info, err)
	}
}
