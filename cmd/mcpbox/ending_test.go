package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// deadline is when a test that waits for something gives up. It says nothing
// about how long that should take.
const deadline = time.Minute

// launched is a running mcpbox with its host, which is the test.
type launched struct {
	t      *testing.T
	cmd    *exec.Cmd
	in     *os.File
	out    *bufio.Reader
	outEnd *os.File
	err    *bytes.Buffer // complete once mcpbox has ended
	state  string
}

// launch starts "mcpbox run" with these arguments as a host does: with pipes,
// and with a home of its own.
func launch(t *testing.T, args ...string) *launched {
	t.Helper()
	needBox(t)
	dir := t.TempDir()
	env := []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir, "GORACE=" + raceOptions}
	for name, sub := range scriptDirs {
		env = append(env, name+"="+filepath.Join(dir, sub))
	}
	if err := os.Mkdir(filepath.Join(dir, scriptDirs["HOME"]), 0o755); err != nil {
		t.Fatal(err)
	}
	return launchIn(t, dir, env, args)
}

// again starts another run of the same server, for the same user.
func (l *launched) again(args ...string) *launched {
	l.t.Helper()
	return launchIn(l.t, l.cmd.Dir, l.cmd.Env, args)
}

func launchIn(t *testing.T, dir string, env, args []string) *launched {
	t.Helper()
	l := &launched{t: t, err: new(bytes.Buffer), state: filepath.Join(dir, "state")}
	l.cmd = exec.Command("mcpbox", append([]string{"run", "--raw", "--name", "test"}, args...)...)
	l.cmd.Env = env
	serverIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, serverOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	l.in, l.outEnd, l.out = in, out, bufio.NewReader(out)
	l.cmd.Dir, l.cmd.Stdin, l.cmd.Stdout, l.cmd.Stderr = dir, serverIn, serverOut, l.err
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	serverIn.Close()
	serverOut.Close()
	t.Cleanup(func() {
		l.cmd.Process.Kill()
		in.Close()
		out.Close()
	})
	return l
}

// line is the server's next line.
func (l *launched) line() string {
	l.t.Helper()
	l.outEnd.SetReadDeadline(time.Now().Add(deadline))
	s, err := l.out.ReadString('\n')
	if err != nil {
		l.cmd.Process.Kill()
		l.cmd.Wait()
		l.t.Fatalf("read a line of the server: %v; it said %q, and on stderr %q", err, s, l.err)
	}
	return strings.TrimSuffix(s, "\n")
}

// wait returns the exit code of mcpbox.
func (l *launched) wait() int {
	l.t.Helper()
	done := make(chan error, 1)
	go func() { done <- l.cmd.Wait() }()
	select {
	case err := <-done:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			l.t.Fatal(err)
		}
	case <-time.After(deadline):
		l.t.Fatalf("mcpbox is still there after %v", deadline)
	}
	return l.cmd.ProcessState.ExitCode()
}

// processes lists the processes of the box by their numbers on the host.
func (l *launched) processes() []string {
	l.t.Helper()
	// Children of mcpbox, and theirs.
	parents := map[string]string{}
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		l.t.Fatal(err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		text := string(data)
		fields := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
		parents[filepath.Base(filepath.Dir(file))] = fields[1]
	}
	var list []string
	for pid := range parents {
		for up := parents[pid]; up != ""; up = parents[up] {
			if up == fmt.Sprint(l.cmd.Process.Pid) {
				list = append(list, pid)
				break
			}
		}
	}
	return list
}

// gone fails the test if one of the processes is alive. The caller has waited
// for mcpbox, whose promise is to end after them.
func gone(t *testing.T, pids []string) {
	t.Helper()
	for _, pid := range pids {
		if status, err := os.ReadFile("/proc/" + pid + "/status"); err == nil {
			t.Errorf("process %s has outlived mcpbox:\n%s", pid, status)
		}
	}
}

