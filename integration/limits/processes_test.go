package limits

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// process is what the host sees of one of ours.
type process struct {
	parent, nice int
	used         time.Duration // processor time
}

// threads are the states of a process's threads that have not ended. The first may have,
// and the others not.
func threads(pid int) (states []string) {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if state := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))[0]; state != "Z" && state != "X" {
			states = append(states, state)
		}
	}
	return states
}

// hogs are all processes of ours that are alive.
func hogs(t *testing.T) map[int]process {
	t.Helper()
	all := map[int]process{}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		data, err := os.ReadFile(filepath.Join("/proc", e.Name(), "stat"))
		if err != nil || !bytes.Contains(data, []byte(" ("+comm+") ")) {
			continue
		}
		// See proc_pid_stat(5), from field 3 on; time is in ticks of 10 ms.
		field := strings.Fields(string(data[bytes.LastIndexByte(data, ')')+1:]))
		if field[0] != "Z" || len(threads(pid)) > 0 {
			user, _ := strconv.Atoi(field[11])
			system, _ := strconv.Atoi(field[12])
			nice, _ := strconv.Atoi(field[16])
			parent, _ := strconv.Atoi(field[1])
			all[pid] = process{parent, nice, time.Duration(user+system) * 10 * time.Millisecond}
		}
	}
	return all
}

func noneLeft(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left := hogs(t)
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("left over: %v", left)
		}
	}
}

// Processes and threads stop at their number, the host can start others, and all
// end at once.
func TestForksAndThreads(t *testing.T) {
	const limit = 64
	heartbeat(t)
	inEach(t, func(t *testing.T, p place) {
		t.Run("forks", func(t *testing.T) {
			a := &attack{t: t, place: p, flags: []string{"--pids", fmt.Sprint(limit)}}
			a.start("forks", "%out/count")
			a.await("a bomb", func() bool { return a.counted() > limit/2 })
			time.Sleep(time.Second)
			if n := len(hogs(t)); n > limit {
				t.Errorf("%d processes, of %d", n, limit)
			}
			// By the resource limit, which is exact. The cgroup's is there if that one
			// fails, and has room for threads of mcpbox's own.
			if n := a.pidsMax(); p.kernel() && (n < limit || n > limit+32) {
				t.Errorf("the cgroup allows %d processes, of %d", n, limit)
			}
			began := time.Now()
			a.cmd.Process.Signal(unix.SIGTERM)
			a.end()
			noneLeft(t)
			t.Logf("%d counted, all ended within %v", a.counted(), time.Since(began).Round(time.Millisecond))
		})
		t.Run("threads", func(t *testing.T) {
			a := &attack{t: t, place: p, flags: []string{"--pids", fmt.Sprint(limit)}}
			if code, _ := a.run("threads", "%out/count"); code == 0 || a.counted() > limit {
				t.Errorf("code %d after %d threads of %d", code, a.counted(), limit)
			}
		})
		// The control: there could have been more.
		a := &attack{t: t, place: p, flags: []string{"--pids", "300"}}
		a.start("forks", "%out/count")
		a.await("more than the limit", func() bool { return a.counted() > 2*limit })
		a.cmd.Process.Signal(unix.SIGTERM)
		a.end()
		noneLeft(t)
	})
}

// Processor time is what was allowed, or at least comes after everybody else's.
func TestProcessor(t *testing.T) {
	heartbeat(t)
	own, err := unix.Getpriority(unix.PRIO_PROCESS, 0) // 20 less the nice value
	if err != nil {
		t.Fatal(err)
	}
	want := min(20-own+5, 19)
	use := func(t *testing.T, p place, cpus string) (share float64) {
		a := &attack{t: t, place: p, flags: []string{"--cpus", cpus}}
		a.start("spin", "4")
		var before map[int]process
		a.await("spinning", func() bool { before = hogs(t); return len(before) > 0 })
		began := time.Now()
		time.Sleep(4 * time.Second)
		var used time.Duration
		for pid, now := range hogs(t) {
			if !p.kernel() && now.nice != want {
				t.Errorf("process %d has the nice value %d, want %d", pid, now.nice, want)
			}
			used += now.used - before[pid].used
		}
		took := time.Since(began)
		a.cmd.Process.Signal(unix.SIGTERM)
		a.end()
		return float64(used) / float64(took)
	}
	inEach(t, func(t *testing.T, p place) {
		limited, free := use(t, p, "0.1"), 0.0
		if p.kernel() {
			free = use(t, p, "64")
			if limited > 0.15 || free < limited*1.3 {
				t.Errorf("with 0.1 processors %.2f were used, with 64 %.2f", limited, free)
			}
		}
		t.Logf("%.3f processors of 0.1; without a limit %.2f", limited, free)
	})
}

