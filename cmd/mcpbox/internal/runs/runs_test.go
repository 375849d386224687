package runs

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/sandbox"
	"golang.org/x/sys/unix"
)

// TestMain lets the test binary be a launcher that can be killed, see TestStale.
func TestMain(m *testing.M) {
	if runtime := os.Getenv("MCPBOX_TEST_RUN"); runtime != "" {
		o, err := Create(runtime, "0000dead")
		if err == nil {
			err = o.Publish(state("0000dead"))
		}
		if err != nil {
			panic(err)
		}
		os.Stdout.WriteString("up\n")
		time.Sleep(time.Hour)
	}
	os.Exit(m.Run())
}

func state(id string) State {
	return State{
		Name: "fs", ID: id, Launcher: Process{os.Getpid(), 5}, Box: Process{os.Getpid(), 6},
		Started: time.Unix(1, 2).UTC(), Argv: []string{"node", "\x1b[31m"}, Client: "host", Policy: "sha256:00",
		Journal: "/x.jsonl", Layers: []sandbox.Layer{{Name: "seccomp", State: sandbox.Enforced}},
	}
}

func TestRun(t *testing.T) {
	runtime := filepath.Join(t.TempDir(), strings.Repeat("long", 30), "mcpbox")
	if list, err := List(runtime, nil); err != nil || list != nil {
		t.Fatalf("%v, %v", list, err)
	}
	o, err := Create(runtime, "1f0c9a7e")
	if err != nil {
		t.Fatal(err)
	}
	if list, err := List(runtime, nil); err != nil || len(list) > 0 {
		t.Errorf("before it is published: %v, %v", list, err)
	}
	want := state("1f0c9a7e")
	if err := o.Publish(want); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]fs.FileMode{
		".": fs.ModeDir | 0o700, lockName: 0o600, stateName: 0o600, controlName: fs.ModeSocket | 0o600,
	} {
		if info, err := os.Lstat(filepath.Join(runtime, "1f0c9a7e", name)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v, want %v", name, info, err, mode)
		}
	}
	if entries, err := os.ReadDir(filepath.Join(runtime, "1f0c9a7e")); err != nil || len(entries) != 3 {
		t.Errorf("%v, %v", entries, err)
	}
	list, err := List(runtime, nil)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	r := list[0]
	if r.Name != want.Name || r.Launcher != want.Launcher || r.Box != want.Box || !r.Started.Equal(want.Started) || r.Argv[1] != want.Argv[1] || r.Ended() {
		t.Errorf("%+v", r)
	}
	go func() {
		c, err := o.Listener().Accept()
		if err == nil {
			c.Close()
		}
	}()
	dir, err := os.Open(filepath.Dir(r.Control()))
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := unix.Fchdir(int(dir.Fd())); err != nil {
		t.Fatal(err)
	}
	defer os.Chdir("/")
	if c, err := net.Dial("unix", "./"+controlName); err != nil {
		t.Error(err)
	} else {
		c.Close()
	}

	if r.Await(10 * time.Millisecond) {
		t.Error("it has ended")
	}
	time.AfterFunc(20*time.Millisecond, func() { o.Remove(nil) })
	if !r.Await(time.Minute) {
		t.Error("it has not ended")
	}
	if list, err := List(runtime, nil); err != nil || len(list) > 0 {
		t.Errorf("afterwards: %v, %v", list, err)
	}
	if entries, err := os.ReadDir(runtime); err != nil || len(entries) > 0 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}

// What a killed launcher has left is removed by whoever sees it.
func TestStale(t *testing.T) {
	runtime := filepath.Join(t.TempDir(), "mcpbox")
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = []string{"MCPBOX_TEST_RUN=" + runtime}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	if _, err := out.Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	list, err := List(runtime, nil)
	if err != nil || len(list) != 1 {
		t.Fatalf("%v, %v", list, err)
	}
	cmd.Process.Kill()
	cmd.Wait()
	if !list[0].Ended() {
		t.Error("a killed launcher has not ended")
	}
	var wg sync.WaitGroup
	for i := range 8 { // they do not take each other for it
		wg.Go(func() {
			if i%2 == 0 {
				if err := Sweep(runtime, nil); err != nil {
					t.Error(err)
				}
			} else if list, err := List(runtime, nil); err != nil || len(list) > 0 {
				t.Errorf("%v, %v", list, err)
			}
		})
	}
	wg.Wait()
	if entries, err := os.ReadDir(runtime); err != nil || len(entries) > 0 {
		t.Errorf("left over: %v, %v", entries, err)
	}
}