// record is the last line of the journal.
func (l *launched) record() (r struct{ Event, Reason string }) {
	l.t.Helper()
	files, err := filepath.Glob(filepath.Join(l.state, "mcpbox/journal/test/*.jsonl"))
	if err != nil || len(files) != 1 {
		l.t.Fatalf("journals: %v %v", files, err)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		l.t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(data), []byte("\n"))
	if err := json.Unmarshal(lines[len(lines)-1], &r); err != nil {
		l.t.Fatal(err)
	}
	return r
}

// A host that is done closes the server's stdin, and signals only mcpbox, if at
// all. In every case the whole box is gone before mcpbox is.
func TestNothingOutlivesTheLauncher(t *testing.T) {
	// Each server is three processes at least, one of them a daemon in a
	// session of its own, and says "ready" when it has what it needs.
	const daemon = "setsid sh -c 'trap \"\" TERM HUP INT; while :; do sleep 1000; done' & sleep 1000 & "
	const stubborn = "trap '' TERM HUP INT; " + daemon + "echo ready; while :; do sleep 1000; done"
	const polite = "trap 'exit 0' TERM; " + daemon + "echo ready; while :; do sleep 0.05; done"
	const reader = daemon + "echo ready; cat >/dev/null; exit 4"
	eof := func(l *launched) { l.in.Close() }
	sig := func(s syscall.Signal) func(*launched) { return func(l *launched) { l.cmd.Process.Signal(s) } }

	for _, c := range []struct {
		name, server string
		end          func(*launched)
		code         int
		reason       string
	}{
		{"end of input, server obeys", reader, eof, 4, ""},
		{"end of input, server obeys SIGTERM", polite, eof, 0, ""},
		{"end of input, server ignores all", stubborn, eof, 128 + 9, ""},
		{"SIGTERM", stubborn, sig(syscall.SIGTERM), 128 + 9, "launcher received terminated"},
		{"SIGINT", stubborn, sig(syscall.SIGINT), 128 + 9, "launcher received interrupt"},
		{"SIGHUP", stubborn, sig(syscall.SIGHUP), 128 + 9, "launcher received hangup"},
		{"SIGTERM, server obeys", polite, sig(syscall.SIGTERM), 0, "launcher received terminated"},
		{"SIGTERM, server reads", reader, sig(syscall.SIGTERM), -1, "launcher received terminated"}, // 4 or 143: it gets both
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			l := launch(t, "--", "sh", "-c", c.server)
			if s := l.line(); s != "ready" {
				t.Fatalf("the server says %q", s)
			}
			box := l.processes()
			if len(box) < 4 { // with PID 1
				t.Fatalf("the box has processes %v", box)
			}
			c.end(l)
			code := l.wait()
			gone(t, box)
			if c.code >= 0 && code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if l.err.Len() > 0 {
				t.Errorf("an end that was asked for is no reason to speak: %s", l.err)
			}
			if r := l.record(); r.Event != "exit" || r.Reason != c.reason {
				t.Errorf("last record %+v, want an exit for the reason %q", r, c.reason)
			}
		})
	}
}

// A server that ends by itself takes its daemons with it, also one that keeps
// stdout open.
func TestDaemonsEndWithTheServer(t *testing.T) {
	l := launch(t, "--", "sh", "-c", "setsid sleep 1000 & echo ready; read line; exit 6")
	l.line()
	box := l.processes()
	fmt.Fprintln(l.in, "go")
	if code := l.wait(); code != 6 {
		t.Errorf("exit code %d, want 6", code)
	}
	gone(t, box)
}

// Killed outright, mcpbox can do nothing; the kernel ends the box.
func TestBoxEndsWhenLauncherIsKilled(t *testing.T) {
	l := launch(t, "--", "sh", "-c", "trap '' TERM; setsid sleep 1000 & echo ready; while :; do sleep 1000; done")
	l.line()
	box := l.processes()
	if len(box) < 3 {
		t.Fatalf("the box has processes %v", box)
	}
	l.cmd.Process.Kill()
	l.wait()
	goneSoon(t, box)
}

