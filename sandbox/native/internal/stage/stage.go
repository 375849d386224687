// Package stage is the code that runs inside a native box before the server
// does: stage 1, which becomes the box's PID 1, and stage 2, which becomes the
// server. Package native has the picture, package wire the conversation.
//
// Nothing here may import more than the standard library, x/sys and wire: it is
// linked into a program of its own, whose start-up is paid by every server and
// whose text is mapped by every box. cgo is ruled out, too: stage 2 changes
// credentials of one thread only, and relies on execve to drop the others.
package stage

import (
	"errors"
	"io"
	"os"
	"runtime"

	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"golang.org/x/sys/unix"
)

// Main runs the stage that args name, and never returns. args is os.Args.
func Main(args []string) {
	// Privileges, namespaces and filters are per thread: all of a stage runs
	// on this one.
	runtime.LockOSThread()
	if len(args) == 2 {
		switch args[1] {
		case wire.Stage1:
			stage1()
		case wire.Stage2:
			stage2()
		}
	}
	os.Stderr.WriteString("mcpbox-init: started by mcpbox only\n")
	os.Exit(125)
}

// receivePlan reads the plan from the launcher's pipe, and puts it into a memfd
// for stage 2.
func receivePlan() (plan *wire.Plan, memfd int, err error) {
	pipe := os.NewFile(wire.FDPlan, "plan")
	data, err := io.ReadAll(pipe)
	if err != nil {
		return nil, -1, err
	}
	pipe.Close()
	plan = new(wire.Plan)
	if err := wire.Unmarshal(data, plan); err != nil {
		return nil, -1, err
	}
	memfd, err = unix.MemfdCreate("mcpbox-plan", unix.MFD_CLOEXEC|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL { // before Linux 6.3
		memfd, err = unix.MemfdCreate("mcpbox-plan", unix.MFD_CLOEXEC)
	}
	if err != nil {
		return nil, -1, err
	}
	for len(data) > 0 {
		n, err := unix.Write(memfd, data)
		if err != nil {
			return nil, -1, err
		}
		data = data[n:]
	}
	return plan, memfd, nil
}

// readPlan decodes the plan from stage 1's memfd.
func readPlan() (*wire.Plan, error) {
	var st unix.Stat_t
	if err := unix.Fstat(wire.FD2Plan, &st); err != nil {
		return nil, err
	}
	data := make([]byte, st.Size)
	for n := 0; n < len(data); {
		m, err := unix.Pread(wire.FD2Plan, data[n:], int64(n))
		if err != nil {
			return nil, err
		}
		if m == 0 {
			return nil, io.ErrUnexpectedEOF
		}
		n += m
	}
	plan := new(wire.Plan)
	if err := wire.Unmarshal(data, plan); err != nil {
		return nil, err
	}
	return plan, nil
}

// fail makes err a wire.Failure of the given step.
func fail(step, path string, err error) *wire.Failure {
	var f *wire.Failure
	if errors.As(err, &f) {
		return f
	}
	f = &wire.Failure{Step: step, Path: path}
	if !errors.As(err, &f.Errno) {
		f.Msg = err.Error()
	}
	return f
}

// closeOnExec marks every descriptor from first up. Marking, not closing:
// the Go runtime's own epoll descriptor is among them.
func closeOnExec(first uint) error {
	return unix.CloseRange(first, ^uint(0)>>32, unix.CLOSE_RANGE_CLOEXEC)
}

// prctl1 is prctl(2) with one argument that matters.
func prctl1(option int, arg uintptr) error {
	return unix.Prctl(option, arg, 0, 0, 0)
}
