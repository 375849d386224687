package limits

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/integration/hung"
	"golang.org/x/sys/unix"
)

// seconds bounds what has to be over within seconds, on a machine that may be busy.
const seconds = 20 * time.Second

// A server that waits for a file system which hangs cannot be frozen, nor ended (state
// D of proc_pid_stat(5)). That is known within seconds, its mcpbox ends, and its host
// has its answers, however it is ended. It holds up nobody else.
func TestStuck(t *testing.T) {
	heartbeat(t)
	each := func(t *testing.T, p place) {
		for way, end := range map[string]func(t *testing.T, a *attack){
			"kill": func(t *testing.T, a *attack) {
				out, err := within(t, p, a.home, "kill", "hog")
				if err == nil || !strings.Contains(out, "waits in the kernel") {
					t.Errorf("kill: %v: %s", err, out)
				}
			},
			"eof":     func(_ *testing.T, a *attack) { a.stdin.Close() },
			"SIGTERM": func(_ *testing.T, a *attack) { a.cmd.Process.Signal(unix.SIGTERM) },
		} {
			t.Run(way, func(t *testing.T) {
				h := home(t, p)
				dir := filepath.Join(h, "hung")
				if err := errors.Join(os.Mkdir(dir, 0o755), os.Chown(dir, p.uid, p.uid)); err != nil {
					t.Fatal(err)
				}
				fs := hung.Mount(t, p.uid, dir)
				declared := "--rw" // in which mcpbox looks around, too
				if p.uid == 0 {
					declared = "--ro" // FUSE has no idmapped mounts
				}
				a := &attack{t: t, place: p, home: h, server: true, flags: []string{declared, dir}}
				a.start("read", filepath.Join(dir, "file"))
				fmt.Fprintln(a.stdin, `{"jsonrpc":"2.0","id":7,"method":"ping"}`)
				a.await("a hung server", fs.Hung)

				out, err := within(t, p, h, "freeze", "hog")
				if err != nil && !strings.Contains(out, "waits for something in the kernel") {
					t.Errorf("freeze: %v: %s", err, out)
				}
				t.Logf("freeze: %v %s", err, out)
				if err == nil { // it executes nothing, as it was to be
					if out, err := within(t, p, h, "thaw", "hog"); err != nil {
						t.Errorf("thaw: %v: %s", err, out)
					}
				}
				if out, err := within(t, p, h, "ps"); err != nil || !strings.Contains(out, "hog ") {
					t.Errorf("ps: %v: %s", err, out)
				}

				began := time.Now()
				end(t, a)
				code, last := a.end()
				took := time.Since(began)
				t.Logf("ended within %v, %d: %s", took.Round(time.Millisecond), code, last.Reason)
				if took > seconds {
					t.Errorf("mcpbox took %v to end", took)
				}
				if !strings.Contains(last.Reason, "waiting in the kernel") || !strings.Contains(a.stderr.String(), "waiting in the kernel") {
					t.Errorf("the journal says %q, stderr %q", last.Reason, a.stderr.String())
				}
				if out := a.stdout.String(); strings.Count(out, "\n") != 1 || !strings.Contains(out, `"id":7`) || !strings.Contains(out, `"error"`) {
					t.Errorf("the host has %q", out)
				}
				// The control: there was something that nobody can end.
				if !deeplyAsleep(t, a) {
					t.Errorf("nothing hangs: %v", hogs(t))
				}

				fs.End()
				noneLeft(t)
				for end := time.Now().Add(seconds); len(a.cgroups()) > 0; time.Sleep(10 * time.Millisecond) {
					if time.Now().After(end) {
						t.Fatalf("left over: %v", a.cgroups())
					}
					within(t, p, h, "ps")
				}
			})
		}
	}
	inEach(t, each)
	inContainers(t, func(t *testing.T, p place) {
		if p.in.runtime == "runc" {
			each(t, p)
		}
	})
}

// within runs a command of mcpbox, which has to return within seconds.
func within(t *testing.T, p place, home string, args ...string) (string, error) {
	t.Helper()
	began := time.Now()
	out, err := p.command(t, home, args...).CombinedOutput()
	if took := time.Since(began); took > seconds {
		t.Errorf("%q took %v", args, took)
	}
	return string(out), err
}

// deeplyAsleep reports whether a thread of a hog, or of what is in its cgroups, waits in
// the kernel.
func deeplyAsleep(t *testing.T, a *attack) bool {
	pids := slices.Collect(maps.Keys(hogs(t)))
	for _, dir := range a.cgroups() {
		data, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
		if err != nil {
			t.Error(err)
		}
		for _, field := range strings.Fields(string(data)) {
			if pid, err := strconv.Atoi(field); err == nil {
				pids = append(pids, pid)
			}
		}
	}
	return slices.ContainsFunc(pids, func(pid int) bool { return slices.Contains(threads(pid), "D") })
}
