package containers

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/mcpbox/mcpbox/sandbox"
)

// outcome runs a program to its end.
func (m *machine) outcome(t testing.TB, policy, stdin string, argv ...string) (stdout, stderr string, exit sandbox.Exit) {
	t.Helper()
	box, err := m.backend(t).Start(t.Context(), m.specOf(t, policy, argv...), nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, m.Log())
	}
	return finish(t, box, stdin)
}

// finish has a box read stdin, and reads it until it has ended.
func finish(t testing.TB, box sandbox.Box, stdin string) (stdout, stderr string, exit sandbox.Exit) {
	t.Helper()
	defer box.Kill()
	go func() {
		io.WriteString(box.Stdin(), stdin)
		box.Stdin().Close()
	}()
	errs := make(chan string)
	go func() {
		data, _ := io.ReadAll(box.Stderr())
		errs <- string(data)
	}()
	out, err := io.ReadAll(box.Stdout())
	if err != nil {
		t.Error(err)
	}
	stderr = <-errs
	if exit, err = box.Wait(); err != nil {
		t.Error(err)
	}
	return string(out), stderr, exit
}

// TestStreamsAndStatus: what goes in and comes out is the program's, byte for byte,
// and so is its exit status.
func TestStreamsAndStatus(t *testing.T) { each(t, testStreamsAndStatus) }

func testStreamsAndStatus(t *testing.T, m *machine) {
	large := strings.Repeat("0123456789abcde\n", 1<<16) // more than pipes hold
	out, errs, exit := m.outcome(t, "", large, "sh", "-c", "cat; echo err >&2; exit 7")
	if out != large || errs != "err\n" || exit.Code != 7 || exit.Signal != 0 {
		t.Errorf("%d bytes of %d, %q, %+v", len(out), len(large), errs, exit)
	}
	for _, code := range []int{0, 1, 125, 126, 127, 137, 255} {
		if _, _, exit := m.outcome(t, "", "", "sh", "-c", fmt.Sprintf("exit %d", code)); exit.Code != code || exit.Signal != 0 {
			t.Errorf("exit %d: %+v", code, exit)
		}
	}
	if _, _, exit := m.outcome(t, "", "", "sh", "-c", "kill -9 $$"); exit.Code != -1 || exit.Signal != syscall.SIGKILL {
		t.Errorf("kill -9: %+v", exit)
	}
	// A daemon that holds its stdout open ends with the program.
	out, _, exit = m.outcome(t, "", "", "sh", "-c", "setsid sleep 1000 & echo done")
	if out != "done\n" || exit.Code != 0 {
		t.Errorf("%q, %+v", out, exit)
	}
	if shims := m.Shims(); len(shims) > 0 {
		t.Errorf("shims are left: %v", shims)
	}
}

// TestNotExecuted: a program that is missing is told from one that cannot be run.
func TestNotExecuted(t *testing.T) { each(t, testNotExecuted) }

func testNotExecuted(t *testing.T, m *machine) {
	for _, c := range []struct {
		argv     string
		notFound bool
	}{{"missing", true}, {"/bin/missing", true}, {"/bin", false}, {"/etc/passwd", false}} {
		b := m.backend(t)
		_, err := b.Start(t.Context(), m.specOf(t, "", c.argv), nil)
		var exec *sandbox.ExecError
		if !errors.As(err, &exec) || exec.NotFound() != c.notFound || exec.Path != c.argv {
			t.Errorf("%s: %v", c.argv, err)
		}
		if _, err := os.Stat(filepath.Join(b.RunDir, "containerd.json")); err == nil {
			t.Errorf("%s: there is a record", c.argv)
		}
	}
	if shims := m.Shims(); len(shims) > 0 {
		t.Errorf("shims are left: %v", shims)
	}
}

// TestSignal: the program gets the signal that the launcher sends, and PID 1 none of
// those that the program sends.
func TestSignal(t *testing.T) { each(t, testSignal) }

func testSignal(t *testing.T, m *machine) {
	box, err := m.backend(t).Start(t.Context(), m.specOf(t, "", "sh", "-c", `trap "echo caught; exit 3" TERM
for s in TERM INT QUIT HUP KILL STOP SEGV ABRT USR1; do kill -$s 1; done
echo ready; while :; do sleep 0.01; done`), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer box.Kill()
	b := make([]byte, 6)
	if _, err := io.ReadFull(box.Stdout(), b); err != nil || string(b) != "ready\n" {
		t.Fatalf("%q, %v", b, err)
	}
	if err := box.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if out, _, exit := finish(t, box, ""); out != "caught\n" || exit.Code != 3 {
		t.Errorf("%q, %+v", out, exit)
	}
}

// TestInside: what a program finds that looks for a way to hold on to its launcher.
func TestInside(t *testing.T) { each(t, testInside) }

func testInside(t *testing.T, m *machine) {
	out, errs, _ := m.outcome(t, "", "", "sh", "-c", `
echo fifos: $(ls -A /run/mcpbox/in; ls -A /run/mcpbox/out) # with a name of one it could be held open
for fd in 3 4 5 6 7 8 9; do
	(echo x >/proc/1/fd/$fd) 2>/dev/null && echo "descriptor $fd of PID 1 can be written to"
	(timeout 1 head -c 1 /proc/1/fd/$fd >/dev/null) 2>/dev/null && echo "descriptor $fd of PID 1 can be read"
done
for d in / /run/mcpbox /run/mcpbox/in /run/mcpbox/out /etc /bin; do mkdir $d/x 2>/dev/null && echo $d is writable; done
touch /tmp/a $HOME/a /dev/shm/a && echo own places are writable
echo to stderr >/dev/stderr
`)
	if want := "fifos:\nown places are writable\n"; out != want || errs != "to stderr\n" {
		t.Errorf("stdout:\n%s\nwant:\n%s\nstderr:\n%s", out, want, errs)
	}
}