// goneSoon waits for processes that nobody has waited for: the kernel ends them,
// and the machine's init reaps the first of them.
func goneSoon(t *testing.T, pids []string) {
	t.Helper()
	for end := time.Now().Add(deadline); ; time.Sleep(10 * time.Millisecond) {
		alive := false
		for _, pid := range pids {
			_, err := os.Stat("/proc/" + pid)
			alive = alive || err == nil
		}
		if !alive {
			return
		}
		if time.Now().After(end) {
			gone(t, pids)
			t.FailNow()
		}
	}
}

// A signal that arrives while the box is being built is not lost, whenever that
// is: the server here would never end by itself.
func TestSignalDuringStart(t *testing.T) {
	for i := range 20 {
		l := launch(t, "--", "sh", "-c", "trap '' TERM; while :; do sleep 1000; done")
		time.Sleep(time.Duration(i) * 3 * time.Millisecond)
		l.cmd.Process.Signal(syscall.SIGTERM)
		l.wait()
		l.in.Close()
		l.outEnd.Close()
	}
}

// A host that has stopped reading cannot keep mcpbox by that, wherever in the
// end of a run its signal arrives.
func TestHostStopsReading(t *testing.T) {
	// More than the pipes hold: of the box, of the relay and of the host.
	const flood = "echo ready; head -c 4000000 /dev/zero | tr '\\0' '\\n'"
	for _, c := range []struct{ name, server string }{
		{"server goes on", flood + "; sleep 1000"},
		{"server ignores SIGTERM", "trap '' TERM; " + flood + "; while :; do sleep 1000; done"},
		{"server has ended", "echo ready; head -c 200000 /dev/zero | tr '\\0' '\\n'; exit 0"},
	} {
		for _, input := range []string{"open", "closed"} {
			t.Run(c.name+", input "+input, func(t *testing.T) {
				t.Parallel()
				l := launch(t, "--", "sh", "-c", c.server)
				l.line()
				box := l.processes()
				if input == "closed" {
					l.in.Close()
				}
				// Give it time to fill the pipes: the test holds without, but
				// would not look at this case.
				time.Sleep(200 * time.Millisecond)
				if err := l.cmd.Process.Signal(syscall.Signal(0)); err != nil {
					t.Fatalf("mcpbox did not wait for its host: %v", err)
				}
				l.cmd.Process.Signal(syscall.SIGTERM)
				l.wait()
				gone(t, box)
			})
		}
	}
}

// A host that reads late gets everything that a server said before it ended.
func TestLastLinesWaitForTheHost(t *testing.T) {
	l := launch(t, "--", "sh", "-c", "head -c 200000 /dev/zero | tr '\\0' 'x'; exit 0")
	time.Sleep(200 * time.Millisecond)
	l.outEnd.SetReadDeadline(time.Now().Add(deadline))
	all, err := io.ReadAll(l.out)
	if err != nil || len(all) != 200000 {
		t.Errorf("read %d bytes, %v; want 200000", len(all), err)
	}
	if code := l.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A host need not read stderr. A server that has filled it ends as others do, and so
// does its mcpbox, which has something to say of that.
func TestFullStderr(t *testing.T) {
	needBox(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	dir := t.TempDir()
	cmd := exec.Command("mcpbox", "run", "--name", "test", "--", "sh", "-c", "yes >&2 & sleep 0.5; exit 3", "sh", "~/a hint for mcpbox to say")
	cmd.Dir, cmd.Stderr = dir, w
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "TMPDIR=" + dir, "GORACE=" + raceOptions}
	for name, sub := range scriptDirs {
		cmd.Env = append(cmd.Env, name+"="+filepath.Join(dir, sub))
	}
	if err := os.Mkdir(filepath.Join(dir, scriptDirs["HOME"]), 0o755); err != nil {
		t.Fatal(err)
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case <-ended:
		if code := cmd.ProcessState.ExitCode(); code != 3 {
			t.Errorf("it ended with %d, want 3", code)
		}
	case <-time.After(deadline):
		cmd.Process.Kill()
		<-ended
		t.Fatal("mcpbox has not ended, as nobody reads its stderr")
	}
}
