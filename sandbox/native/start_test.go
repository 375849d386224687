package native

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func start(t *testing.T, spec *specs.Spec) (sandbox.Box, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	return new(Backend).Start(ctx, spec, nil)
}

func TestExecErrors(t *testing.T) {
	for _, c := range []struct {
		path     string
		notFound bool
	}{
		{"/usr/bin/no-such-program", true},
		{"no-such-program", true},
		{"/usr", false},
		{"/etc/hostname", false},
	} {
		_, err := start(t, testSpec(t, c.path))
		var exec *sandbox.ExecError
		if !errors.As(err, &exec) || exec.NotFound() != c.notFound {
			t.Errorf("%s: %v, want an ExecError with NotFound %v", c.path, err, c.notFound)
		}
	}
}

func TestExitStatus(t *testing.T) {
	for script, want := range map[string]sandbox.Exit{
		"exit 0":      {Code: 0},
		"exit 255":    {Code: 255},
		"kill -9 $$":  {Code: -1, Signal: syscall.SIGKILL},
		"kill -15 $$": {Code: -1, Signal: syscall.SIGTERM},
	} {
		box, err := start(t, testSpec(t, "/bin/sh", "-c", script))
		if err != nil {
			t.Fatal(err)
		}
		exit, err := box.Wait()
		if err != nil || exit.Code != want.Code || exit.Signal != want.Signal {
			t.Errorf("%s: %+v, %v, want %+v", script, exit, err, want)
		}
	}
}

// The first process of a box is watched from outside, by its start time, since
// its number may come to mean another one.
func gone(pid int) bool {
	err := unix.Kill(pid, 0)
	return err == unix.ESRCH
}

func TestKillEndsEverything(t *testing.T) {
	box, err := start(t, testSpec(t, "/bin/sh", "-c", `trap "" TERM INT HUP; (trap "" TERM; sleep 600)& echo up; sleep 600`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := box.Stdout().Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	if gone(box.PID()) {
		t.Fatal("PID 1 is gone before it was killed")
	}
	for range 3 {
		if err := box.Kill(); err != nil {
			t.Error(err)
		}
	}
	exit, err := box.Wait()
	if err != nil || exit.Signal != syscall.SIGKILL {
		t.Errorf("%+v, %v, want SIGKILL", exit, err)
	}
	if !gone(box.PID()) {
		t.Error("PID 1 is still there")
	}
	if err := box.Kill(); err != nil {
		t.Errorf("kill after the end: %v", err)
	}
}

func TestSignalReachesTheProgram(t *testing.T) {
	box, err := start(t, testSpec(t, "/bin/sh", "-c", `trap "exit 42" TERM; echo up; while :; do sleep 0.1; done`))
	if err != nil {
		t.Fatal(err)
	}
	defer box.Kill()
	if _, err := box.Stdout().Read(make([]byte, 3)); err != nil {
		t.Fatal(err)
	}
	if err := box.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if exit, err := box.Wait(); err != nil || exit.Code != 42 {
		t.Errorf("%+v, %v, want code 42", exit, err)
	}
}

func TestCancelledStart(t *testing.T) {
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("not wanted any more")
	cancel(why)
	box, err := new(Backend).Start(ctx, testSpec(t, "/bin/true"), nil)
	if !errors.Is(err, why) {
		t.Errorf("box %v, error %v, want %v", box, err, why)
	}
}

func TestPreforkIsUsedOrAbandoned(t *testing.T) {
	b := new(Backend)
	b.Prefork()
	e := <-b.embryo
	if e.err != nil {
		t.Fatal(e.err)
	}
	pid := e.box.pid
	b.embryo <- e
	b.Abandon()
	if !gone(pid) {
		t.Error("an abandoned stage 1 is still there")
	}
	b.Abandon()

	b.Prefork()
	e = <-b.embryo
	b.embryo <- e
	box, err := b.Start(context.Background(), testSpec(t, "/bin/true"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if box.PID() != e.box.pid {
		t.Errorf("PID %d was not the one that waited, %d", box.PID(), e.box.pid)
	}
	box.Wait()
}

// A source that is another file than the launcher saw is not mounted, nor is one
// with a link in it.
func TestSourceChanged(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "real")
	if err := os.Mkdir(real, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	spec := testSpec(t, "/bin/true")
	spec.Mounts = append(spec.Mounts, specs.Mount{
		Destination: "/data", Source: filepath.Join(dir, "link"), Type: "bind", Options: []string{"rbind", "rro", "nosuid", "nodev"},
	})
	if _, err := start(t, spec); err == nil {
		t.Error("a link was followed")
	}
	spec.Mounts[len(spec.Mounts)-1].Source = real
	box, err := start(t, spec)
	if err != nil {
		t.Fatalf("control: %v", err)
	}
	box.Wait()
}

// The stage that becomes the program starts while the mounts are made, but goes
// nowhere before its root directory is the box's: not with so many mounts either
// that it could have gone everywhere meanwhile.
func TestProgramWaitsForItsRoot(t *testing.T) {
	name := "mcpbox-test-" + rand.Text()
	spec := testSpec(t, "/bin/sh", "-c", "echo written > "+name+"; cat /tmp/"+name)
	for i := range 3000 {
		spec.Mounts = append(spec.Mounts, specs.Mount{Destination: fmt.Sprintf("/many/%d", i), Source: "/tmp", Type: "symlink"})
	}
	out, stderr, code := run(t, spec)
	if err := os.Remove(filepath.Join("/tmp", name)); err == nil {
		t.Error("its working directory was the host's /tmp")
	}
	if code != 0 || out != "written\n" { // the control
		t.Errorf("%q, %q, code %d", out, stderr, code)
	}
}

func TestInitFileIsSealed(t *testing.T) {
	f, err := initFile()
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.Write([]byte{0}); err == nil {
		t.Error("written through the descriptor that is handed out")
	}
	w, err := os.OpenFile("/proc/self/fd/"+strconv.Itoa(int(f.Fd())), os.O_RDWR, 0)
	if err == nil {
		_, err = w.Write([]byte{0})
		w.Close()
	}
	if !errors.Is(err, unix.EPERM) {
		t.Errorf("a write to the file: %v, want EPERM", err)
	}
}
