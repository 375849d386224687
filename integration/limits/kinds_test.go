package limits

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// members are the processes in the cgroups of a box: with gVisor, its own.
func (a *attack) members() map[int]bool {
	all := map[int]bool{}
	for _, dir := range a.cgroups() {
		data, _ := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		for pid := range strings.FieldsSeq(string(data)) {
			if n, err := strconv.Atoi(pid); err == nil {
				all[n] = true
			}
		}
	}
	return all
}

// tasks are how many threads the cgroups of a box hold.
func (a *attack) tasks() (n int) {
	for pid := range a.members() {
		n += len(threads(pid))
	}
	return n
}

// counter is a number that the kernel keeps in a file of one of a box's cgroups, with
// its name before it, or alone.
func (a *attack) counter(file, name string) int64 {
	for _, dir := range a.cgroups() {
		data, _ := os.ReadFile(filepath.Join(dir, file))
		for line := range strings.Lines(string(data)) {
			if text, ok := strings.CutPrefix(line, name); ok {
				if n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64); err == nil {
					return n
				}
			}
		}
	}
	return 0
}

// time is a box's processor time.
func (a *attack) time() time.Duration {
	return time.Duration(max(a.counter("cpuacct.usage", ""), 1000*a.counter("cpu.stat", "usage_usec ")))
}

// empty waits until nothing is left of a box that has ended. What its launcher could not
// remove, as the kernel took it to be in use still, goes with the next command.
func (a *attack) empty() {
	a.t.Helper()
	a.await("the end of its processes", func() bool { return len(a.members()) == 0 })
	a.await("the end of its cgroups", func() bool {
		if len(a.cgroups()) == 0 {
			return true
		}
		if out, err := within(a.t, a.place, a.home, "ps"); err != nil {
			a.t.Errorf("ps: %v: %s", err, out)
		}
		return len(a.cgroups()) == 0
	})
}

// bombs say how many threads a container may have of a limit of 64, and how many
// processes there are with it at least, and with a limit of 600, which the other
// does not come to.
var bombs = map[string]struct {
	threads      int
	least, other int64
}{
	"runc":  {64 + ofPID1, 32, 64 + ofPID1 + 1},
	"runsc": {64 + ofPID1 + ofRunsc, 5, 30}, // it has some threads for each process, and ends where it can start none
}

// TestBomb: processes stop at their number, in containers of each kind; the host can
// start others, and all end at once.
func TestBomb(t *testing.T) {
	heartbeat(t)
	inContainers(t, func(t *testing.T, p place) {
		want := bombs[p.kind()]
		for pids, enough := range map[int]int64{64: want.least, 600: want.other} {
			a := &attack{t: t, place: p, flags: []string{"--pids", fmt.Sprint(pids)}}
			a.start("forks", "%out/count")
			over := func() bool { return p.kind() == "runsc" && a.counted() > 0 && len(a.members()) == 0 }
			a.await("a bomb", func() bool { return a.counted() >= enough || over() })
			most := 0
			for end := time.Now().Add(time.Second); time.Now().Before(end) && !over(); time.Sleep(20 * time.Millisecond) {
				most = max(most, a.tasks())
			}
			// A resource limit holds beside that, so that the cgroup's does not show by
			// itself.
			if got, limit := a.pidsMax(), pids+want.threads-64; got != limit && !over() {
				t.Errorf("of %d: the cgroup allows %d, want %d", pids, got, limit)
			}
			t.Logf("of %d: %d counted, %d threads", pids, a.counted(), most)
			a.cmd.Process.Signal(unix.SIGTERM)
			a.end()
			if n := a.counted(); n < enough || pids == 64 && (n >= want.other || most > want.threads) {
				t.Errorf("of %d: %d counted, %d threads, want %+v", pids, n, most, want)
			}
			a.empty()
		}
	})
}

// TestShare: processor time is what was allowed, as the kernel has a container wait for
// the next tenth of a second.
func TestShare(t *testing.T) {
	heartbeat(t)
	inContainers(t, func(t *testing.T, p place) {
		for _, cpus := range []string{"0.2", "64"} {
			a := &attack{t: t, place: p, flags: []string{"--cpus", cpus}}
			a.start("spin", "4")
			a.await("spinning", func() bool { return strings.Contains(a.stdout.String(), "spinning") })
			waited := func() int64 { return a.counter("cpu.stat", "nr_throttled ") }
			before, began, held := a.time(), time.Now(), waited()
			time.Sleep(2 * time.Second)
			share, times := float64(a.time()-before)/float64(time.Since(began)), waited()-held
			a.cmd.Process.Signal(unix.SIGTERM)
			a.end()
			t.Logf("%.3f processors of %s, held up %d times", share, cpus, times)
			if limited := cpus == "0.2"; share == 0 || limited && share > 0.3 || limited != (times > 0) {
				t.Errorf("of %s processors it used %.3f, and was held up %d times", cpus, share, times)
			}
		}
	})
}

