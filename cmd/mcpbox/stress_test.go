package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/control"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/runs"
	"github.com/mcpbox/mcpbox/sandbox/native"
)

// stressed is where many boxes live at once.
type stressed struct {
	t   *testing.T
	dir string
	env []string

	mu        sync.Mutex
	launchers map[int]bool
	boxes     map[runs.Process]bool // that were seen
}

func (s *stressed) list() []*runs.Run {
	list, err := runs.List(filepath.Join(s.dir, scriptDirs["XDG_RUNTIME_DIR"], "mcpbox"), nil)
	if err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range list {
		s.boxes[r.Box] = true
	}
	return list
}

// leaked lists what the runs have left on the machine.
func (s *stressed) leaked() (list []string) {
	for box := range s.boxes {
		if box.Acts() {
			list = append(list, fmt.Sprintf("process %d", box.PID))
		}
	}
	native.Sweep()
	filepath.WalkDir("/sys/fs/cgroup", func(path string, e os.DirEntry, err error) error {
		var pid, start, n int
		if err == nil && e.IsDir() {
			if k, _ := fmt.Sscanf(e.Name(), "mcpbox-%d-%d-%d", &pid, &start, &n); k == 3 && s.launchers[pid] {
				list = append(list, path)
			}
		}
		return nil
	})
	return list
}

func mounts(t *testing.T) int {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Count(data, []byte{'\n'})
}

// start starts a server that echoes.
func (s *stressed) start(name string) (*exec.Cmd, io.WriteCloser, *bufio.Reader) {
	cmd := exec.Command("mcpbox", "run", "--raw", "--name", name, "--", "sh", "-c", `sleep 1000 & while read line; do echo "$line"; done`)
	cmd.Dir, cmd.Env = s.dir, s.env
	in, err := cmd.StdinPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		s.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.launchers[cmd.Process.Pid] = true
	return cmd, in, bufio.NewReader(out)
}

// TestStress has several controllers freeze, thaw, cut, restore and kill boxes at
// random, and some launchers die outright, while new ones start. One box is
// nobody's target, and answers all the time. MCPBOX_STRESS is how long, such as
// 2m; then there are more of them.
func TestStress(t *testing.T) {
	needBox(t)
	boxes, controllers, length := 5, 3, 3*time.Second
	if text := os.Getenv("MCPBOX_STRESS"); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		boxes, controllers, length = 50, 8, d
	}
	s := &stressed{t: t, dir: t.TempDir(), launchers: map[int]bool{}, boxes: map[runs.Process]bool{}}
	mountsBefore := mounts(t)
	s.env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + s.dir, "GORACE=" + raceOptions}
	for name, sub := range scriptDirs {
		s.env = append(s.env, name+"="+filepath.Join(s.dir, sub))
	}
	if err := os.Mkdir(filepath.Join(s.dir, scriptDirs["HOME"]), 0o755); err != nil {
		t.Fatal(err)
	}

	var all sync.WaitGroup
	var killed, outright, changed atomic.Int64
	end, last := time.Now().Add(length), time.Now().Add(length+deadline)
	over := func() bool { // a busy machine needs longer for it to say anything
		enough := changed.Load() >= 20 && killed.Load() >= 3
		return time.Now().After(end) && enough || time.Now().After(last)
	}
	for i := range boxes { // each is followed by another as soon as it has ended
		all.Go(func() {
			for !over() {
				cmd, in, _ := s.start("victim" + strconv.Itoa(i))
				err := cmd.Wait()
				in.Close()
				switch code := cmd.ProcessState.ExitCode(); code {
				case 137:
					killed.Add(1)
				case -1:
					outright.Add(1)
				default:
					t.Errorf("a victim ended with %d, %v", code, err)
				}
			}
		})
	}
	bystander, in, out := s.start("bystander")
	all.Go(func() {
		for i := 0; !over(); i++ {
			fmt.Fprintln(in, i)
			if line, err := out.ReadString('\n'); err != nil || line != fmt.Sprintln(i) {
				t.Errorf("the bystander says %q, %v", line, err)
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	})
	var controlling sync.WaitGroup
	for range controllers {
		controlling.Go(func() {
			for !over() {
				if list := s.list(); len(list) > 0 {
					if r := list[rand.IntN(len(list))]; r.Name != "bystander" {
						s.disturb(r, &changed)
					}
				}
			}
		})
	}
	controlling.Wait()
	// What starts now or is frozen has to end, too.
	done := make(chan struct{})
	go func() {
		defer close(done)
		all.Wait()
	}()
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		case <-time.After(20 * time.Millisecond):
			for _, r := range s.list() {
				if r.Name != "bystander" {
					if err := kill(0, r); err != nil {
						t.Error(err)
					}
				}
			}
		}
	}
	in.Close()
	if err := bystander.Wait(); err != nil {
		t.Errorf("the bystander ended with %v", err)
	}
	if list := s.list(); len(list) > 0 {
		t.Errorf("still listed: %s", describeRuns(list))
	}
	if left, err := os.ReadDir(filepath.Join(s.dir, scriptDirs["XDG_RUNTIME_DIR"], "mcpbox")); err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
	// The kernel takes its time to forget a box whose launcher was killed outright.
	left := s.leaked()
	for end := time.Now().Add(deadline); len(left) > 0 && time.Now().Before(end); left = s.leaked() {
		time.Sleep(50 * time.Millisecond)
	}
	if len(left) > 0 || mounts(t) > mountsBefore {
		t.Errorf("leaked: %q, mounts: %d before, %d now", left, mountsBefore, mounts(t))
	}
	t.Logf("%d runs, %d changes, %d killed, %d launchers killed outright", len(s.launchers), changed.Load(), killed.Load(), outright.Load())
	if changed.Load() < 20 || killed.Load() < 3 {
		t.Error("that is too little to say anything")
	}
}

// disturb does one thing to a run, or two. Another controller may have been
// faster, so all that can be told from errors is that nothing hangs.
func (s *stressed) disturb(r *runs.Run, changed *atomic.Int64) {
	verbs := []control.Verb{control.Freeze, control.Thaw, control.Cut, control.Restore, control.Query}
	switch n := rand.IntN(40); {
	case n < 3:
		if err := kill(0, r); err != nil {
			s.t.Errorf("kill %s: %v", r.ID, err)
		}
	case n < 4:
		r.Launcher.Kill()
	default:
		_, err := control.Ask(r.Control(), verbs[n%len(verbs)], 30*time.Second)
		if err == control.ErrSilent {
			s.t.Errorf("%s does not answer", r.ID)
		}
		if err == nil {
			changed.Add(1)
		}
	}
}
