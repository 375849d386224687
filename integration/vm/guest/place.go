package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/mcpbox/mcpbox/integration/vm/step"
	"golang.org/x/sys/unix"
)

// place checks that this process is where it is meant to be, and that this place
// has what limits need. It prints what it sees.
func place(name string) error {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	group, ok := strings.CutPrefix(strings.TrimSpace(string(b)), "0::")
	if !ok {
		return fmt.Errorf("more than one hierarchy of control groups: %q", b)
	}
	fmt.Println("user", os.Getuid(), "in", group)
	switch step.Place(name) {
	case step.Session:
		if !strings.HasPrefix(group, "/user.slice/user-1000.slice/session-") {
			return errors.New("this is no login session")
		}
		return scope()
	case step.Manager:
		if !strings.HasPrefix(group, "/user.slice/user-1000.slice/user@1000.service/app.slice/") {
			return errors.New("this is no service of the user's")
		}
		return scope()
	case step.Delegated:
		if _, err := os.Stat(filepath.Join(os.Getenv("XDG_RUNTIME_DIR"), "systemd")); err == nil {
			return errors.New("a systemd is in sight")
		}
		return subtree(filepath.Dir(filepath.Join("/sys/fs/cgroup", group)))
	}
	return fmt.Errorf("no place is called %q", name)
}

// scope asks the user's systemd for a scope with limits, and looks for them where
// the kernel has them.
func scope() error {
	out, err := exec.Command("systemd-run", "--user", "--scope", "--quiet",
		"--property=MemoryMax=64M", "--property=MemorySwapMax=0", "--property=TasksMax=17", "--property=CPUQuota=50%",
		"/bin/sh", "-c", `cd /sys/fs/cgroup"$(cut -d: -f3 /proc/self/cgroup)" && cat memory.max memory.swap.max pids.max cpu.max`).CombinedOutput()
	if got := strings.Fields(string(out)); err != nil || strings.Join(got, " ") != "67108864 0 17 50000 100000" {
		return fmt.Errorf("a scope with limits: %w: %s", err, out)
	}
	fmt.Println("limits of a scope are in force")
	return nil
}

// delegated runs a command in a control group below the one that has been delegated
// to this process, which gives its controllers away: as programs do that manage
// groups of their own, such as terminals and container engines. The user's systemd
// is out of sight, so that nothing better is to be had.
func delegated(args []string) error {
	b, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return err
	}
	top := filepath.Join("/sys/fs/cgroup", strings.TrimPrefix(strings.TrimSpace(string(b)), "0::"))
	in := filepath.Join(top, "in")
	// A group with processes cannot give controllers away.
	if err := errors.Join(os.Mkdir(in, 0o755), write(in, "cgroup.procs", "0"),
		write(top, "cgroup.subtree_control", "+memory +pids +cpu")); err != nil {
		return err
	}
	run, err := os.MkdirTemp("", "run-")
	if err != nil {
		return err
	}
	if err := os.Setenv("XDG_RUNTIME_DIR", run); err != nil {
		return err
	}
	return unix.Exec(args[0], args, os.Environ())
}

// subtree makes a control group with limits below top, next to this one.
func subtree(top string) error {
	below := filepath.Join(top, "below")
	if err := errors.Join(os.Mkdir(below, 0o755),
		write(below, "memory.max", "67108864"), write(below, "pids.max", "17"), write(below, "cpu.max", "50000 100000")); err != nil {
		return err
	}
	cmd := exec.Command("/bin/sh", "-c", "echo $$ >$0/cgroup.procs && exec sleep 1000", below)
	if err := cmd.Start(); err != nil {
		return err
	}
	for !populated(below) {
	}
	if err := write(below, "cgroup.kill", "1"); err != nil {
		return err
	}
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != -1 {
		return fmt.Errorf("cgroup.kill: %w", err)
	}
	fmt.Println("a delegated group takes limits, and can be killed")
	return nil
}

func write(group, file, text string) error {
	return os.WriteFile(filepath.Join(group, file), []byte(text), 0)
}

func populated(group string) bool {
	b, _ := os.ReadFile(filepath.Join(group, "cgroup.procs"))
	return len(b) > 0
}
