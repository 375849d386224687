package limits

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const mib = 1 << 20

// over is how much more than its limit a box may get, in per cent. The kernel
// keeps it exactly; beside what hog counts, a box holds some memory of its own.
// What the watchdog sees too late depends on when it is given a processor.
func (p place) over() int64 {
	if p.kernel() {
		return 5
	}
	return 10
}

// A box that takes too much memory is killed near its limit, whatever the kind.
func TestMemory(t *testing.T) {
	const limit = 256
	heartbeat(t)
	inEach(t, func(t *testing.T, p place) {
		for _, c := range []struct {
			kind      string
			processes int
		}{{"private", 1}, {"private", 40}, {"shared", 4}, {"dropped", 4}, {"memfd", 4}, {"shm", 4},
			{"memfd-mapped", 4}, {"memfd-inflight", 4}, {"memfd-thread", 4}, {"headless", 4}} {
			t.Run(fmt.Sprintf("%s-%d", c.kind, c.processes), func(t *testing.T) {
				each, most := 640/c.processes, limit*(100+p.over())/100
				args := []string{"memory", c.kind, "%out/count", fmt.Sprint(c.processes), fmt.Sprint(each)}
				// A launcher that gets no processor for a while, on a busy machine, looks
				// late: not three times in a row. With v1 it does not keep the limit, but
				// ends the box, of which the kernel has killed one process; what that one had
				// is taken once more by the others meanwhile.
				late := !p.kernel() || p.tier == "cgroup v1"
				var a *attack
				var code int
				var last exit
				var taken int64
				for tries := 0; tries == 0 || late && tries < 3 && taken > most; tries++ {
					a = &attack{t: t, place: p, flags: []string{"--pids", "1024", "--memory", fmt.Sprintf("%dMiB", limit)}, policy: "[limits]\ntmp = '1GiB'\n"}
					code, last = a.run(args...)
					taken = a.counted() / mib
					t.Logf("%d MiB of %d taken, the journal says %d", taken, limit, last.Peak/mib)
				}
				if code != 137 || !strings.HasPrefix(last.Reason, "killed: used ") || last.Limit != limit*mib {
					t.Errorf("code %d, %+v, stdout %q, stderr %q", code, last, a.stdout.String(), a.stderr.String())
				}
				if taken < limit/2 || taken > most {
					t.Errorf("killed at %d MiB of %d", taken, limit)
				}
				if !strings.Contains(a.stderr.String(), "--memory to raise") {
					t.Errorf("stderr does not say what to do: %q", a.stderr.String())
				}

				// The control: it is the limit that kills.
				a = &attack{t: t, place: p, flags: []string{"--pids", "1024", "--memory", "1400MiB"}, policy: "[limits]\ntmp = '1GiB'\n"}
				if code, last := a.run(args...); code != 0 || a.stdout.String() != "took all true\n" {
					t.Errorf("with enough memory: code %d, %+v, stdout %q, stderr %q", code, last, a.stdout.String(), a.stderr.String())
				}
			})
		}
	})
}

// Nor does a server get past its limit that takes seconds to be measured.
func TestSlowMeasure(t *testing.T) {
	const limit = 256
	inEach(t, func(t *testing.T, p place) {
		args := []string{"pieces", "%out/count", "12", "20000", "2048"}
		a := &attack{t: t, place: p, flags: []string{"--pids", "1024", "--memory", fmt.Sprintf("%dMiB", limit)}}
		code, last := a.run(args...)
		taken := a.counted()/mib + 32 // what is shared
		t.Logf("%d MiB of %d taken, the journal says %d", taken, limit, last.Peak/mib)
		if code != 137 || !strings.HasPrefix(last.Reason, "killed: used ") || last.Limit != limit*mib {
			t.Errorf("code %d, %+v, stdout %q, stderr %q", code, last, a.stdout.String(), a.stderr.String())
		}
		// It is stopped again and again, and each time goes on for a few milliseconds
		// more than it is given; without that it took twice the limit and more.
		if taken > limit*(110+p.over())/100 {
			t.Errorf("killed at %d MiB of %d", taken, limit)
		}
	})
}

// It is told that a box was killed for its memory also if mcpbox gets to look long after
// that: systemd removes a scope in which nothing is left.
func TestCauseIsKept(t *testing.T) {
	inEach(t, func(t *testing.T, p place) {
		if p.tier != "systemd scope" && p.tier != "cgroup v2" {
			return // it is mcpbox that kills all of it
		}
		a := &attack{t: t, place: p, flags: []string{"--memory", "64MiB"}}
		a.start("await", "%out/go", "memory", "private", "%out/count", "1", "200")
		a.await("a server", func() bool { return len(hogs(t)) > 0 })
		if err := a.cmd.Process.Signal(unix.SIGSTOP); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(a.out(), "go"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		noneLeft(t)
		// Nothing shows when systemd has come to it.
		time.Sleep(3 * time.Second)
		a.cmd.Process.Signal(unix.SIGCONT)
		code, last := a.end()
		t.Logf("%d, %+v", code, last)
		if code != 137 || !strings.HasPrefix(last.Reason, "killed: used ") || last.Peak < 60*mib || last.Peak > 65*mib {
			t.Errorf("code %d, %+v, stderr %q", code, last, a.stderr.String())
		}
		if last.User+last.System == 0 {
			t.Errorf("no processor time: %+v", last)
		}
	})
}

// Files that are mapped do not use up memory: the kernel writes them back.
func TestMappedFile(t *testing.T) {
	inEach(t, func(t *testing.T, p place) {
		a := &attack{t: t, place: p, flags: []string{"--memory", "128MiB"}}
		code, last := a.run("memory", "file", "%out/count", "1", "400")
		if code != 0 || a.counted() != 400*mib {
			t.Errorf("code %d, %+v, %q", code, last, a.stderr.String())
		}
		if p.kernel() && last.Peak > 129*mib {
			t.Errorf("%d MiB at a time", last.Peak/mib)
		}
	})
}

func TestRequire(t *testing.T) {
	inEach(t, func(t *testing.T, p place) {
		h := home(t, p)
		a := &attack{t: t, place: p, home: h, policy: "[limits]\nrequire = 'cgroup'\n"}
		a.start("daemon", "1")
		a.stdin.Close()
		a.cmd.Wait()
		code := a.cmd.ProcessState.ExitCode()
		if p.kernel() && code != 0 || !p.kernel() && (code != 125 || !strings.Contains(a.stderr.String(), `require = "cgroup"`)) {
			t.Errorf("code %d, stderr %q", code, a.stderr.String())
		}
	})
}
