package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// command is mcpbox with these arguments, for the user of the run.
func (l *launched) command(args ...string) *exec.Cmd {
	cmd := exec.Command("mcpbox", args...)
	cmd.Env, cmd.Dir = l.cmd.Env, l.cmd.Dir
	return cmd
}

// A box may have as many files as its file systems hold. Whoever does not want to
// wait for the end of it interrupts, and then the server goes on and nothing is
// left.
func TestSnapshotOfManyFiles(t *testing.T) {
	const files = 60_000
	l := launch(t, "--", "sh", "-c", "cd /tmp; seq 60000 | xargs touch; echo ready; read line; echo goes on; read line")
	if line := l.line(); line != "ready" {
		t.Fatal(line)
	}
	snapshots := filepath.Join(l.state, "mcpbox/snapshots")
	interrupted := l.command("snapshot", "test")
	if err := interrupted.Start(); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(deadline); ; time.Sleep(time.Millisecond) {
		if some, _ := filepath.Glob(snapshots + "/*/tree/tmp/1*"); len(some) > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("nothing is copied")
		}
	}
	interrupted.Process.Signal(syscall.SIGINT)
	if err := interrupted.Wait(); err == nil {
		t.Error("it was not interrupted")
	}
	if left, err := os.ReadDir(snapshots); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
	l.in.WriteString("\n")
	if line := l.line(); line != "goes on" {
		t.Error(line)
	}

	began := time.Now()
	out, err := l.command("snapshot", "test").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d files took %v", files, time.Since(began))
	index, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(out)), "tree.jsonl"))
	if n := bytes.Count(index, []byte(`"type":"file"`)); err != nil || n != files {
		t.Errorf("%d files, %v", n, err)
	}
}

// Without its launcher's word there is no snapshot, and one learns what helps.
func TestSnapshotOfHungLauncher(t *testing.T) {
	l := launch(t, "--", "sh", "-c", "echo ready; read line")
	l.line()
	l.cmd.Process.Signal(syscall.SIGSTOP)
	defer l.cmd.Process.Signal(syscall.SIGCONT)
	out, err := l.command("snapshot", "test").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "its launcher does not answer; to end it, type: mcpbox kill ") {
		t.Errorf("%s, %v", out, err)
	}
	if left, err := filepath.Glob(filepath.Join(l.state, "mcpbox/snapshots/*")); err != nil || len(left) > 0 {
		t.Errorf("left: %v, %v", left, err)
	}
}
