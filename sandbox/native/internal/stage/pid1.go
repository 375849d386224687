package stage

import (
	"os"

	"github.com/mcpbox/mcpbox/sandbox/internal/process"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"golang.org/x/sys/unix"
)

// shed takes from PID 1 what the server could try to make it use: its
// capabilities, its standard streams, its signal handlers, its memory and most
// system calls.
func shed(plan *wire.Plan) error {
	if err := dropCapabilities(); err != nil {
		return err
	}
	// By a signal to each thread, and so while these have a handler.
	if err := dropElsewhere(); err != nil {
		return fail("capset", "", err)
	}
	// From here on the server's code may run, and it may signal PID 1, which
	// has the same uid on the host. A handler of the Go runtime would end the
	// box on SIGTERM, and print its stacks on SIGQUIT.
	if err := ignoreSignals(); err != nil {
		return fail("rt_sigaction", "", err)
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

// ignoreSignals makes this process deaf. SIGCHLD keeps its default, which does
// nothing either: ignoring it would have the kernel reap the server, and lose
// its status.
func ignoreSignals() error {
	for sig := 1; sig <= process.LastSignal; sig++ {
		switch unix.Signal(sig) {
		case unix.SIGKILL, unix.SIGSTOP:
			continue
		case unix.SIGCHLD:
			if err := process.SetSignal(sig, process.Default); err != nil {
				return err
			}
		default:
			if err := process.SetSignal(sig, process.Ignore); err != nil {
				return err
			}
		}
	}
	return nil
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
