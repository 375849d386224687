package stage

import (
	"errors"
	"io"
	"os"

	"github.com/mcpbox/mcpbox/sandbox/internal/netns"
	"github.com/mcpbox/mcpbox/sandbox/internal/process"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"golang.org/x/sys/unix"
)

// stage1 is PID 1 of the box: uid 0 of user namespace 1, which owns the mount,
// network, PID, IPC, UTS and cgroup namespaces. It builds the box, starts
// stage 2, gives everything up, and from then on only reaps. When it ends, for
// whatever reason, the kernel ends all that is left in the box.
func stage1() {
	control := os.NewFile(wire.FDControl, "control")
	refused, main, status, failure := build(control)
	if failure != nil {
		wire.Send(control, wire.TypeFailure, failure)
		os.Exit(125)
	}

	// Stage 2 says which Landlock ABI it put in force, then either a failure
	// or, by execve closing its end, nothing.
	started, failure := awaitExec(status)
	if failure != nil {
		wire.Send(control, wire.TypeFailure, failure)
		os.Exit(125)
	}
	started.SysctlRefused = refused
	if err := wire.Send(control, wire.TypeStarted, &started); err != nil {
		os.Exit(125)
	}

	go serveControl(control, main)
	go exitWithLauncher()
	ws, err := process.Reap(main)
	if err != nil {
		os.Exit(125) // main cannot have gone unseen
	}
	// Whoever holds the box's stdout open dies with PID 1, so the launcher
	// sees the end of it however many daemons the server left behind.
	wire.Send(control, wire.TypeExited, &wire.Exited{Status: uint32(ws)})
	os.Exit(0)
}

// build is stage 1 up to the moment where stage 2 is let go. Each step says
// why it stands where it does.
func build(control *os.File) (refused []string, main int, status *os.File, failure *wire.Failure) {
	bad := func(step string, err error) ([]string, int, *os.File, *wire.Failure) {
		return nil, 0, nil, fail(step, "", err)
	}

	// In user namespace 1 this process is uid 0 of a PID namespace of its
	// own. Anything else means that it was not started by the launcher, and
	// that the mounts below would hit the host.
	if unix.Getpid() != 1 || unix.Getuid() != 0 {
		return bad("stage 1", errors.New("not PID 1 and uid 0 of new namespaces"))
	}
	if err := prctl1(unix.PR_SET_NO_NEW_PRIVS, 1); err != nil {
		return bad("no_new_privs", err)
	}
	// Go's own Pdeathsig was set before the exec; a launcher that died between
	// fork and prctl is only seen by its pipe.
	if err := prctl1(unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL)); err != nil {
		return bad("pdeathsig", err)
	}
	if gone, err := launcherGone(0); gone || err != nil {
		return bad("liveness", errors.New("launcher is gone"))
	}
	// Before anything is opened here: a descriptor that the launcher was
	// started with must not reach stage 2 (CVE-2016-9962, CVE-2024-21626).
	if err := closeOnExec(3); err != nil {
		return bad("close_range", err)
	}
	unix.Umask(0)

	if err := netns.LoopbackUp(); err != nil {
		return bad("loopback", err)
	}
	// All until here is the same for every box; the launcher has started this
	// process while it was still working out what this one is to be.
	plan, planFD, err := receivePlan()
	if err != nil {
		return bad("plan", err)
	}
	// The launcher has put this process where it is to stay, so what the box
	// sees of cgroups begins there (cgroup_namespaces(7)).
	if err := unix.Unshare(unix.CLONE_NEWCGROUP); err != nil {
		return bad("cgroup namespace", err)
	}
	trees, err := wire.ReceiveTrees(wire.FDControl, countTrees(plan))
	if err != nil {
		return bad("plan", err)
	}
	sockets, err := offerSockets(control, plan)
	if err != nil {
		return bad("network", err)
	}
	// In the cgroup and the cgroup namespace that it is to stay in. It starts up
	// while the mounts are made, and waits at the gate until they are.
	main, gate, status, err := startStage2(plan, planFD)
	if err != nil {
		return bad("start stage 2", err)
	}
	unix.Close(planFD)
	if err := unix.Sethostname([]byte(plan.Hostname)); err != nil {
		return bad("sethostname", err)
	}
	root, err := buildRoot(plan, trees)
	if err != nil {
		return bad("mount", err)
	}
	// /proc/sys is to be read-only, and is where the namespaces' own limits
	// are set. A descriptor from before still writes; and it has to be in this
	// order, because one of the limits forbids the mounts that seal makes.
	sys, err := root.lookup("/proc/sys")
	if err != nil {
		return bad("sysctl", err)
	}
	if err := root.seal(plan); err != nil {
		return bad("mask", err)
	}
	if refused, err = writeSysctls(sys, plan.Sysctls); err != nil {
		return bad("sysctl", err)
	}
	if err := pivot(); err != nil {
		return bad("pivot_root", err)
	}

	// Pivot_root(2) has changed its root directory, too.
	if err := sameRoot(main); err != nil {
		return bad("root of stage 2", err)
	}
	if err := gate.open(); err != nil {
		return bad("release stage 2", err)
	}
	// It waits at the gate again, so no code but ours runs in the box until
	// PID 1 has nothing left to give.
	if err := handOver(control, sockets); err != nil {
		return bad("network", err)
	}
	if err := offerStaged(control, root.changes); err != nil {
		return bad("staged directories", err)
	}
	if err := shed(plan); err != nil {
		return bad("confine PID 1", err)
	}
	if err := gate.open(); err != nil {
		return bad("release stage 2", err)
	}
	gate.Close()
	return refused, main, status, nil
}

// awaitExec reads stage 2's reports: that it is confined, and then, unless
// execve closes the pipe, why it failed.
func awaitExec(status *os.File) (started wire.Started, failure *wire.Failure) {
	defer status.Close()
	confined := false
	for {
		t, body, err := wire.Receive(status)
		switch {
		case err == io.EOF && confined:
			return started, nil
		case err != nil:
			return started, fail("stage 2", "", errors.New("ended before it was confined"))
		case t == wire.TypeStarted && wire.Unmarshal(body, &started) == nil:
			confined = true
		case t == wire.TypeFailure:
			failure = new(wire.Failure)
			if err := wire.Unmarshal(body, failure); err != nil {
				return started, fail("stage 2", "", err)
			}
			return started, failure
		default:
			return started, fail("stage 2", "", errors.New("unknown report"))
		}
	}
}

// countTrees is how many detached mounts come with the plan.
func countTrees(plan *wire.Plan) (n int) {
	for _, m := range plan.Mounts {
		n = max(n, m.Tree)
	}
	return n
}
