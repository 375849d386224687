package stage

import (
	"errors"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unsafe"

	"github.com/mcpbox/mcpbox/sandbox/internal/landlock"
	"github.com/mcpbox/mcpbox/sandbox/internal/process"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"golang.org/x/sys/unix"
)

// stage2 confines this thread and becomes the server. It runs in user namespace
// 2, which owns nothing, as the box's user.
func stage2() {
	status := os.NewFile(wire.FD2Done, "status")
	f := becomeServer(status)
	wire.Send(status, wire.TypeFailure, f)
	os.Exit(125)
}

// becomeServer returns only if it failed. The order of the steps matters, and
// each says why it stands where it does.
func becomeServer(status *os.File) *wire.Failure {
	if err := prctl1(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL)); err != nil {
		return fail("pdeathsig", "", err)
	}
	if unix.Getppid() != 1 {
		return fail("stage 2", "", errors.New("not a child of PID 1"))
	}
	plan, err := readPlan()
	if err != nil {
		return fail("plan", "", err)
	}
	// Until then it may be the host's directories that this process sees.
	if err := waitAtGate(); err != nil {
		return fail("gate", "", err)
	}
	if !layerOff(plan, "userns2") && (unix.Getuid() != plan.UID || unix.Getgid() != plan.GID) {
		return fail("stage 2", "", errors.New("user namespace is not mapped"))
	}

	// Before the limit that keeps it from being lowered again.
	if err := lowerPriority(plan.Nice); err != nil {
		return fail("nice", "", err)
	}
	for _, l := range plan.Rlimits {
		// Through package syscall: it restores at exec the RLIMIT_NOFILE that
		// it found at start, unless it was told of the new one.
		if err := syscall.Setrlimit(l.Resource, &syscall.Rlimit{Cur: l.Soft, Max: l.Hard}); err != nil {
			return fail("setrlimit", "", err)
		}
	}
	if err := writeFile("/proc/self/oom_score_adj", strconv.Itoa(plan.OOMScore)); err != nil {
		return fail("oom_score_adj", "", err)
	}
	// A keyring of its own, while the call is still allowed: the session's
	// holds what the desktop has unlocked (keyctl(2)).
	if _, _, errno := unix.Syscall(unix.SYS_KEYCTL, unix.KEYCTL_JOIN_SESSION_KEYRING, 0, 0); errno != 0 && errno != unix.ENOSYS {
		return fail("keyring", "", errno)
	}
	if err := dropCapabilities(); err != nil {
		return fail("capabilities", "", err)
	}
	// Inherited from stage 1; without it neither Landlock nor seccomp would
	// be allowed below.
	if on, err := unix.PrctlRetInt(unix.PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0); err != nil || on != 1 {
		return fail("no_new_privs", "", errors.New("not set"))
	}
	unix.Umask(plan.Umask)

	if err := unix.Chdir(plan.Cwd); err != nil {
		return fail("chdir", plan.Cwd, err)
	}
	// A working directory outside the root shows as "(unreachable)..."
	// (CVE-2024-21626).
	if wd, err := unix.Getwd(); err != nil || !strings.HasPrefix(wd, "/") {
		return fail("chdir", plan.Cwd, errors.New("not inside the box"))
	}
	// Looked up here, where no filter stands in the way, and nothing but the
	// box is in sight.
	path, err := process.LookPath(plan.Args[0], plan.Env)
	if err != nil {
		f := fail("exec", plan.Args[0], err)
		f.Exec = true
		return f
	}

	// After every mount is made (a confined thread may not mount), before the
	// filter, which need not know these calls.
	var started wire.Started
	if !layerOff(plan, "landlock") {
		if started.LandlockABI, err = landlock.Restrict(plan.Landlock); err != nil {
			if e := (*landlock.Error)(nil); errors.As(err, &e) {
				return fail(e.Call, e.Path, e.Err)
			}
			return fail("landlock", "", err)
		}
	}
	argv0, argv, envv, err := execArgs(path, plan)
	if err != nil {
		return fail("exec", path, err)
	}
	if err := wire.Send(status, wire.TypeStarted, &started); err != nil {
		return fail("status", "", err)
	}
	if err := waitAtGate(); err != nil {
		return fail("gate", "", err)
	}
	if err := closeOnExec(3); err != nil {
		return fail("close_range", "", err)
	}
	if err := process.DefaultSignals(); err != nil {
		return fail("signals", "", err)
	}
	if !layerOff(plan, "seccomp") {
		if err := installFilter(plan.Filter, 0); err != nil {
			return fail("seccomp", "", err)
		}
	}
	// This thread alone is under the filter; the others, which run none of
	// the server's code, end with execve. Raw, as package syscall's Exec
	// takes locks and limits along.
	_, _, errno := unix.RawSyscall(unix.SYS_EXECVE, uintptr(unsafe.Pointer(argv0)), uintptr(unsafe.Pointer(&argv[0])), uintptr(unsafe.Pointer(&envv[0])))
	f := fail("exec", path, errno)
	f.Exec = true
	return f
}

// lowerPriority adds to the nice value of this process, and of its session, where
// the kernel shares processor time out among sessions first (sched(7),
// autogrouping).
func lowerPriority(by int) error {
	if by == 0 {
		return nil
	}
	// By system call, 20 minus the value (getpriority(2), C library/kernel
	// differences).
	now, err := unix.Getpriority(unix.PRIO_PROCESS, 0)
	if err != nil {
		return err
	}
	if err := unix.Setpriority(unix.PRIO_PROCESS, 0, min(20-now+by, 19)); err != nil {
		return err
	}
	writeFile("/proc/self/autogroup", strconv.Itoa(by)) // not on every kernel
	return nil
}

func writeFile(path, text string) error { return writeFileAt(unix.AT_FDCWD, path, text) }

func writeFileAt(dir int, path, text string) error {
	fd, err := unix.Openat(dir, path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte(text))
	return err
}

// waitAtGate blocks until stage 1 opens it: at first when the root directory is
// the box's, and then when PID 1 has given up its privileges.
func waitAtGate() error {
	var b [1]byte
	for {
		n, err := unix.Read(wire.FD2Go, b[:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n != 1:
			return errors.New("PID 1 is gone")
		default:
			return nil
		}
	}
}

func execArgs(path string, plan *wire.Plan) (argv0 *byte, argv, envv []*byte, err error) {
	if argv0, err = unix.BytePtrFromString(path); err != nil {
		return
	}
	if argv, err = syscall.SlicePtrFromStrings(plan.Args); err != nil {
		return
	}
	envv, err = syscall.SlicePtrFromStrings(plan.Env)
	return
}
