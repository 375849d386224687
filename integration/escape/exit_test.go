package escape

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/mcpbox/mcpbox/integration/setup"
)

// TestL8ExitCodes has servers end in every way there is.
func TestL8ExitCodes(t *testing.T) {
	const workers = 4
	for n := range workers {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, false)
			for code := n; code < 256; code += workers {
				r := w.run(w.box(w.probe(), "act", "exit", strconv.Itoa(code)))
				if r.code != code {
					t.Errorf("exit %d became %d: %s", code, r.code, r.stderr)
				}
				if code >= 125 && code <= 127 && strings.Contains(r.stderr, "not found") {
					t.Errorf("exit %d of the server is taken for the launcher's: %s", code, r.stderr)
				}
			}
		})
	}
	t.Run("signals", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t, false)
		for sig := syscall.Signal(1); sig <= 64; sig++ {
			switch sig {
			case syscall.SIGCHLD, syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH, // do nothing
				syscall.SIGSTOP, syscall.SIGTSTP, syscall.SIGTTIN, syscall.SIGTTOU: // stop
				continue
			}
			if r := w.run(w.box(w.probe(), "act", "die", strconv.Itoa(int(sig)))); r.code != 128+int(sig) {
				t.Errorf("signal %d became exit %d: %s", sig, r.code, r.stderr)
			}
		}
	})
}

// TestL8Failures checks that failures of the launcher have exit codes and a
// message of their own, on standard error only.
func TestL8Failures(t *testing.T) {
	w := newWorld(t, false)
	w.write("project/plain.txt", "no program\n", 0o644)
	w.write("project/script.sh", "#!/nonexistent/interpreter\n", 0o755)
	w.write("bad.toml", "[files]\nreed = []\n", 0o600)
	for _, c := range []struct {
		name string
		line []string
		code int
		says string
	}{
		{"no such program", append(w.declared(), "--", "no-such-program-of-mine"), 127, "no-such-program-of-mine"},
		{"no such path", append(w.declared(), "--", w.In("project/nothing")), 127, "nothing"},
		{"not executable", append(w.declared(), "--", w.In("project/plain.txt")), 126, "plain.txt"},
		{"no interpreter", append(w.declared(), "--", w.In("project/script.sh")), 127, "interpreter"},
		{"bad policy", append(w.declared(), "--policy", w.In("bad.toml"), "--", "/bin/true"), 125, "bad.toml:2"},
		{"no policy", append(w.declared(), "--policy", w.In("none.toml"), "--", "/bin/true"), 125, "none.toml"},
		{"no directory", []string{"--rw", w.In("nowhere"), "--", "/bin/true"}, 125, "nowhere"},
		{"no command", nil, 125, "command"},
		{"unknown flag", []string{"--no-such-flag", "--", "/bin/true"}, 125, "no-such-flag"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := w.run(w.command(append([]string{needPrograms(t).launcher, "run", "--raw", "--name", "probe"}, c.line...)...))
			if r.code != c.code || r.stdout != "" || !strings.HasPrefix(r.stderr, "mcpbox: ") || !strings.Contains(r.stderr, c.says) {
				t.Errorf("want exit %d and a line about %q: %+v", c.code, c.says, r)
			}
		})
	}
}

// TestX5SignalsToInit sends every signal there is to PID 1 of the box, from
// inside. It neither ends nor speaks.
func TestX5SignalsToInit(t *testing.T) {
	w := newWorld(t, false)
	for _, off := range []string{"", "landlock", "seccomp,landlock"} {
		cmd := w.box(w.probe(), "act", "signal-init")
		if off != "" {
			// Landlock would keep the signals from arriving.
			lacking, err := buildLacking()
			w.must(err)
			cmd = w.command(w.boxed(lacking, w.probe(), "act", "signal-init")...)
			cmd.Env = append(cmd.Env, "MCPBOX_LAYER_OFF="+off)
		}
		if r := w.run(cmd); r != (ran{stdout: "alive\n"}) {
			t.Errorf("layers off %q: %+v", off, r)
		}
	}
}

// TestX5CapabilitiesOfInit looks from outside at every thread of PID 1 while a
// server runs beside it: none has a capability or is without a filter. The control
// is that there are several.
func TestX5CapabilitiesOfInit(t *testing.T) {
	setup.Need(t, os.Getenv("MCPBOX_BIN") != "", "MCPBOX_BIN, mcpbox as make build makes it: without the program of the stages in it they have cgo")
	w := newWorld(t, false)
	w.held(w.box("/bin/sh", "-c", "echo up; cat"), func(string) {
		records := w.journal()
		if len(records) == 0 || records[0].BoxPID == 0 {
			t.Errorf("journal: %+v", records)
			return
		}
		threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", records[0].BoxPID))
		w.must(err)
		if len(threads) < 2 {
			t.Errorf("PID 1 has %d threads", len(threads))
		}
		for _, path := range threads {
			status, err := os.ReadFile(path)
			w.must(err)
			for _, line := range []string{"CapInh:\t0000000000000000", "CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapAmb:\t0000000000000000", "Seccomp:\t2"} {
				if !strings.Contains(string(status), line+"\n") {
					t.Errorf("%s is without %q", path, line)
				}
			}
		}
	})
}

// TestF3Binary hammers at every program that a process runs, while launchers
// start, and offers the kernel its own program as an interpreter. The installed
// launcher stays what it was.
func TestF3Binary(t *testing.T) {
	w := newWorld(t, false)
	w.arm()
	install := w.In(".local/bin/mcpbox")
	before := w.fingerprint()
	done := make(chan ran)
	go func() {
		done <- w.run(w.command(w.boxed(install, w.probe(), "act", "hammer", "3")...))
	}()
	w.write("project/self.sh", "#!/proc/self/exe run -- /bin/true\n", 0o755)
	starts := 0
	for running := true; running; {
		select {
		case r := <-done:
			running = false
			if r.code != 0 || !strings.Contains(r.stdout, "tries") {
				t.Errorf("hammer: %+v", r)
			}
			t.Logf("%d launches beside %s", starts, r.stdout)
		default:
			// The kernel runs the box's own first program again, confined.
			w.run(w.command(w.boxed(install, w.In("project/self.sh"))...))
			starts++
		}
	}
	w.must(os.Remove(w.In("project/self.sh")))
	if diff := changes(before, w.fingerprint()); len(diff) > 0 {
		t.Errorf("changed: %q", diff)
	}
	// The control: without a box the user's own copy can be written.
	r := w.run(w.command(w.probe(), "attack", w.scenario(1), "F16/launcher"))
	if !strings.Contains(r.stdout, `"succeeded":true`) {
		t.Errorf("the control failed: %+v", r)
	}
	if !slices.Contains(lines(r.stdout), strings.TrimSpace(r.stdout)) {
		t.Errorf("more than one line: %q", r.stdout)
	}
}
