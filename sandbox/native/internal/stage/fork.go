package stage

import (
	"errors"
	"os"
	"strconv"
	"syscall"

	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"golang.org/x/sys/unix"
)

// gate is the pipe that stage 2 waits at, once for its root directory and once
// for PID 1 to have given up its privileges.
type gate struct{ *os.File }

// open lets stage 2 go on. One that is gone has said why, and awaitExec hears it.
func (g gate) open() error {
	if _, err := g.Write([]byte{1}); err != nil && !errors.Is(err, unix.EPIPE) {
		return err
	}
	return nil
}

// startStage2 forks stage 2 into user namespace 2, where the box's user maps
// to uid 0 of namespace 1 and so to the same number on the host.
func startStage2(plan *wire.Plan, planFD int) (pid int, g gate, status *os.File, err error) {
	goR, goW, err := os.Pipe()
	if err != nil {
		return 0, gate{}, nil, err
	}
	// Packets, not a pipe: each report arrives as one.
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, gate{}, nil, err
	}
	doneR, doneW := os.NewFile(uintptr(pair[0]), "status"), os.NewFile(uintptr(pair[1]), "status")
	attr := &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER,
		Setsid:     true,
		// Its exec, by a uid that is not 0, ends every capability but this
		// one, which stage 2 needs to empty the bounding set.
		AmbientCaps: []uintptr{unix.CAP_SETPCAP},
	}
	if layerOff(plan, "userns2") {
		attr.Cloneflags = 0
	}
	pid, err = syscall.ForkExec("/proc/self/exe", []string{wire.Arg0, wire.Stage2}, &syscall.ProcAttr{
		Dir:   "/",
		Env:   wire.StageEnv,
		Files: []uintptr{0, 1, 2, uintptr(planFD), goR.Fd(), doneW.Fd()},
		Sys:   attr,
	})
	goR.Close()
	doneW.Close()
	if err == nil && attr.Cloneflags != 0 {
		err = writeMaps(pid, plan)
	}
	return pid, gate{goW}, doneR, err
}

// writeMaps maps the box's user in the user namespace of stage 2. Package syscall
// could do that only by a /proc that knows the process by the number that it has
// here. The host's, which is all there is yet, does not.
func writeMaps(pid int, plan *wire.Plan) error {
	proc, err := newFS("proc", nil, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV|unix.MOUNT_ATTR_NOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(proc)
	for _, f := range []struct{ name, text string }{
		{"uid_map", strconv.Itoa(plan.UID) + " 0 1"},
		{"setgroups", "deny"},
		{"gid_map", strconv.Itoa(plan.GID) + " 0 1"},
	} {
		if err := writeFileAt(proc, strconv.Itoa(pid)+"/"+f.name, f.text); err != nil {
			return fail("write", f.name, err)
		}
	}
	return nil
}

// sameRoot makes sure that the root directory of another process is this one's.
// Of one that has ended, awaitExec hears.
func sameRoot(pid int) error {
	var ours, its unix.Stat_t
	if err := unix.Stat("/", &ours); err != nil {
		return err
	}
	err := unix.Stat("/proc/"+strconv.Itoa(pid)+"/root", &its)
	if err == unix.ENOENT {
		return nil
	}
	if err == nil && (its.Dev != ours.Dev || its.Ino != ours.Ino) {
		err = errors.New("not the box's")
	}
	return err
}