// A directory without a lock is being made, unless it has been so for long.
// What is not a run's is left alone.
func TestUnlocked(t *testing.T) {
	runtime := filepath.Join(t.TempDir(), "mcpbox")
	for _, name := range []string{"00000001", "00000002", "other", "0000000", "000000001", "0000000G"} {
		if err := os.MkdirAll(filepath.Join(runtime, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(runtime, 0o700); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-2 * makingTime)
	if err := os.Chtimes(filepath.Join(runtime, "00000001"), old, old); err != nil {
		t.Fatal(err)
	}
	if list, err := List(runtime, nil); err != nil || len(list) > 0 {
		t.Fatalf("%v, %v", list, err)
	}
	entries, err := os.ReadDir(runtime)
	if err != nil || len(entries) != 5 || entries[2].Name() != "00000002" {
		t.Errorf("%v, %v", entries, err)
	}
}

// One run whose state is not as it should be does not hide the others.
func TestBadState(t *testing.T) {
	runtime := filepath.Join(t.TempDir(), "mcpbox")
	good, err := Create(runtime, "00000000")
	if err != nil {
		t.Fatal(err)
	}
	defer good.Remove(nil)
	if err := good.Publish(state("00000000")); err != nil {
		t.Fatal(err)
	}
	o, err := Create(runtime, "00000001")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Remove(nil)
	foreign := state("00000000")
	group, self, machine, name := state("00000001"), state("00000001"), state("00000001"), state("00000001")
	group.Box.PID, self.Launcher.PID, machine.Box.PID, name.Name = -1, 0, 1, "../x"
	for _, s := range []State{foreign, group, self, machine, name} {
		if err := o.Publish(s); err != nil {
			t.Fatal(err)
		}
		if list, err := List(runtime, nil); err == nil || !strings.Contains(err.Error(), "run 00000001: ") || len(list) != 1 {
			t.Errorf("%+v: %v, %v", s, list, err)
		}
	}
	file := filepath.Join(runtime, "00000001", stateName)
	for _, text := range []string{"", "{", "[]", `{"launcher":"x"}`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if list, err := List(runtime, nil); err == nil || len(list) != 1 {
			t.Errorf("%q: %v, %v", text, list, err)
		}
	}
	if err := errors.Join(os.Remove(file), unix.Mkfifo(file, 0o600)); err != nil {
		t.Fatal(err)
	}
	if list, err := List(runtime, nil); err == nil || len(list) != 1 { // and does not hang
		t.Errorf("a pipe: %v, %v", list, err)
	}
}

// A place that is not ours alone is refused, by who writes and by who reads.
func TestForeignPlace(t *testing.T) {
	var not *dirs.NotPrivateError
	runtime := filepath.Join(t.TempDir(), "mcpbox")
	if err := errors.Join(os.Mkdir(runtime, 0o700), os.Chmod(runtime, 0o777)); err != nil {
		t.Fatal(err)
	}
	if _, err := Create(runtime, "00000001"); !errors.As(err, &not) {
		t.Errorf("error %v", err)
	}
	if _, err := List(runtime, nil); !errors.As(err, &not) {
		t.Errorf("error %v", err)
	}
	if os.Geteuid() == 0 {
		if err := errors.Join(os.Chmod(runtime, 0o700), os.Chown(runtime, 12345, 12345)); err != nil {
			t.Fatal(err)
		}
		if _, err := Create(runtime, "00000001"); !errors.As(err, &not) {
			t.Errorf("error %v", err)
		}
		if _, err := List(runtime, nil); !errors.As(err, &not) {
			t.Errorf("error %v", err)
		}
	}
	for _, id := range []string{"", "..", "../0000a", "0000000x", "000000001"} {
		if _, err := Create(filepath.Join(t.TempDir(), "mcpbox"), id); err == nil {
			t.Errorf("%q was taken for an ID", id)
		}
	}
}

// Two runs with one ID cannot be.
func TestCreateTwice(t *testing.T) {
	runtime := filepath.Join(t.TempDir(), "mcpbox")
	o, err := Create(runtime, "00000001")
	if err != nil {
		t.Fatal(err)
	}
	defer o.Remove(nil)
	if _, err := Create(runtime, "00000001"); !errors.Is(err, fs.ErrExist) {
		t.Errorf("error %v", err)
	}
	if live, err := locked(filepath.Join(runtime, "00000001")); err != nil || !live {
		t.Errorf("the first is locked: %v, %v", live, err)
	}
}

// A number that another process has by now does that process no harm.
func TestKillReused(t *testing.T) {
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Process.Kill()
	p, err := Child(cmd.Process.Pid)
	if err != nil || p.Start == 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	for _, other := range []Process{{p.PID, p.Start - 1}, {p.PID, p.Start + 1}, {p.PID, 0}} {
		if err := other.Kill(); err != nil {
			t.Error(err)
		}
	}
	// One that was killed is there until it is waited for, so its state tells.
	for range 20 {
		time.Sleep(5 * time.Millisecond)
		if data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.PID)); err != nil || strings.Contains(string(data), ") Z ") {
			t.Fatalf("it was killed: %s, %v", data, err)
		}
	}
	for _, none := range []Process{{0, 1}, {-1, 1}, {1, 1}, {-p.PID, p.Start}} {
		if err := none.Kill(); err == nil {
			t.Errorf("%+v was taken for a process", none)
		}
	}
	for _, find := range []func(int) (Process, error){Child, Find} {
		if again, err := find(p.PID); err != nil || again != p {
			t.Fatalf("%+v, %v", again, err)
		}
	}
	if err := p.Kill(); err != nil { // the control
		t.Error(err)
	}
	if err := cmd.Wait(); err == nil || err.Error() != "signal: killed" {
		t.Error(err)
	}
	if err := p.Kill(); err != nil {
		t.Errorf("of a process that has ended: %v", err)
	}
	for _, find := range []func(int) (Process, error){Child, Find} {
		if again, err := find(p.PID); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%+v, %v", again, err)
		}
	}
	if parent, err := Child(os.Getppid()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the parent is a child: %+v, %v", parent, err)
	}
	if self, err := Self(); err != nil || self.PID != os.Getpid() || self.Start < p.Start/2 {
		t.Errorf("this is %+v, %v", self, err)
	}
}
