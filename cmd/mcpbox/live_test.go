package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/control"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/runs"
	"github.com/mcpbox/mcpbox/netfilter"
	"github.com/mcpbox/mcpbox/sandbox"
	"golang.org/x/sys/unix"
)

// run is the launched mcpbox as other commands see it.
func (l *launched) run() *runs.Run {
	l.t.Helper()
	for end := time.Now().Add(deadline); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		list, err := runs.List(filepath.Join(filepath.Dir(l.state), scriptDirs["XDG_RUNTIME_DIR"], "mcpbox"), nil)
		if err != nil {
			l.t.Fatal(err)
		}
		if len(list) == 1 {
			return list[0]
		}
	}
	l.t.Fatal("the run is not listed")
	return nil
}

// journalText is what the run's journal says by now.
func (l *launched) journalText() string {
	l.t.Helper()
	data, err := os.ReadFile(l.run().Journal)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(data)
}

const stubbornServer = "trap '' TERM HUP INT; setsid sleep 1000 & echo ready; while :; do sleep 1000; done"

// A launcher that hangs does not keep its server from being killed, frozen or
// not, in two seconds.
func TestKillHungLauncher(t *testing.T) {
	for _, frozen := range []bool{false, true} {
		t.Run(fmt.Sprint("frozen ", frozen), func(t *testing.T) {
			l := launch(t, "--", "sh", "-c", stubbornServer)
			l.line()
			box, r := l.processes(), l.run()
			if frozen {
				if _, err := control.Ask(r.Control(), control.Freeze, deadline); err != nil {
					t.Fatal(err)
				}
			}
			l.cmd.Process.Signal(syscall.SIGSTOP)
			// Until the last thread has stopped it may still answer.
			if err := unix.Waitid(unix.P_PID, l.cmd.Process.Pid, nil, unix.WSTOPPED, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := control.Ask(r.Control(), control.Query, 50*time.Millisecond); !errors.Is(err, control.ErrSilent) {
				t.Fatalf("a stopped launcher: %v", err)
			}
			began := time.Now()
			if err := kill(0, r); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(began); took > 2*time.Second {
				t.Errorf("that took %v", took)
			}
			if code := l.wait(); code != -1 {
				t.Errorf("the launcher ended with %d, not by a signal", code)
			}
			goneSoon(t, box)
			data, err := os.ReadFile(r.Journal)
			if err != nil || !strings.Contains(string(data), `"kind":"killed_outright","detail":"killed by \"mcpbox kill\", together with`) {
				t.Errorf("journal:\n%s%v", data, err)
			}
		})
	}
}

// A host that does not read cannot keep a run that is killed.
func TestKillWithoutAReader(t *testing.T) {
	l := launch(t, "--", "sh", "-c", "echo ready; head -c 4000000 /dev/zero | tr '\\0' '\\n'; sleep 1000")
	l.line()
	box, r := l.processes(), l.run()
	time.Sleep(200 * time.Millisecond) // it holds without, but would not look at this case
	if err := kill(0, r); err != nil {
		t.Fatal(err)
	}
	if code := l.wait(); code != 137 {
		t.Errorf("exit code %d, want 137", code)
	}
	gone(t, box)
	if rec := l.record(); rec.Event != "exit" || rec.Reason != reasonKilled {
		t.Errorf("last record %+v", rec)
	}
	if err := kill(0, r); err != nil {
		t.Errorf("a run that has ended is killed: %v", err)
	}
}

// A frozen box ends with its launcher, whatever ends that.
func TestFrozenEndsWithLauncher(t *testing.T) {
	for name, end := range map[string]func(*launched){
		"end of input": func(l *launched) { l.in.Close() },
		"SIGTERM":      func(l *launched) { l.cmd.Process.Signal(syscall.SIGTERM) },
		"SIGKILL":      func(l *launched) { l.cmd.Process.Kill() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := launch(t, "--", "sh", "-c", stubbornServer)
			l.line()
			box, r := l.processes(), l.run()
			if len(box) < 3 {
				t.Fatalf("the box has processes %v", box)
			}
			if _, err := control.Ask(r.Control(), control.Freeze, deadline); err != nil {
				t.Fatal(err)
			}
			end(l)
			l.wait()
			if name == "SIGKILL" {
				goneSoon(t, box)
			}
			gone(t, box)
		})
	}
}

// A frozen server owes its host an answer, and gives it once it is thawed.
func TestFrozenAnswersLater(t *testing.T) {
	l := launch(t, "--", "sh", "-c", `echo ready; while read line; do echo "got $line"; done`)
	l.line()
	r := l.run()
	ask := func(v control.Verb) {
		t.Helper()
		if _, err := control.Ask(r.Control(), v, deadline); err != nil {
			t.Fatal(err)
		}
	}
	ask(control.Freeze)
	fmt.Fprintln(l.in, "ping")
	l.outEnd.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
	if text, err := l.out.ReadString('\n'); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("a frozen server says %q, %v", text, err)
	}
	ask(control.Thaw)
	if text := l.line(); text != "got ping" {
		t.Errorf("it says %q", text)
	}
	if text := l.journalText(); strings.Count(text, `"kind":"frozen"`) != 1 || strings.Count(text, `"kind":"thawed"`) != 1 {
		t.Errorf("journal:\n%s", text)
	}
}

// stubBox is a box that does not do as it is told.
type stubBox struct {
	sandbox.Box
	err error
}

func (b *stubBox) Freeze() error                { return b.err }
func (b *stubBox) Thaw() error                  { return b.err }
func (b *stubBox) Usage() (sandbox.Load, error) { return sandbox.Load{Processes: 3}, b.err }

// What could not be done is not shown as done, and what has ended stays as it is.
func TestLiveFailures(t *testing.T) {
	j, err := journal.Open(journal.Config{State: filepath.Join(t.TempDir(), "state"), Name: "fs"})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	box := &stubBox{}
	l := &live{box: box, filter: netfilter.New(netfilter.Config{}), traffic: new(traffic), journal: j, kill: make(chan struct{}), gone: make(chan struct{})}
	is := func(want string) {
		t.Helper()
		if s, err := l.do(control.Query, 1); err != nil || condition(s) != want {
			t.Errorf("it is %+v, %v, want %s", s, err, want)
		}
	}
	do := func(v control.Verb, fails bool) {
		t.Helper()
		if _, err := l.do(v, 1); (err != nil) != fails {
			t.Errorf("%s: %v", v, err)
		}
	}
	do(control.Freeze, false)
	is("frozen")
	box.err = errors.New("it will not")
	do(control.Thaw, true)
	if !l.frozen.Load() {
		t.Error("it is taken for thawed")
	}
	do(control.Freeze, true)
	if l.frozen.Load() {
		t.Error("it is taken for frozen")
	}
	box.err = nil
	do(control.Cut, false)
	is("cut")
	l.end()
	is("ending")
	for _, v := range []control.Verb{control.Freeze, control.Thaw, control.Cut, control.Restore, "dance"} {
		do(v, true)
	}
	do(control.Kill, false)
	do(control.Kill, false)
	select {
	case <-l.kill:
	default:
		t.Error("it is not killed")
	}
	data, err := os.ReadFile(j.Path())
	if want := 3; err != nil || strings.Count(string(data), "\n") != want {
		t.Errorf("want %d records, of changes only:\n%s%v", want, data, err)
	}
}
