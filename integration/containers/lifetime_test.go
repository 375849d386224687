package containers

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/sandbox/containerd"
	"github.com/mcpbox/mcpbox/sandbox/native"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// job is what a launcher of its own is to start, as JSON in the environment of this
// test binary.
type job struct {
	Address, Dir, ID, Init, Runtime string
	Image                           containerd.Image
	Spec                            *specs.Spec
	Freeze                          bool
}

const jobVariable = "MCPBOX_TEST_JOB"

// launched is what the launcher says of its box.
type launched struct {
	PID     int // of PID 1
	All     []int
	Cgroups []string
}

// launch is a launcher that starts a box and waits to be killed.
func launch(text string) error {
	var j job
	if err := json.Unmarshal([]byte(text), &j); err != nil {
		return err
	}
	ctx := context.Background()
	c, err := containerd.Dial(ctx, j.Address)
	if err != nil {
		return err
	}
	b := &containerd.Backend{Client: c, Runtime: j.Runtime, Image: j.Image, RunDir: j.Dir, ID: j.ID, Init: j.Init}
	uid, gid, err := native.BoxUser() // of this process
	if err != nil {
		return err
	}
	setUser(j.Spec, uint32(uid), uint32(gid))
	box, err := b.Start(ctx, j.Spec, nil)
	if err != nil {
		return err
	}
	if _, err := io.ReadFull(box.Stdout(), make([]byte, len("ready\n"))); err != nil {
		return err
	}
	l := launched{PID: box.PID(), Cgroups: box.Cgroups()}
	if l.All, err = box.Processes(); err != nil {
		return err
	}
	if j.Freeze {
		if err := box.Freeze(); err != nil {
			return err
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(l); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// setUser makes a specification of a policy that of another user.
func setUser(s *specs.Spec, uid, gid uint32) {
	s.Process.User.UID, s.Process.User.GID = uid, gid
	s.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: uid, HostID: uid, Size: 1}}
	s.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: gid, HostID: gid, Size: 1}}
}

// stubborn starts processes that ignore signals and have left the session.
const stubborn = `trap "" TERM HUP INT; setsid sleep 10000 & sleep 10000 & (sleep 10000 &) ; echo ready; while :; do sleep 10; done`

// launcher starts one.
func (m *machine) launcher(t *testing.T, freeze bool) (*exec.Cmd, string, launched) {
	t.Helper()
	return m.launcherAs(t, 0, freeze, "", stubborn)
}

// launcherAs has the user uid start a script that says "ready".
func (m *machine) launcherAs(t *testing.T, uid int, freeze bool, policy, script string) (*exec.Cmd, string, launched) {
	t.Helper()
	b := m.backend(t)
	if err := os.Chown(b.RunDir, uid, uid); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(job{m.Address, b.RunDir, b.ID, pid1, b.Runtime, *m.image, m.specOf(t, policy, "sh", "-c", script), freeze})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	cmd.Env = append(os.Environ(), jobVariable+"="+string(data))
	cmd.Stderr = os.Stderr
	line, err := firstLine(t, cmd)
	var l launched
	if err != nil || json.Unmarshal([]byte(line), &l) != nil {
		t.Fatalf("launcher: %q, %v\n%s", line, err, m.Log())
	}
	if len(l.All) == 0 || len(l.Cgroups) == 0 {
		t.Fatalf("it says %+v", l)
	}
	return cmd, b.RunDir, l
}

// firstLine starts a command, and waits for the first line that it says. It is told
// nothing, and killed when the test ends.
func firstLine(t testing.TB, cmd *exec.Cmd) (string, error) {
	t.Helper()
	_, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	said := bufio.NewReader(out)
	line, err := said.ReadString('\n')
	go io.Copy(io.Discard, said)
	return line, err
}

// await waits until ok holds.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Errorf("not within 5 seconds: %s", what)
			return
		}
	}
}

// lives reports whether a process is there and no zombie.
func lives(pid int) bool {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(data), ") ")
	return !strings.HasPrefix(after, "Z") && !strings.HasPrefix(after, "X")
}

