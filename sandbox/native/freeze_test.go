package native

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/internal/proc"
	"golang.org/x/sys/unix"
)

// ticker is a running server that keeps printing.
type ticker struct {
	sandbox.Box
	t     *testing.T
	lines chan string
}

func startTicker(t *testing.T, script string) *ticker {
	t.Helper()
	box, err := start(t, testSpec(t, "/bin/sh", "-c", script))
	if err != nil {
		t.Fatal(err)
	}
	r := &ticker{box, t, make(chan string, 1<<16)}
	go func() {
		defer close(r.lines)
		for s := bufio.NewScanner(box.Stdout()); s.Scan(); {
			r.lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		box.Kill()
		box.Wait()
	})
	r.next()
	return r
}

func (r *ticker) next() string {
	r.t.Helper()
	select {
	case line, ok := <-r.lines:
		if !ok {
			r.t.Fatal("the server has ended")
		}
		return line
	case <-time.After(time.Minute):
		r.t.Fatal("the server says nothing")
	}
	return ""
}

// still fails the test if the server says anything once all is read that it said
// before: more than fits into the pipe.
func (r *ticker) still() {
	r.t.Helper()
	for said := 0; ; said++ {
		select {
		case <-r.lines:
		case <-time.After(200 * time.Millisecond):
			return
		}
		if said > 2*cap(r.lines) {
			r.t.Fatal("a frozen server goes on")
		}
	}
}

// load is how many processes the server has and what they have used. That of the box
// as a whole has PID 1 in it, which goes on.
func (r *ticker) load() (l sandbox.Load) {
	r.t.Helper()
	list, err := r.Box.(*box).members()
	if err != nil {
		r.t.Fatal(err)
	}
	for _, pid := range list {
		if s, err := proc.ReadStat(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
			l.Processes++
			l.CPU += s.CPU + s.Waited
		}
	}
	return l
}

const (
	ticking = `while :; do echo tick; done`
	forking = `while :; do /bin/true; (sleep 0.01; echo tick) & done`
	crowd   = `for i in 1 2 3 4 5 6 7 8; do (while :; do (echo tick); done) & done; wait`
)

func TestFreeze(t *testing.T) {
	for name, script := range map[string]string{"one process": ticking, "forks": forking, "a crowd that forks": crowd} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := startTicker(t, script)
			for range 3 {
				if err := errors.Join(r.Freeze(), r.Freeze()); err != nil {
					t.Fatal(err)
				}
				r.still() // the last moments are accounted for by now
				before := r.load()
				if before.Processes == 0 {
					t.Fatalf("%+v", before)
				}
				r.still()
				if after := r.load(); after != before {
					t.Errorf("while frozen %+v became %+v", before, after)
				}
				if err := errors.Join(r.Thaw(), r.Thaw()); err != nil {
					t.Fatal(err)
				}
				r.next()
			}
		})
	}
}

// Nothing of a frozen box stays when it is killed.
func TestKillFrozen(t *testing.T) {
	r := startTicker(t, crowd)
	if err := r.Freeze(); err != nil {
		t.Fatal(err)
	}
	list, err := r.Box.(*box).members()
	if err != nil || len(list) < 2 {
		t.Fatalf("processes %v, %v", list, err)
	}
	if err := r.Kill(); err != nil {
		t.Fatal(err)
	}
	exit, err := r.Wait()
	if err != nil || exit.Signal != syscall.SIGKILL {
		t.Errorf("%+v, %v, want SIGKILL", exit, err)
	}
	for _, pid := range list {
		if !gone(pid) {
			t.Errorf("process %d is still there", pid)
		}
	}
}

// Of a box that has ended, and of one that ends meanwhile, there is an error and
// no process of somebody else's is touched.
func TestFreezeEnded(t *testing.T) {
	box, err := start(t, testSpec(t, "/bin/true"))
	if err != nil {
		t.Fatal(err)
	}
	box.Wait()
	_, usage := box.Usage()
	for _, err := range []error{box.Freeze(), box.Thaw(), usage} {
		if !errors.Is(err, os.ErrProcessDone) {
			t.Errorf("error %v, want %v", err, os.ErrProcessDone)
		}
	}

	for range 5 {
		r := startTicker(t, crowd)
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for {
					if errors.Is(r.Freeze(), os.ErrProcessDone) || errors.Is(r.Thaw(), os.ErrProcessDone) {
						return
					}
				}
			})
		}
		time.Sleep(20 * time.Millisecond)
		r.Kill()
		wg.Wait()
	}
}

