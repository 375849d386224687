package stage

import (
	"os"
	"unsafe"

	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"golang.org/x/sys/unix"
)

// shed takes from PID 1 what the server could try to make it use: its
// capabilities, its standard streams, its signal handlers, its memory and most
// system calls.
func shed(plan *wire.Plan) error {
	// From here on the server's code may run, and it may signal PID 1, which
	// has the same uid on the host. A handler of the Go runtime would end the
	// box on SIGTERM, and print its stacks on SIGQUIT.
	if err := ignoreSignals(); err != nil {
		return err
	}
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		return fail("open", "/dev/null", err)
	}
	for fd := 0; fd < 3; fd++ {
		if err := unix.Dup3(null, fd, 0); err != nil {
			return fail("dup", "/dev/null", err)
		}
	}
	unix.Close(null)
	unix.Close(wire.FDInit)
	if err := dropCapabilities(); err != nil {
		return err
	}
	// After the maps of namespace 2 are written: an undumpable parent could
	// not have opened /proc/PID/uid_map.
	if err := prctl1(unix.PR_SET_DUMPABLE, 0); err != nil {
		return fail("prctl", "PR_SET_DUMPABLE", err)
	}
	if layerOff(plan, "seccomp") {
		return nil
	}
	return installFilter(plan.Init, unix.SECCOMP_FILTER_FLAG_TSYNC)
}

// sigaction is the kernel's struct sigaction with an empty mask of 64 signals.
type sigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

const (
	sigDefault = 0
	sigIgnore  = 1
)

// setSignal is rt_sigaction(2) past the Go runtime, which keeps some signals
// for itself.
func setSignal(sig int, handler uintptr) error {
	sa := sigaction{handler: handler}
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&sa)), 0, 8, 0, 0)
	if errno != 0 {
		return fail("rt_sigaction", "", errno)
	}
	return nil
}

const lastSignal = 64

// ignoreSignals makes this process deaf. SIGCHLD keeps its default, which does
// nothing either: ignoring it would have the kernel reap the server, and lose
// its status.
func ignoreSignals() error {
	for sig := 1; sig <= lastSignal; sig++ {
		switch unix.Signal(sig) {
		case unix.SIGKILL, unix.SIGSTOP:
			continue
		case unix.SIGCHLD:
			if err := setSignal(sig, sigDefault); err != nil {
				return err
			}
		default:
			if err := setSignal(sig, sigIgnore); err != nil {
				return err
			}
		}
	}
	return nil
}

// reap waits for every child until main has ended, and returns its status.
func reap(main int) unix.WaitStatus {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		if pid == main && (ws.Exited() || ws.Signaled()) {
			return ws
		}
		if err == unix.ECHILD {
			os.Exit(125) // main cannot have gone unseen
		}
	}
}

// serveControl signals main as the launcher asks, and ends the box when the
// launcher closes its end.
func serveControl(control *os.File, main int) {
	for {
		t, body, err := wire.Receive(control)
		if err != nil {
			os.Exit(125)
		}
		var s wire.Signal
		if t == wire.TypeSignal && wire.Unmarshal(body, &s) == nil {
			unix.Kill(main, unix.Signal(s.Number))
		}
	}
}

// exitWithLauncher ends the box when the launcher has gone.
func exitWithLauncher() {
	launcherGone(-1)
	os.Exit(125)
}

// launcherGone waits, for timeout milliseconds or without end if that is
// negative, for the launcher's end of the liveness pipe to close.
func launcherGone(timeout int) (bool, error) {
	fds := []unix.PollFd{{Fd: wire.FDLiveness, Events: unix.POLLIN}}
	for {
		n, err := unix.Poll(fds, timeout)
		if err == unix.EINTR {
			continue
		}
		return n > 0, err
	}
}
