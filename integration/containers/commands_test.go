package containers

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// user is somebody with mcpbox installed, and a containerd to use.
type user struct {
	t       *testing.T
	mcpbox  string
	home    string
	machine *machine
	uid     int
}

// program is mcpbox.
func program(t *testing.T) string {
	t.Helper()
	bin := os.Getenv("MCPBOX_BIN")
	if bin == "" {
		bin = "../../bin/mcpbox"
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bin); err != nil {
		need(t, "mcpbox is not built: "+err.Error()+"; type: make build")
	}
	return bin
}

func newUser(t *testing.T, m *machine) *user {
	t.Helper()
	bin := program(t)
	home := t.TempDir()
	u := &user{t, bin, home, m, 0}
	t.Cleanup(func() { u.command("kill", "--all").Run() })
	return u
}

func (u *user) command(args ...string) *exec.Cmd {
	cmd := exec.Command(u.mcpbox, args...)
	cmd.Dir = u.home
	if u.uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(u.uid), Gid: uint32(u.uid)}}
	}
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + u.home, "XDG_RUNTIME_DIR=" + u.home, "CONTAINERD_ADDRESS=" + u.machine.Address}
	return cmd
}

// do runs a command that has to succeed.
func (u *user) do(args ...string) string {
	u.t.Helper()
	out, err := u.command(args...).CombinedOutput()
	if err != nil {
		u.t.Fatalf("mcpbox %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return string(out)
}

// listed is a run as ps shows it.
type listed struct {
	Name, State string
	Status      struct {
		Processes   int
		MemoryBytes int64
	}
}

func (u *user) ps() (list []listed) {
	u.t.Helper()
	out := u.do("ps", "--json")
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		u.t.Fatalf("%v in %q", err, out)
	}
	return list
}

// serve starts a stubborn program, and returns once it runs.
func (u *user) serve(name string) (cmd *exec.Cmd, stderr *strings.Builder) {
	u.t.Helper()
	return u.serveScript(name, stubborn)
}

// serveScript starts a script, and returns once it has said "ready".
func (u *user) serveScript(name, script string) (cmd *exec.Cmd, stderr *strings.Builder) {
	u.t.Helper()
	cmd = u.command("run", "--raw", "--name", name, "--backend", "containerd", "--image", u.machine.image.Ref, "--runtime", u.machine.runtime, "--", "sh", "-c", script)
	stderr = &strings.Builder{}
	cmd.Stderr = stderr
	if line, err := firstLine(u.t, cmd); err != nil || line != "ready\n" {
		cmd.Wait()
		u.t.Fatalf("%q, %v\n%s\n%s", line, err, stderr, u.machine.Log())
	}
	return cmd, stderr
}

// TestCommands: ps, freeze, thaw, cut and kill do to a container what they do to any
// box.
func TestCommands(t *testing.T) { each(t, testCommands) }

func testCommands(t *testing.T, m *machine) {
	u := newUser(t, m)
	cmd, stderr := u.serve("one")
	await(t, "it is listed", func() bool { return len(u.ps()) == 1 })
	if l := u.ps()[0]; l.Name != "one" || l.Status.Processes < 4 || l.Status.MemoryBytes <= 0 {
		t.Errorf("%+v", l)
	}
	u.do("freeze", "one")
	if l := u.ps()[0]; l.State != "frozen" {
		t.Errorf("%+v", l)
	}
	u.do("thaw", "one")
	u.do("cut", "one")
	u.do("freeze", "one")
	began := time.Now()
	u.do("kill", "one")
	t.Logf("killed while frozen, in %s", time.Since(began))
	if err := cmd.Wait(); err == nil || !strings.Contains(stderr.String(), "killed") {
		t.Errorf("%v, %s", err, stderr)
	}
	if left := m.left(t, launched{}); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if list := u.ps(); len(list) > 0 {
		t.Errorf("listed: %+v", list)
	}
}

// TestKillOutright: a launcher that does not answer is killed with its box, also
// while containerd is not there; when it is again, the next command removes the rest.
func TestKillOutright(t *testing.T) { each(t, testKillOutright) }

func testKillOutright(t *testing.T, m *machine) {
	u := newUser(t, m)
	for _, freeze := range []bool{false, true} {
		cmd, _ := u.serve("stuck")
		await(t, "it is listed", func() bool { return len(u.ps()) == 1 })
		if freeze {
			u.do("freeze", "stuck")
		}
		shims := m.Shims()
		if err := cmd.Process.Signal(syscall.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if err := m.Kill(); err != nil {
			t.Fatal(err)
		}
		u.do("kill", "stuck")
		cmd.Wait()
		for _, shim := range shims {
			for _, child := range children(shim) {
				await(t, "no process of the box is left", func() bool { return !lives(child) })
			}
		}
		if err := m.Run(); err != nil {
			t.Fatal(err)
		}
		u.ps()
		await(t, "nothing is left", func() bool { return len(m.left(t, launched{})) == 0 })
	}
}

// TestFreezeWithoutContainerd: where containerd is down, or hangs, freeze and thaw say so,
// how it is with the server, and what to type. They work as soon as it is there again.
func TestFreezeWithoutContainerd(t *testing.T) { each(t, testFreezeWithoutContainerd) }

func testFreezeWithoutContainerd(t *testing.T, m *machine) {
	u := newUser(t, m)
	u.serve("one")
	await(t, "it is listed", func() bool { return len(u.ps()) == 1 })
	is := func(state string) {
		t.Helper()
		if l := u.ps()[0]; l.State != state {
			t.Errorf("%+v, and not %s", l, state)
		}
	}
	down := func(hang bool) (back func()) {
		t.Helper()
		stop, goOn := m.Kill, m.Run
		if hang {
			stop, goOn = func() error { return m.Signal(syscall.SIGSTOP) }, func() error { return m.Signal(syscall.SIGCONT) }
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		return func() {
			t.Helper()
			if err := goOn(); err != nil {
				t.Fatal(err)
			}
		}
	}
	away := "containerd does not answer at " + m.Address + ", without which this server cannot be "
	line := func(verb string) string {
		return "start it again, in the way that it was started; then type: mcpbox " + verb + " "
	}
	for _, hang := range []bool{false, true} {
		back := down(hang)
		u.has(u.fail(1, "freeze", "one"), "freeze: "+away+"frozen: it runs on; "+line("freeze"), "; to end the server now, type: mcpbox kill ")
		is("running")
		back()
		u.do("freeze", "one")
		is("frozen")
		back = down(hang)
		u.has(u.fail(1, "thaw", "one"), "thaw: "+away+"thawed: it stays frozen; "+line("thaw"), "; to end the server now, type: mcpbox kill ")
		is("frozen")
		back()
		u.do("thaw", "one")
		is("running")
	}
}

// TestKillOfOrdinaryUser: an ordinary user's box is killed while containerd is not there.
// One that is frozen only containerd can wake, and it ends when that has.
func TestKillOfOrdinaryUser(t *testing.T) { each(t, testKillOfOrdinaryUser) }

func testKillOfOrdinaryUser(t *testing.T, m *machine) {
	u := newUser(t, m)
	u.uid = somebody
	share := func() {
		t.Helper()
		if err := errors.Join(os.Chown(m.Address, somebody, somebody), os.Chown(u.home, somebody, somebody), os.Chmod(filepath.Dir(u.home), 0o755)); err != nil {
			t.Fatal(err)
		}
	}
	share()
	for _, freeze := range []bool{false, true} {
		launcher, stderr := u.serve("mine")
		await(t, "it is listed", func() bool { return len(u.ps()) == 1 })
		if freeze {
			u.do("freeze", "mine")
		}
		var box []int
		for _, shim := range m.Shims() {
			box = append(box, children(shim)...)
		}
		gone := func() bool { return !slices.ContainsFunc(box, lives) }
		if len(box) == 0 || gone() {
			t.Fatal("there is no process to kill: the test proves nothing")
		}
		if err := m.Kill(); err != nil {
			t.Fatal(err)
		}
		switch {
		case freeze && m.runtime == "runsc": // which alone may signal it
			u.has(u.fail(1, "thaw", "mine"), "it stays frozen")
			u.has(u.fail(1, "kill", "mine"), "containerd, which does not answer; start that, then type: mcpbox thaw ")
			if gone() {
				t.Error("not frozen")
			}
		case freeze && inFreezer(box):
			u.has(u.fail(1, "thaw", "mine"), "it stays frozen")
			u.has(u.fail(1, "kill", "mine"), "but it is frozen, and does not end before it is thawed, which this user may not do without containerd; it does nothing any more; have containerd running, then type: mcpbox ps\n")
			launcher.Wait()
			u.has(stderr.String(), " nothing any more: frozen, and containerd does not answer at "+m.Address+", without which this user cannot thaw it; ", "; then type: mcpbox ps\n")
			if strings.Contains(stderr.String(), "in the kernel") || gone() {
				t.Errorf("not frozen: %s", stderr)
			}
		default:
			u.do("kill", "mine")
			await(t, "no process of the box is left", gone)
		}
		if err := m.Run(); err != nil {
			t.Fatal(err)
		}
		share()
		if freeze && m.runtime == "runsc" {
			u.do("thaw", "mine")
			u.command("kill", "mine").Run() // it may have heard the first one by now
		}
		await(t, "nothing is left", func() bool {
			return len(u.ps()) == 0 && gone() && len(m.left(t, launched{})) == 0
		})
	}
}

// inFreezer reports whether some of these processes are in a freezer of cgroup v1, in
// which nobody ends.
func inFreezer(pids []int) bool {
	return slices.ContainsFunc(pids, func(pid int) bool {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cgroup", pid))
		for _, line := range strings.Split(string(text), "\n") {
			if _, at, ok := strings.Cut(line, ":freezer:"); ok && at != "/" {
				return true
			}
		}
		return false
	})
}

// TestLauncherDies: the next command removes what a launcher has left that was
// killed.
func TestLauncherDies(t *testing.T) { each(t, testLauncherDies) }

func testLauncherDies(t *testing.T, m *machine) {
	u := newUser(t, m)
	for _, freeze := range []bool{false, true} {
		cmd, _ := u.serve("lost")
		await(t, "it is listed", func() bool { return len(u.ps()) == 1 })
		if freeze {
			u.do("freeze", "lost")
		}
		cmd.Process.Kill()
		cmd.Wait()
		if !freeze && len(m.left(t, launched{})) == 0 {
			t.Error("there is nothing to remove: the test proves nothing")
		}
		u.ps()
		await(t, "nothing is left", func() bool { return len(m.left(t, launched{})) == 0 })
	}
}

// children are the processes whose parent is pid.
func children(pid int) (list []int) {
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		_, after, _ := strings.Cut(string(data), ") ")
		var state string
		var parent, self int
		if n, _ := fmt.Sscan(after, &state, &parent); n == 2 && parent == pid {
			if _, err := fmt.Sscan(filepath.Base(filepath.Dir(file)), &self); err == nil {
				list = append(list, self)
			}
		}
	}
	return list
}