// What a box has used of the processor is in the journal, also if its PID 1 was killed
// first, which then has waited for nothing. Without a cgroup nobody has counted it.
func TestTimeOfKilled(t *testing.T) {
	inEach(t, func(t *testing.T, p place) {
		if !p.kernel() {
			return
		}
		a := &attack{t: t, place: p, flags: []string{"--cpus", "64"}}
		a.start("spin", "1")
		var used time.Duration
		a.await("a second of processor time", func() bool {
			used = spent(t)
			return used > time.Second
		})
		for _, one := range hogs(t) {
			if err := unix.Kill(one.parent, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
		_, last := a.end()
		counted := time.Duration(last.User + last.System)
		t.Logf("%v used, the journal says %v", used, counted)
		if counted < used*9/10 || counted > 10*used {
			t.Errorf("the journal says %v, and %v were used", counted, used)
		}
	})
}

// What a server leaves behind ends with it, and nothing is left of its cgroups,
// not even when its mcpbox was killed.
func TestLeftovers(t *testing.T) {
	inEach(t, func(t *testing.T, p place) {
		a := &attack{t: t, place: p}
		if code, _ := a.run("daemon", "3"); code != 0 {
			t.Errorf("code %d, %q", code, a.stderr.String())
		}
		noneLeft(t)
		// systemd removes a scope that is empty in its own time.
		a.await("the end of its cgroups", func() bool { return len(a.cgroups()) == 0 })

		a = &attack{t: t, place: p}
		a.start("sleep")
		a.await("a server", func() bool { return len(hogs(t)) > 0 })
		if made := len(a.cgroups()); (made > 0) != p.kernel() {
			t.Errorf("%d cgroups of a box, in the tier %s", made, p.tier)
		}
		a.await("its state", func() bool {
			out, _ := p.command(t, a.home, "ps").Output()
			return strings.Contains(string(out), "hog ")
		})
		a.cmd.Process.Kill()
		a.cmd.Wait()
		noneLeft(t)
		ps := p.command(t, a.home, "ps")
		if out, err := ps.CombinedOutput(); err != nil || strings.Contains(string(out), "hog") {
			t.Errorf("%s, %v", out, err)
		}
		for end := time.Now().Add(10 * time.Second); len(a.cgroups()) > 0; time.Sleep(100 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("left over: %v", a.cgroups())
			}
			p.command(t, a.home, "ps").Run()
		}
	})
}

// A launcher that is killed at any moment, from its start to well after that of its
// server, leaves no process and no cgroup: systemd removes its scope, and else whoever
// comes next.
func TestKilledAnytime(t *testing.T) {
	inEach(t, func(t *testing.T, p place) {
		a := &attack{t: t, place: p, home: home(t, p)}
		began := time.Now()
		a.start("sleep")
		a.await("a server", func() bool { return len(hogs(t)) > 0 })
		long := time.Since(began) * 3 / 2
		running := 0
		for n := range 10 {
			if n > 0 {
				a.start("sleep")
				time.Sleep(long * time.Duration(n) / 9)
			}
			if len(hogs(t)) > 0 {
				running++
			}
			a.cmd.Process.Kill()
			a.cmd.Wait()
			a.stdin.Close()
			noneLeft(t)
			for end := time.Now().Add(deadline); len(a.cgroups()) > 0; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatalf("left over: %v", a.cgroups())
				}
				if out, err := p.command(t, a.home, "ps").CombinedOutput(); err != nil {
					t.Fatalf("%v: %s", err, out)
				}
			}
		}
		t.Logf("within %v, the server was running %d times of 10", long.Round(time.Millisecond), running)
	})
}

// Frozen is frozen, also for those who wake each other, where there is a cgroup;
// else it is an error that says so, or holds.
func TestFreezeWakers(t *testing.T) {
	inEach(t, func(t *testing.T, p place) {
		a := &attack{t: t, place: p}
		a.start("wake", "6")
		a.await("waking", func() bool { return len(hogs(t)) == 6 })
		began := spent(t)
		a.await("work", func() bool { return spent(t) > began })
		out, err := p.command(t, a.home, "freeze", "hog").CombinedOutput()
		if before := spent(t); err == nil {
			time.Sleep(300 * time.Millisecond)
			if after := spent(t); after != before || len(hogs(t)) != 6 {
				t.Errorf("frozen, %d processes have used %v", len(hogs(t)), after-before)
			}
		}
		if err != nil && (p.kernel() && strings.HasPrefix(p.tier, "systemd") || !strings.Contains(string(out), "keep waking each other")) {
			t.Errorf("freeze: %v: %s", err, out)
		}
		t.Logf("freeze: %v %s", err, out)
		a.cmd.Process.Signal(unix.SIGTERM)
		a.end()
		noneLeft(t)
	})
}

// spent is the processor time of all hogs.
func spent(t *testing.T) (sum time.Duration) {
	for _, one := range hogs(t) {
		sum += one.used
	}
	return sum
}

// pidsMax is how many processes and threads the box's cgroup may have, or 0. There may
// be others around it and beside it, which may have more.
func (a *attack) pidsMax() (least int) {
	for _, dir := range a.cgroups() {
		b, err := os.ReadFile(filepath.Join(dir, "pids.max"))
		n, no := strconv.Atoi(strings.TrimSpace(string(b)))
		if err == nil && no == nil && (least == 0 || n < least) {
			least = n
		}
	}
	return least
}

// cgroups are those of the box, which are named after its launcher.
func (a *attack) cgroups() (dirs []string) {
	filepath.WalkDir("/sys/fs/cgroup", func(path string, e os.DirEntry, err error) error {
		if err == nil && e.IsDir() && strings.HasPrefix(e.Name(), fmt.Sprintf("mcpbox-%d-", a.cmd.Process.Pid)) {
			dirs = append(dirs, path)
		}
		return nil
	})
	return dirs
}
