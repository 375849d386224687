// Package netns gives a test program a network and files of its own, so that
// what it tests can reach nothing else, whatever its faults.
//
// A test program calls [Inside] first and, in the copy of itself that this starts,
// makes its network with [IP] and its files with [Furnish].
package netns

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Rerun runs this program again, with the same arguments and env added to its
// environment, in a new network and a new mount namespace, and returns its exit
// status. Root stays root; anybody else stays who they are, in a user namespace
// where they have the capabilities that networks and mounts ask for. The network
// has a loopback interface, which is down, and nothing more. The copy is killed
// when this program ends. An error is that this machine allows no namespaces.
func Rerun(env ...string) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
	}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{
			unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_NET_BIND_SERVICE,
		}
	}
	runtime.LockOSThread() // with whose end the child would be killed
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("network namespaces: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		if exit := new(exec.ExitError); !errors.As(err, &exit) {
			return 0, err
		}
	}
	return max(cmd.ProcessState.ExitCode(), -1) & 0xff, nil
}

// IP has ip(8) carry out lines, such as "link set lo up", in the calling
// thread's network namespace. It stops at the first that fails.
func IP(lines string) error {
	program := "ip"
	for _, dir := range []string{"/usr/sbin", "/sbin"} { // not on an ordinary user's PATH
		if path := filepath.Join(dir, "ip"); unix.Access(path, unix.X_OK) == nil {
			program = path
			break
		}
	}
	cmd := exec.Command(program, "-batch", "-")
	cmd.Stdin = strings.NewReader(lines)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip: %w: %s", err, out)
	}
	return nil
}

// Furnish puts files of these texts, which it makes in dir, in the places of
// others, in this mount namespace only, and hides the daemon that would answer
// questions for names instead of them. undo takes the files away again; it may
// be called once, also after an error.
func Furnish(dir string, texts map[string]string) (undo func() error, err error) {
	var covered []string
	undo = func() error {
		var errs []error
		for _, at := range covered {
			errs = append(errs, unix.Unmount(at, unix.MNT_DETACH))
		}
		return errors.Join(errs...)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return undo, fmt.Errorf("mounts: %w", err)
	}
	for path, text := range texts {
		own := filepath.Join(dir, filepath.Base(path))
		if err := os.WriteFile(own, []byte(text), 0o644); err != nil {
			return undo, err
		}
		at, err := filepath.EvalSymlinks(path)
		if err != nil {
			return undo, fmt.Errorf("%w; this machine resolves no names", err)
		}
		if err := unix.Mount(own, at, "", unix.MS_BIND, ""); err != nil {
			return undo, fmt.Errorf("mount %s: %w", at, err)
		}
		covered = append(covered, at)
	}
	err = unix.Mount("tmpfs", "/run/nscd", "tmpfs", 0, "")
	if errors.Is(err, unix.ENOENT) {
		return undo, nil
	}
	if err != nil {
		return undo, fmt.Errorf("hide nscd: %w", err)
	}
	covered = append(covered, "/run/nscd")
	return undo, nil
}
