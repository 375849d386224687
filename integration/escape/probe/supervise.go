package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mcpbox/mcpbox/integration/escape"
)

// deadline is how long one attack may take. Most take milliseconds; on an emulated
// machine that is busy besides, some take half a minute.
const deadline = 90 * time.Second

// supervise tries the attacks named by ids, or all, each in a process of its
// own, and writes the results to the file out. It tells the harness, by
// creating the file "ready" beside out, that the box is up, and waits for the
// answer "go" there: what the host makes after that is late for the box.
func supervise(scenario, out string, ids []string) (err error) {
	f, err := os.OpenFile(out, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	around, err := json.Marshal(facts())
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(filepath.Dir(out), "facts"), around, 0o644); err != nil {
		return err
	}
	if err := rendezvous(filepath.Dir(out)); err != nil {
		return err
	}
	enc := json.NewEncoder(f)
	if len(ids) == 0 {
		for _, a := range attacks() {
			ids = append(ids, a.id)
		}
	}
	for _, id := range ids {
		if err := enc.Encode(attempt(scenario, id)); err != nil {
			return err
		}
	}
	return nil
}

// rendezvous says that the box is up and waits for the host to have seen it.
func rendezvous(dir string) error {
	ready, err := os.OpenFile(filepath.Join(dir, "ready"), os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if err := ready.Close(); err != nil {
		return err
	}
	for range 6000 {
		if _, err := os.Lstat(filepath.Join(dir, "go")); err == nil {
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("the host did not answer in %s", dir)
}

// attempt runs one attack in a process group of its own and ends what is left
// of the group.
func attempt(scenario, id string) escape.Result {
	ctx, cancel := context.WithTimeout(context.Background(), deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "attack", scenario, id)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	// A grandchild that holds the pipe must not hold the run.
	cmd.WaitDelay = 2 * time.Second
	cmd.Stdin = os.Stdin // its kind matters
	var stderr strings.Builder
	cmd.Stderr = &stderr
	stdout, err := output(cmd)
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
	}
	if ctx.Err() != nil {
		return escape.Result{ID: id, Ret: -1, Error: "timeout"}
	}
	var r escape.Result
	if json.Unmarshal(stdout, &r) == nil && r.ID == id {
		return r
	}
	r = escape.Result{ID: id, Ret: -1, Error: "crash", Detail: fmt.Sprintf("%v: %.200s", err, stderr.String())}
	if cmd.ProcessState != nil {
		if ws := cmd.ProcessState.Sys().(syscall.WaitStatus); ws.Signaled() {
			r.Error = signalled(ws.Signal()).Error()
		}
	}
	return r
}

// output is [exec.Cmd.Output] for a command whose Stderr is set.
func output(cmd *exec.Cmd) ([]byte, error) {
	var b strings.Builder
	cmd.Stdout = io.Writer(&b)
	err := cmd.Run()
	return []byte(b.String()), err
}
