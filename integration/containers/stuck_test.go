package containers

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/integration/hung"
	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/containerd"
)

// seconds bounds what has to be over within seconds, on a machine that may be busy.
const seconds = 20 * time.Second

// TestStuck: a box with a process that waits for a file system which hangs cannot be
// ended by anybody. Its launcher ends all the same, and says so; so do those who come to
// clean up. Nobody else is killed in its place. When the file system lets go, nothing is
// left.
func TestStuck(t *testing.T) { each(t, testStuck) }

func testStuck(t *testing.T, m *machine) {
	for way, end := range map[string]func(sandbox.Box) error{
		"killed":          sandbox.Box.Kill,
		"ended by itself": func(b sandbox.Box) error { return b.Stdin().Close() },
	} {
		// In gVisor the first is its kernel's to read, and the second its helper's to find.
		for _, file := range []string{"file", "lost"} {
			t.Run(way+" at "+file, func(t *testing.T) { m.stuck(t, file, way != "killed", end) })
		}
	}
}

func (m *machine) stuck(t *testing.T, file string, byItself bool, end func(sandbox.Box) error) {
	bystander := exec.Command("sleep", "1000")
	if err := bystander.Start(); err != nil {
		t.Fatal(err)
	}
	defer bystander.Wait()
	defer bystander.Process.Kill()
	dir := t.TempDir()
	fs := hung.Mount(t, 0, dir)
	b := m.backend(t)
	spec := m.specOf(t, `files.read = ["`+dir+`"]`, "sh", "-c", "setsid cat "+dir+"/"+file+" & read x; exit 7")
	box, err := b.Start(t.Context(), spec, nil)
	if err != nil {
		t.Fatalf("%v\n%s", err, m.Log())
	}
	await(t, "a hung process", fs.Hung)
	list, err := box.Processes()
	if err != nil {
		t.Fatal(err)
	}
	list = append(list, box.PID()) // which is gVisor's kernel
	began := time.Now()
	if err := end(box); err != nil {
		t.Error(err)
	}
	exit, err := box.Wait()
	t.Logf("ended within %v: %+v", time.Since(began).Round(time.Millisecond), exit)
	if took := time.Since(began); err != nil || took > seconds {
		t.Errorf("it took %v, %v", took, err)
	}
	if len(exit.Stuck) == 0 || m.runtime == "runc" && len(exit.Stuck) != 1 {
		t.Errorf("stuck are %v of %v", exit.Stuck, list)
	}
	if byItself && exit.Code != 7 {
		t.Errorf("%+v", exit)
	}
	for _, pid := range exit.Stuck {
		if !slices.Contains(list, pid) {
			t.Errorf("%d is not one of %v", pid, list)
		}
	}
	if !slices.ContainsFunc(exit.Stuck, waits) { // the control
		t.Errorf("of %v there is none that nobody can end", exit.Stuck)
	}
	if !lives(bystander.Process.Pid) {
		t.Error("a process of the host was killed")
	}
	began = time.Now()
	err = containerd.Reap(t.Context(), b.RunDir)
	t.Logf("reaped within %v: %v", time.Since(began).Round(time.Millisecond), err)
	if took := time.Since(began); took > seconds || err == nil || !strings.Contains(err.Error(), "waiting in the kernel") {
		t.Errorf("reaped within %v: %v", took, err)
	}
	fs.End()
	await(t, "nothing is left", func() bool {
		return containerd.Reap(t.Context(), b.RunDir) == nil && len(m.left(t, launched{All: list, Cgroups: box.Cgroups()})) == 0
	})
	if _, err := os.Stat(filepath.Join(b.RunDir, containerd.RecordName)); err == nil {
		t.Error("the record is left")
	}
}

// waits reports whether a thread of a process waits in the kernel (state D of
// proc_pid_stat(5)).
func waits(pid int) bool {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	return err == nil && slices.ContainsFunc(files, func(file string) bool {
		stat, err := os.ReadFile(file)
		return err == nil && strings.HasPrefix(string(stat[bytes.LastIndexByte(stat, ')')+1:]), " D")
	})
}
