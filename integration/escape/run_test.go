package escape

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// limit is how long any command of the tests may take: a hang is a failure, and
// a slow machine is none.
const limit = 90 * time.Second

// fewer is n, or a tenth of it where go test -short asks for fewer repetitions: on
// emulated machines, for one.
func fewer(n int) int {
	if testing.Short() {
		return max(1, n/10)
	}
	return n
}

// ran is how a command ended.
type ran struct {
	stdout, stderr string
	code           int // -1 if a signal ended it
}

// run runs a command to its end. Its input stays open, and empty.
func (w *world) run(cmd *exec.Cmd) ran {
	w.t.Helper()
	var stdout, stderr bytes.Buffer
	if cmd.Stdin == nil {
		_, err := cmd.StdinPipe() // closed by Wait
		w.must(err)
	}
	if cmd.Stdout == nil {
		cmd.Stdout = &stdout
	}
	if cmd.Stderr == nil {
		cmd.Stderr = &stderr
	}
	cmd.WaitDelay = 5 * time.Second
	w.must(cmd.Start())
	hung := time.AfterFunc(limit, func() {
		_ = cmd.Process.Signal(syscall.SIGQUIT) // a Go program then says where
		time.Sleep(time.Second)
		_ = cmd.Process.Kill()
	})
	err := cmd.Wait()
	if !hung.Stop() {
		w.t.Errorf("%q hung: %s", cmd.Args, stderr.String())
	}
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		w.t.Errorf("%q: %v", cmd.Args, err)
	}
	return ran{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// held starts a server that says something once it is ready, calls f with what
// it said, and ends its input, upon which it is expected to end.
func (w *world) held(cmd *exec.Cmd, f func(said string)) {
	w.t.Helper()
	in, err := cmd.StdinPipe()
	w.must(err)
	out, err := cmd.StdoutPipe()
	w.must(err)
	w.must(cmd.Start())
	hung := time.AfterFunc(limit, func() { _ = cmd.Process.Kill() })
	said, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		w.t.Errorf("%q said nothing: %v", cmd.Args, err)
	}
	f(strings.TrimSpace(said))
	_ = in.Close()
	_ = cmd.Wait()
	if !hung.Stop() {
		w.t.Errorf("%q hung", cmd.Args)
	}
}

// box is a command that runs args in the usual box.
func (w *world) box(args ...string) *exec.Cmd {
	return w.command(w.boxed(needPrograms(w.t).launcher, args...)...)
}

// boxWith is a command that runs args in a box with other declarations.
func (w *world) boxWith(flags []string, args ...string) *exec.Cmd {
	line := append([]string{needPrograms(w.t).launcher, "run", "--raw", "--name", "probe"}, flags...)
	return w.command(append(append(line, "--"), args...)...)
}

// probe is the path of the world's probe.
func (w *world) probe() string { return w.In("tools/probe") }

// look runs the probe by way of cmd, which ends in "facts", and returns what it
// saw.
func (w *world) look(cmd *exec.Cmd) Facts {
	w.t.Helper()
	r := w.run(cmd)
	var f Facts
	if err := json.Unmarshal([]byte(r.stdout), &f); err != nil {
		w.t.Fatalf("facts: %v: %+v", err, r)
	}
	return f
}

// record is a line of a journal.
type record struct {
	Event  string `json:"event"`
	Kind   string `json:"kind"`
	Path   string `json:"path"`
	Target string `json:"target"`
	Detail string `json:"detail"`
	BoxPID int    `json:"boxPid"`
}

// journal reads the records of all runs of the server named probe.
func (w *world) journal() []record {
	w.t.Helper()
	names, err := filepath.Glob(w.In(".local/state/mcpbox/journal/probe/*.jsonl"))
	w.must(err)
	var list []record
	for _, name := range names {
		for _, line := range lines(w.read(name)) {
			var r record
			w.must(json.Unmarshal([]byte(line), &r))
			list = append(list, r)
		}
	}
	return list
}

// recorded reports whether a run's journal has an event of a kind at a path.
func (w *world) recorded(kind, path string) bool {
	for _, r := range w.journal() {
		if r.Event == "event" && r.Kind == kind && (r.Path == path || w.In("project/"+r.Path) == path) {
			return true
		}
	}
	return false
}

func lines(text string) []string {
	var list []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			list = append(list, line)
		}
	}
	return list
}