func (l launched) dead() bool {
	for _, pid := range append(l.All, l.PID) {
		if lives(pid) {
			return false
		}
	}
	return true
}

// left is what a run has left on the machine.
func (m *machine) left(t testing.TB, l launched) (list []string) {
	t.Helper()
	for _, what := range []string{"containers", "tasks", "snapshots", "leases"} {
		out, err := exec.Command("ctr", "--address", m.Address, "--namespace", containerd.Namespace, what, "list", "--quiet").CombinedOutput()
		if what == "snapshots" {
			out, err = exec.Command("ctr", "--address", m.Address, "--namespace", containerd.Namespace, what, "list").CombinedOutput()
		}
		if err != nil {
			t.Fatalf("ctr %s: %v: %s", what, err, out)
		}
		for line := range strings.Lines(string(out)) {
			if strings.Contains(line, "mcpbox-") {
				list = append(list, what+": "+strings.TrimSpace(line))
			}
		}
	}
	for _, pid := range m.Shims() {
		list = append(list, fmt.Sprintf("shim: %d", pid))
	}
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, m.Dir) {
			list = append(list, "mount: "+strings.TrimSpace(line))
		}
	}
	for _, dir := range l.Cgroups {
		if _, err := os.Stat(dir); err == nil {
			list = append(list, "cgroup: "+dir)
		}
	}
	return list
}

// TestNothingOutlivesTheLauncher: whoever is killed, the box ends with its launcher,
// and what it has left in containerd goes with the next look.
func TestNothingOutlivesTheLauncher(t *testing.T) { each(t, testNothingOutlivesTheLauncher) }

func testNothingOutlivesTheLauncher(t *testing.T, m *machine) {
	kill := func(t *testing.T, pids ...int) {
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		name   string
		freeze bool
		before func(*testing.T) // the launcher is killed
		after  func(*testing.T)
	}{
		{name: "launcher"},
		{name: "frozen", freeze: true},
		{name: "shim", before: func(t *testing.T) { kill(t, m.Shims()...) }},
		{name: "containerd", before: func(t *testing.T) {
			if err := m.Kill(); err != nil {
				t.Fatal(err)
			}
		}, after: func(t *testing.T) {
			if err := m.Run(); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "containerd and shim", before: func(t *testing.T) {
			if err := m.Kill(); err != nil {
				t.Fatal(err)
			}
			kill(t, m.Shims()...)
		}, after: func(t *testing.T) {
			if err := m.Run(); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			cmd, dir, l := m.launcher(t, c.freeze)
			if c.before != nil {
				c.before(t)
			}
			if c.name != "shim" && c.name != "containerd and shim" && l.dead() {
				t.Fatal("the box has ended before its launcher")
			}
			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			cmd.Wait()
			await(t, "the box ends", l.dead)
			if c.name == "containerd" {
				if err := containerd.Reap(t.Context(), dir); err == nil {
					t.Error("without containerd there is nothing to say")
				}
			}
			if c.after != nil {
				c.after(t)
			}
			// Of one that was frozen another process removes what is left, sooner or later.
			if c.before == nil && !c.freeze && len(m.left(t, l)) == 0 {
				t.Error("there is nothing to reap: the test proves nothing")
			}
			began := time.Now()
			if err := containerd.Reap(t.Context(), dir); err != nil {
				t.Fatalf("%v\n%s", err, m.Log())
			}
			t.Logf("reaped in %s", time.Since(began))
			await(t, "the box has ended", l.dead)
			var left []string
			await(t, "nothing is left", func() bool { left = m.left(t, l); return len(left) == 0 })
			for _, what := range left {
				t.Error(what)
			}
			if _, err := os.Stat(filepath.Join(dir, containerd.RecordName)); err == nil {
				t.Error("the record is left")
			}
			if err := containerd.Reap(t.Context(), dir); err != nil {
				t.Errorf("again: %v", err)
			}
		})
	}
}
