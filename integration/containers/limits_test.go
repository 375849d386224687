package containers

import (
	"errors"
	"io"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/sandbox"
)

// run starts a box without a network.
func (m *machine) run(t testing.TB, policy string, argv ...string) sandbox.Box {
	t.Helper()
	box, err := m.backend(t).Start(t.Context(), m.specOf(t, policy, argv...), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, m.Log())
	}
	t.Cleanup(func() { box.Kill(); box.Wait() })
	return box
}

// TestMemory: a box that takes more than its limit is killed as a whole, and that is
// known to be the reason. One that takes less goes on.
func TestMemory(t *testing.T) { each(t, testMemory) }

func testMemory(t *testing.T, m *machine) {
	const policy = `limits.memory = "64MiB"` + "\n" + `limits.tmp = "256MiB"`
	if _, _, exit := m.outcome(t, policy, "", "dd", "if=/dev/zero", "of=/tmp/x", "bs=1M", "count=24"); exit.Code != 0 || exit.Exceeded != nil || exit.Memory.Limit != 64<<20 {
		t.Errorf("below the limit: %+v", exit)
	}
	box := m.run(t, policy, "sh", "-c", "setsid sleep 1000 & dd if=/dev/zero of=/tmp/x bs=1M count=200; echo survived; sleep 1000")
	out, _ := io.ReadAll(box.Stdout())
	exit, err := box.Wait()
	if err != nil || exit.Exceeded == nil || exit.Exceeded.Limit != "memory" || exit.Exceeded.Allowed != 64<<20 || exit.Memory.Peak < 60<<20 {
		t.Errorf("above: %+v, %v, %q", exit, err, out)
	}
}

// TestProcesses: a fork bomb gets as many processes as the policy says, and no
// more; they are those that the box lists. With gVisor they are its own as well, of
// which there are some hundred.
func TestProcesses(t *testing.T) { each(t, testProcesses) }

func testProcesses(t *testing.T, m *machine) {
	box := m.run(t, `limits.pids = 16`, "sh", "-c", `(for i in $(seq 1000); do sleep 1000 & done); echo over; read x`)
	// A shell that cannot fork ends.
	if _, err := io.ReadFull(box.Stdout(), make([]byte, len("over\n"))); err != nil {
		if m.runtime == "runsc" && errors.Is(err, io.EOF) {
			return // gVisor itself ends where it can start no thread
		}
		t.Fatal(err)
	}
	list, err := box.Processes()
	if err != nil || len(list) < 10 || len(list) > 16+16 && m.runtime != "runsc" {
		t.Errorf("%d processes, %v", len(list), err)
	}
	if m.runtime == "runsc" && len(list) > 300 {
		t.Errorf("%d processes", len(list))
	}
	for _, pid := range list {
		if pid == box.PID() {
			t.Error("PID 1 is among them")
		}
	}
	load, err := box.Usage()
	if err != nil || load.Processes != len(list) || load.Memory <= 0 || load.CPU <= 0 {
		t.Errorf("%+v, %v", load, err)
	}
	box.Kill()
	box.Wait()
	if _, err := box.Usage(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("afterwards: %v", err)
	}
	if _, err := box.Processes(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("afterwards: %v", err)
	}
	if err := box.Freeze(); !errors.Is(err, os.ErrProcessDone) {
		t.Errorf("afterwards: %v", err)
	}
	if err := box.Kill(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// counter is a program that counts, and what it has counted by now.
func counter(t *testing.T, m *machine) (sandbox.Box, func() int) {
	t.Helper()
	box := m.run(t, "", "sh", "-c", `i=0; while :; do i=$((i+1)); echo $i; done`)
	lines := make(chan string, 1)
	go func() {
		defer close(lines)
		b := make([]byte, 1<<16)
		last := ""
		for {
			n, err := box.Stdout().Read(b)
			if err != nil {
				return
			}
			parts := strings.Split(last+string(b[:n]), "\n")
			last = parts[len(parts)-1]
			if len(parts) > 1 {
				select {
				case <-lines:
				default:
				}
				lines <- parts[len(parts)-2]
			}
		}
	}()
	seen := 0
	return box, func() int {
		select {
		case line, ok := <-lines:
			if n, err := strconv.Atoi(line); ok && err == nil {
				seen = n
			}
		case <-time.After(200 * time.Millisecond):
		}
		return seen
	}
}

// TestFreeze: a frozen box executes nothing, a thawed one goes on, and a frozen one
// can be killed, also when containerd is not there.
func TestFreeze(t *testing.T) { each(t, testFreeze) }

func testFreeze(t *testing.T, m *machine) {
	box, count := counter(t, m)
	await(t, "it counts", func() bool { return count() > 100 })
	for range 2 {
		if err := box.Freeze(); err != nil {
			t.Fatal(err)
		}
	}
	for before := -1; before != count(); { // what was in the pipe
		before = count()
	}
	stood, _ := box.Usage()
	seen := count()
	time.Sleep(300 * time.Millisecond)
	if later, err := box.Usage(); err != nil || later.CPU > stood.CPU+20*time.Millisecond || count() != seen {
		t.Errorf("it goes on: %+v, then %+v, %v", stood, later, err)
	}
	for range 2 {
		if err := box.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
	await(t, "it counts again", func() bool { return count() > seen })
	for _, down := range []bool{false, true} {
		if down {
			box, count = counter(t, m)
			await(t, "the next counts", func() bool { return count() > 100 })
		}
		if err := box.Freeze(); err != nil {
			t.Fatal(err)
		}
		if down {
			if err := m.Kill(); err != nil {
				t.Fatal(err)
			}
		}
		if err := box.Kill(); err != nil {
			t.Fatal(err)
		}
		await(t, "it ends", func() bool { return !lives(box.PID()) })
		if down {
			if err := m.Run(); err != nil {
				t.Fatal(err)
			}
		}
		if exit, err := box.Wait(); err != nil || exit.Signal != syscall.SIGKILL {
			t.Errorf("%+v, %v", exit, err)
		}
	}
}