// TestStubborn: a server that heeds neither the end of its input nor a signal, and has
// left processes to themselves, ends with all of them, and nothing is left; also where
// its launcher was killed.
func TestStubborn(t *testing.T) {
	inKinds(t, func(t *testing.T, p place) {
		h := home(t, p)
		for way, end := range map[string]func(a *attack){
			"eof":     func(a *attack) { a.stdin.Close() },
			"SIGTERM": func(a *attack) { a.cmd.Process.Signal(unix.SIGTERM) },
			"killed":  func(a *attack) { a.cmd.Process.Kill() },
			"kill":    func(*attack) { do(t, p, h, "kill") },
			"frozen":  func(*attack) { do(t, p, h, "freeze"); do(t, p, h, "kill") },
		} {
			t.Run(way, func(t *testing.T) {
				a := &attack{t: t, place: p, home: h}
				os.Remove(filepath.Join(a.out(), "count"))
				a.start("stubborn", "%out/count")
				a.await("a server", func() bool { return a.counted() > 0 })
				if n := len(a.members()); n < 2 {
					t.Fatalf("%d processes are to be seen, so that their absence proves nothing", n)
				}
				a.await("its state", func() bool {
					out, _ := p.command(t, h, "ps").Output()
					return strings.Contains(string(out), "hog ")
				})
				began := time.Now()
				end(a)
				a.cmd.Wait()
				if took := time.Since(began); took > seconds {
					t.Errorf("it took %v", took)
				}
				if way == "killed" {
					a.await("the end of its processes, by themselves", func() bool { return len(a.members()) == 0 })
					a.await("the end of its cgroups", func() bool {
						within(t, p, h, "ps") // which removes what is left
						return len(a.cgroups()) == 0
					})
				}
				a.empty()
				if p.in != nil {
					noneLeft(t)
					a.await("the end of its shim", func() bool { return len(p.in.daemon.Shims()) == 0 })
				}
			})
		}
		a := &attack{t: t, place: p, home: h}
		if code, _ := a.run("daemon", "3"); code != 0 {
			t.Errorf("one that leaves a daemon: code %d, %q", code, a.stderr.String())
		}
		a.empty()
	})
}

// do runs a command on hog, which has to succeed, within seconds.
func do(t *testing.T, p place, home, verb string) {
	t.Helper()
	if out, err := within(t, p, home, verb, "hog"); err != nil {
		t.Errorf("%s: %v: %s", verb, err, out)
	}
}

// TestFrozenCall: a call to a server that is frozen waits, and is answered when it is
// not any more.
func TestFrozenCall(t *testing.T) {
	inKinds(t, func(t *testing.T, p place) {
		a := &attack{t: t, place: p, server: true}
		a.start("answer")
		ask := func(id int) { fmt.Fprintf(a.stdin, `{"jsonrpc":"2.0","id":%d,"method":"ping"}`+"\n", id) }
		answered := func(id int) bool { return strings.Contains(a.stdout.String(), fmt.Sprintf(`"id":%d,"result"`, id)) }
		ask(1)
		a.await("an answer", func() bool { return answered(1) })
		do(t, p, a.home, "freeze")
		stood := a.time()
		ask(2)
		time.Sleep(500 * time.Millisecond)
		if answered(2) {
			t.Error("it answers while it is frozen")
		}
		if used := a.time() - stood; used > 50*time.Millisecond {
			t.Errorf("it has used %v while it was frozen", used)
		}
		do(t, p, a.home, "thaw")
		a.await("the other answer", func() bool { return answered(2) })
		a.stdin.Close()
		if code, _ := a.end(); code != 0 {
			t.Errorf("code %d, %q", code, a.stderr.String())
		}
	})
}

// TestRunaway: a container that floods its host, or does not answer, is ended, and the
// host has an answer.
func TestRunaway(t *testing.T) {
	inContainers(t, func(t *testing.T, p place) {
		for name, c := range map[string]struct{ policy, verb, arg, rule string }{
			"messages": {"[limits]\nrate = 100\n[runaway]\nrate = 'kill'\n", "flood", "messages", "rate"},
			"stderr":   {"[limits]\nstderr = '64KiB'\n[runaway]\nstderr = 'kill'\n", "flood", "stderr", "stderr"},
			"line":     {"[limits]\nmessage = '1MiB'\n", "flood", "line", "length"},
			"silence":  {"[limits]\nstart_timeout = '1s'\n", "stubborn", "%out/count", "start_timeout"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel() // they are measured over ten seconds
				a := &attack{t: t, place: p, server: true, policy: c.policy}
				a.start(c.verb, c.arg)
				fmt.Fprintln(a.stdin, `{"jsonrpc":"2.0","id":7,"method":"ping"}`)
				code, last := a.end()
				if code != 125 || last.Reason == "" {
					t.Errorf("code %d, %+v, stderr %.1000q", code, last, a.stderr.String())
				}
				if out := a.stdout.String(); strings.Count(out, `"id":7`) != 1 || !strings.Contains(out, `"rule":"`+c.rule+`"`) || len(out) > 64<<20 {
					t.Errorf("the host has %d bytes, at last %q", len(out), out[max(0, len(out)-500):])
				}
				a.empty()
			})
		}
	})
}
