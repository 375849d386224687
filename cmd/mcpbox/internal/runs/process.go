package runs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// Process names a process for good: its number can come to mean another one,
// which then has another start time.
type Process struct {
	PID int `json:"pid"`
	// Start is when it started, in clock ticks since the machine did
	// (proc_pid_stat(5), starttime).
	Start uint64 `json:"start"`
}

// Identify returns the process that has this number now.
func Identify(pid int) (Process, error) {
	start, err := startTime(pid)
	return Process{pid, start}, err
}

// valid keeps out what kill(2) takes for groups, and PID 1 of the machine.
func (p Process) valid() bool { return p.PID > 1 }

// Kill ends the process. One that has ended already is no error.
func (p Process) Kill() error {
	if !p.valid() {
		return fmt.Errorf("kill: %d is no process of a run", p.PID)
	}
	fd, err := unix.PidfdOpen(p.PID, 0)
	if err == unix.ESRCH {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(fd)
	// The descriptor is of whatever has the number now. If that is still there
	// when its start time is read, it is that process's.
	switch start, err := startTime(p.PID); {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH):
		return nil
	case err != nil:
		return fmt.Errorf("kill process %d: %w", p.PID, err)
	case start != p.Start:
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("kill process %d: %w", p.PID, err)
	}
	return nil
}

func startTime(pid int) (uint64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	// Field 22; the second is a name in parentheses that the process chooses.
	field := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(field) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(field)+2)
	}
	return strconv.ParseUint(string(field[19]), 10, 64)
}
