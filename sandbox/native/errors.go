package native

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"golang.org/x/sys/unix"
)

// cloneError explains why the namespaces could not be made.
func cloneError(err error) error {
	if errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.ENOMEM) {
		return fmt.Errorf("start a box: %w; see ulimit -a", err) // nothing is wrong with the kernel
	}
	if errors.Is(err, unix.ENOSPC) {
		return noNamespaceLeft(err)
	}
	e := &sandbox.UnsupportedError{Feature: "namespaces", Reason: "the kernel refused to make them: " + err.Error(), Err: err}
	if reason, fix := userNamespaceObstacle(); reason != "" {
		e.Reason, e.Fix = reason, fix
	} else if inContainer() {
		e.Fix = containerFix
	}
	return e
}

// noNamespaceLeft explains ENOSPC from clone(2).
func noNamespaceLeft(err error) error {
	e := &sandbox.UnsupportedError{Feature: "namespaces", Err: err}
	if e.Reason, e.Fix = userNamespaceObstacle(); e.Reason != "" {
		return e
	}
	e.Reason = "no more of them may be made here (one of user.max_*_namespaces is reached, as it is inside another box)"
	e.Fix = "to see which, type: sysctl -a -r 'user.max_.*_namespaces'"
	return e
}

const containerFix = "this looks like a container: start it with `--security-opt seccomp=unconfined --security-opt apparmor=unconfined " +
	"--security-opt systempaths=unconfined`, or run mcpbox on its host"

// userNamespaceObstacle looks for the settings that are known to keep ordinary
// users from making user namespaces.
func userNamespaceObstacle() (reason, fix string) {
	switch {
	case sysctlIs("kernel/unprivileged_userns_clone", "0"):
		return "unprivileged user namespaces are switched off (kernel.unprivileged_userns_clone=0)",
			"type: echo kernel.unprivileged_userns_clone=1 | sudo tee /etc/sysctl.d/60-mcpbox.conf && sudo sysctl --system"
	case sysctlIs("user/max_user_namespaces", "0"):
		return "user namespaces are switched off (user.max_user_namespaces=0)",
			"type: echo user.max_user_namespaces=15000 | sudo tee /etc/sysctl.d/60-mcpbox.conf && sudo sysctl --system"
	case sysctlIs("kernel/apparmor_restrict_unprivileged_userns", "1"):
		return "AppArmor restricts unprivileged user namespaces (kernel.apparmor_restrict_unprivileged_userns=1)",
			"type: mcpbox doctor --apparmor | sudo tee /etc/apparmor.d/mcpbox && sudo apparmor_parser -r /etc/apparmor.d/mcpbox"
	}
	return "", ""
}

func sysctlIs(name, value string) bool {
	data, err := os.ReadFile("/proc/sys/" + name)
	return err == nil && strings.TrimSpace(string(data)) == value
}

// inContainer reports whether this process seems to live in one already.
func inContainer() bool {
	if os.Getenv("container") != "" {
		return true
	}
	for _, mark := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(mark); err == nil {
			return true
		}
	}
	return false
}

// startError turns a stage's report into the error that a person can act on.
func startError(f *wire.Failure) error {
	if f.Exec {
		return &sandbox.ExecError{Path: f.Path, Err: f.Unwrap()}
	}
	switch {
	case f.Step == "start stage 2" && f.Errno == unix.ENOSPC:
		return noNamespaceLeft(f)
	case f.Step == "fsmount" && f.Path == "proc" && f.Errno == unix.EPERM:
		// mount_too_revealing() in the kernel's fs/namespace.c.
		return &sandbox.UnsupportedError{
			Err:     f,
			Feature: "a /proc of the box's own",
			Reason:  "the kernel refuses one while parts of this /proc are covered, as container engines do",
			Fix:     "start the container with `--security-opt systempaths=unconfined`, or run mcpbox on its host",
		}
	case f.Step == wire.StepChanges:
		return &sandbox.UnsupportedError{
			Feature: stagedFeature, Reason: "tmpfs keeps no attributes of users here: Linux " + kernelRelease(),
			Fix: "staging needs Linux 6.6 or newer; " + unstaged, Err: f,
		}
	case f.Path == "overlay" || f.Step == "fsconfig" && f.Path == "userxattr":
		e := &sandbox.UnsupportedError{Feature: stagedFeature, Reason: "the kernel refuses an overlay: " + f.Error(), Fix: unstaged, Err: f}
		if f.Errno == unix.ENODEV {
			e.Reason, e.Fix = "this kernel has no overlayfs, or has not loaded it", "type: sudo modprobe overlay; or "+unstaged
		}
		return e
	case f.Errno == unix.EPERM || f.Errno == unix.EACCES:
		if reason, fix := userNamespaceObstacle(); reason != "" {
			return &sandbox.UnsupportedError{Feature: f.Step, Reason: reason, Fix: fix, Err: f}
		}
	case f.Errno == unix.ENOSYS:
		return &sandbox.UnsupportedError{
			Feature: f.Step, Reason: "this kernel is too old: " + kernelRelease(), Fix: needKernel, Err: f,
		}
	}
	return f
}

const (
	stagedFeature = "staged directories"
	unstaged      = "set staged = false to let the server write to your directories themselves"
)

// The oldest kernel: mount_setattr(2) came with 5.12, and with 5.14 the count of
// a user namespace's own processes, without which the limit on them would count
// all of the user's.
const (
	oldestMajor, oldestMinor = 5, 14

	needKernel = "mcpbox needs Linux 5.14 or newer"
)

// checkRelease refuses kernels that lack what no probe shows.
func checkRelease(release string) error {
	var major, minor int
	if _, err := fmt.Sscanf(release, "%d.%d", &major, &minor); err != nil {
		return nil // no Linux names its releases so; the probes will tell
	}
	if major > oldestMajor || (major == oldestMajor && minor >= oldestMinor) {
		return nil
	}
	return &sandbox.UnsupportedError{Feature: "box", Reason: "this kernel is too old: " + release, Fix: needKernel}
}

func kernelRelease() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}