// Processes that wake each other cannot be stopped this way. Then that is said,
// in time, and they are left as they were: running, or, if the stop came to be
// nevertheless, stopped.
func TestFreezeWakers(t *testing.T) {
	r := startTicker(t, `for i in 1 2 3 4; do (trap "" TERM; while :; do kill -CONT -1; done) & done; while :; do echo tick; done`)
	began := time.Now()
	err := r.Freeze()
	if took := time.Since(began); took > freezeTimeout+30*time.Second {
		t.Errorf("that took %v", took)
	}
	switch {
	case err == nil:
		r.still()
	case errors.Is(err, errAwake):
		for range 1000 {
			r.next()
		}
	default:
		t.Error(err)
	}
}

func TestUsage(t *testing.T) {
	r := startTicker(t, `sleep 600 & sleep 600 & x=$(seq 3000000); echo up; i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; echo spun; sleep 600`)
	first, err := r.Usage()
	if err != nil || first.Processes < 3 {
		t.Errorf("%+v, %v, want three processes", first, err)
	}
	if first.Memory < 20000000 {
		t.Errorf("memory %d, of a shell that holds 22 MB", first.Memory)
	}
	r.next()
	if last, err := r.Usage(); err != nil || last.CPU-first.CPU < 30*time.Millisecond {
		t.Errorf("processor time went from %v to %v, %v", first.CPU, last.CPU, err)
	}
	// Two shells share what they have not changed.
	other := startTicker(t, `echo up; sleep 600`)
	if load, err := other.Usage(); err != nil || load.Processes > 2 || load.Memory == 0 || load.Memory > 10<<20 {
		t.Errorf("another box: %+v, %v", load, err)
	}
}

// The processor time of children that have ended is not lost, whoever waited for
// them.
func TestUsageOfTheEnded(t *testing.T) {
	const spin = `i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done`
	r := startTicker(t, `sh -c '`+spin+`'; sh -c '(`+spin+`) &'; sleep 1; echo up; sleep 600`)
	if load, err := r.Usage(); err != nil || load.CPU < 60*time.Millisecond {
		t.Errorf("%+v, %v", load, err)
	}
}

// The processes of two boxes, and the host's, are told apart.
func TestMembers(t *testing.T) {
	a, b := startTicker(t, "echo up; sleep 600 & sleep 600"), startTicker(t, "echo up; sleep 600")
	seen := map[int]bool{os.Getpid(): true}
	for _, r := range []*ticker{a, b} {
		list, err := r.Box.(*box).members()
		if err != nil || len(list) == 0 {
			t.Fatalf("%v, %v", list, err)
		}
		for _, pid := range append(list, r.PID()) {
			if seen[pid] {
				t.Errorf("process %d is in two boxes", pid)
			}
			seen[pid] = true
			if _, err := os.Stat(filepath.Join("/proc", fmt.Sprint(pid))); err != nil {
				t.Error(err)
			}
		}
	}
	// The number of its namespace is no other's, also when it has ended.
	if held := a.Box.(*box).held; held == nil {
		t.Error("its namespace is not held")
	} else if at, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", held.Fd())); err != nil || at != a.Box.(*box).ns {
		t.Errorf("held is %s, %v, of %s", at, err, a.Box.(*box).ns)
	}
	// A number that another process has by now.
	if err := proc.Signal(os.Getpid(), unix.SIGSTOP, a.Box.(*box).has); err != nil {
		t.Error(err)
	}
	if err := proc.Signal(b.PID(), unix.SIGKILL, a.Box.(*box).has); err != nil || gone(b.PID()) {
		t.Errorf("another box was hit, %v", err)
	}
}

// A process that waits is not stopped: it would go on by itself.
func TestStopped(t *testing.T) {
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	await := func(state byte) {
		t.Helper()
		for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
			s, err := proc.ReadStat(fmt.Sprintf("/proc/%d/stat", cmd.Process.Pid))
			if err == nil && s.State == state {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("its state is %c, %v; want %c", s.State, err, state)
			}
		}
	}
	if await('S'); proc.Stopped(cmd.Process.Pid) {
		t.Error("it sleeps, and counts as stopped")
	}
	if err := cmd.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if await('T'); !proc.Stopped(cmd.Process.Pid) {
		t.Error("it is stopped, and does not count as that")
	}
}
