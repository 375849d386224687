package escape

import (
	"bufio"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestL1KillLauncher kills the launcher at any moment from its start to well
// after it. Nothing is left: no process, mount, memory file or temporary file,
// and the project is as it was; the run's own directory goes with the next command
// that looks. A server that hides from signals and sessions is what is being run.
func TestL1KillLauncher(t *testing.T) {
	workers, launches := 4, fewer(50)
	for n := range workers {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, false)
			before := w.belongings()
			late := 0
			for range launches {
				cmd := w.box(w.probe(), "act", "tree", "8")
				out, err := cmd.StdoutPipe()
				w.must(err)
				in, err := cmd.StdinPipe()
				w.must(err)
				w.must(cmd.Start())
				time.Sleep(time.Duration(rand.IntN(150)) * time.Millisecond)
				w.must(cmd.Process.Kill())
				// Whoever is left may hold the pipe: then nobody reads its end.
				hung := time.AfterFunc(10*time.Second, func() { _ = out.Close() })
				if line, _ := bufio.NewReader(out).ReadString('\n'); line != "" {
					late++
				}
				hung.Stop()
				_ = cmd.Wait()
				_ = in.Close()
				w.gone(before)
			}
			w.tidied()
			if diff := changes(before.files, w.belongings().files); len(diff) > 0 {
				t.Errorf("left or changed: %q", diff)
			}
			t.Logf("in %d of %d launches the server was running already", late, launches)
		})
	}
}

// tidied has mcpbox look for live runs until nothing is left of dead ones: a
// directory that was just being made is given some time.
func (w *world) tidied() {
	w.t.Helper()
	var left []os.DirEntry
	for range 40 {
		if r := w.run(w.command(needPrograms(w.t).launcher, "ps", "--json")); r.code != 0 || strings.TrimSpace(r.stdout) != "[]" {
			w.t.Fatalf("live runs: %+v", r)
		}
		if left, _ = os.ReadDir(w.runtime()); len(left) == 0 {
			return
		}
		time.Sleep(250 * time.Millisecond)
	}
	w.t.Fatalf("left in the runtime directory: %v", left)
}

// runtime is where mcpbox keeps live runs.
func (w *world) runtime() string { return filepath.Join(w.Scratch, "run/mcpbox") }

// belongings is what a world has on the host.
type belongings struct {
	processes []int
	mounts    string
	files     map[string]string
}

func (w *world) belongings() belongings {
	b := belongings{processes: w.processes(), files: w.fingerprint()}
	for _, line := range lines(w.read("/proc/self/mountinfo")) {
		if strings.Contains(line, w.Home) {
			b.mounts += line + "\n"
		}
	}
	for _, dir := range []string{w.Scratch, "/dev/shm", os.TempDir()} {
		_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err != nil || path == dir {
				return nil
			}
			if info, err := d.Info(); err == nil && owner(info) == w.uid && !strings.HasPrefix(d.Name(), "mcpbox-escape-") && !strings.HasPrefix(d.Name(), "go-build") {
				b.files[path] = info.Mode().String()
			}
			if dir == os.TempDir() && d.IsDir() {
				return filepath.SkipDir
			}
			return nil
		})
	}
	// What the launcher keeps on purpose.
	maps.DeleteFunc(b.files, func(name, _ string) bool {
		return strings.HasPrefix(name, ".cache/mcpbox") || strings.HasPrefix(name, ".local/state/mcpbox") || name == ".cache" ||
			name == w.runtime() || name == filepath.Dir(w.runtime())
	})
	return b
}

// processes lists the live processes of the world's user, or where that is not
// a user of the world's own, those that name the world.
func (w *world) processes() []int {
	var list []int
	entries, err := os.ReadDir("/proc")
	w.must(err)
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		info, err := e.Info()
		if err != nil {
			continue
		}
		stat, _ := os.ReadFile("/proc/" + e.Name() + "/stat")
		if _, rest, ok := strings.Cut(string(stat), ") "); !ok || rest[0] == 'Z' || rest[0] == 'X' {
			continue // dead, if not yet buried
		}
		environ, _ := os.ReadFile("/proc/" + e.Name() + "/environ")
		cmdline, _ := os.ReadFile("/proc/" + e.Name() + "/cmdline")
		own := owner(info) == w.uid && os.Getuid() == 0
		if own || strings.Contains(string(environ)+string(cmdline), w.Home) && pid != os.Getpid() {
			list = append(list, pid)
		}
	}
	return list
}

// gone waits until nothing runs or is mounted that was not before.
func (w *world) gone(before belongings) {
	w.t.Helper()
	var now belongings
	for range 400 {
		if now = w.belongings(); slices.Equal(now.processes, before.processes) && now.mounts == before.mounts {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, pid := range now.processes {
		cmdline, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		state, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stack", pid))
		w.t.Errorf("process %d is left: %.60q\n%s", pid, cmdline, state)
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
	w.t.Fatalf("mounts before: %q, now: %q", before.mounts, now.mounts)
}

// TestL3Daemon leaves a stubborn grandchild behind that holds the server's
// output. The launcher ends with the server all the same.
func TestL3Daemon(t *testing.T) {
	w := newWorld(t, false)
	before := w.belongings()
	r := w.run(w.box(w.probe(), "act", "daemon"))
	if r.code != 0 || !strings.Contains(r.stdout, "up") && r.stdout != "" {
		t.Errorf("%+v", r)
	}
	w.gone(before)
}

// TestL4Zombies makes thousands of orphans. PID 1 of the box buries them.
func TestL4Zombies(t *testing.T) {
	w := newWorld(t, false)
	r := w.run(w.box(w.probe(), "act", "orphans", strconv.Itoa(fewer(2000))))
	var left struct{ Zombies, Processes int }
	if err := json.Unmarshal([]byte(r.stdout), &left); err != nil {
		t.Fatalf("%v: %+v", err, r)
	}
	if left.Zombies != 0 || left.Processes > 3 {
		t.Errorf("left are %+v", left)
	}
}

// TestL7KillInMotion ends the launcher while the box forks and executes without
// pause.
func TestL7KillInMotion(t *testing.T) {
	w := newWorld(t, false)
	before := w.belongings()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGKILL} {
		for range fewer(5) {
			cmd := w.box("/bin/sh", "-c", "trap '' TERM HUP INT; echo up; while :; do /bin/true & /bin/sh -c '/bin/true' & wait; done")
			out, err := cmd.StdoutPipe()
			w.must(err)
			in, err := cmd.StdinPipe()
			w.must(err)
			w.must(cmd.Start())
			if _, err := bufio.NewReader(out).ReadString('\n'); err != nil {
				t.Fatalf("%v: %v", sig, err)
			}
			time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
			w.must(cmd.Process.Signal(sig))
			_ = cmd.Wait()
			_ = in.Close()
			w.gone(before)
		}
	}
}

// TestL9Artefacts runs a server that does nothing: the project is as it was, to
// the times of its directories.
func TestL9Artefacts(t *testing.T) {
	w := newWorld(t, false)
	times := func() map[string]string {
		print := map[string]string{}
		w.must(filepath.WalkDir(w.In("project"), func(path string, d os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info, err := d.Info()
			if err == nil {
				print[path] = fmt.Sprint(info.Mode(), info.Size(), info.ModTime().UnixNano())
			}
			return err
		}))
		return print
	}
	before := times()
	if r := w.run(w.box("/bin/true")); r != (ran{}) {
		t.Errorf("%+v", r)
	}
	if diff := changes(before, times()); len(diff) > 0 {
		t.Errorf("changed: %q", diff)
	}
}
