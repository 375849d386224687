package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
)

// advice switches off, one after the other, what administrators switch off. Each
// time mcpbox has to refuse to run anything, with a line to type. Root types it,
// and then mcpbox has to run.
func advice(mcpbox string) error {
	for _, sysctl := range []string{"kernel.unprivileged_userns_clone", "user.max_user_namespaces"} {
		if err := set(sysctl, "0"); err != nil {
			return err
		}
		said, err := asUser(mcpbox, "run", "--", "/bin/true")
		fmt.Printf("%s=0: %s", sysctl, said)
		if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 125 || !strings.Contains(said, sysctl+"=0") {
			return fmt.Errorf("%s=0: %w", sysctl, err)
		}
		line := regexp.MustCompile(`type: (.*)`).FindStringSubmatch(said)
		if line == nil {
			return fmt.Errorf("%s=0: nothing to type", sysctl)
		}
		if out, err := exec.Command("/bin/sh", "-ec", strings.ReplaceAll(line[1], "sudo ", "")).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", line[1], err, out)
		}
		if said, err := asUser(mcpbox, "run", "--", "/bin/true"); err != nil || said != "" {
			return fmt.Errorf("after %q: %w: %s", line[1], err, said)
		}
	}
	return nil
}

// memfd forbids executing memory files, which mcpbox has to cope with.
func memfd(mcpbox string) error {
	if err := set("vm.memfd_noexec", "2"); err != nil {
		return err
	}
	defer func() { _ = set("vm.memfd_noexec", "0") }()
	said, err := asUser(mcpbox, "run", "--", "/bin/true")
	if err != nil || said != "" {
		return fmt.Errorf("vm.memfd_noexec=2: %w: %s", err, said)
	}
	if said, err = asUser(mcpbox, "doctor"); err != nil || !strings.Contains(said, "vm.memfd_noexec forbids") {
		return fmt.Errorf("vm.memfd_noexec=2: %w: %s", err, said)
	}
	fmt.Println("vm.memfd_noexec=2: boxes start nevertheless")
	return nil
}

func set(sysctl, value string) error {
	return os.WriteFile("/proc/sys/"+strings.ReplaceAll(sysctl, ".", "/"), []byte(value), 0)
}

// asUser runs a program as the user, and returns all it says.
func asUser(args ...string) (string, error) {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = "/home/user"
	cmd.Env = []string{"HOME=/home/user", "PATH=/usr/bin:/bin"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 1000, Gid: 1000}}
	out, err := cmd.CombinedOutput()
	return string(out), err
}
