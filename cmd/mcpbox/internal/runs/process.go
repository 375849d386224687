package runs

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
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

// Self is this process.
func Self() (Process, error) {
	s, err := readStat(os.Getpid())
	return Process{os.Getpid(), s.start}, err
}

// Child is the child of this process that has this number. If it has ended and
// was waited for, the error is [fs.ErrNotExist], whoever has its number by now.
func Child(pid int) (Process, error) {
	s, err := readStat(pid)
	if err == nil && s.parent != os.Getpid() || errors.Is(err, unix.ESRCH) {
		err = fs.ErrNotExist
	}
	return Process{pid, s.start}, err
}

// Find is the process that has this number now, or [fs.ErrNotExist].
func Find(pid int) (Process, error) {
	s, err := readStat(pid)
	if errors.Is(err, unix.ESRCH) {
		err = fs.ErrNotExist
	}
	return Process{pid, s.start}, err
}

// valid keeps out what kill(2) takes for groups, and PID 1 of the machine.
func (p Process) valid() bool { return p.PID > 1 }

// Lives reports whether the process is there.
func (p Process) Lives() bool {
	now, err := readStat(p.PID)
	return err == nil && now.start == p.Start
}

// Acts reports whether the process is there and a thread of it has not ended. When all
// have, it only waits for its parent to notice.
func (p Process) Acts() bool {
	if !p.Lives() {
		return false
	}
	tasks, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", p.PID))
	for _, file := range tasks {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		if field := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:]); len(field) > 0 && field[0][0] != 'Z' && field[0][0] != 'X' {
			return true
		}
	}
	return false
}

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
	switch now, err := readStat(p.PID); {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH):
		return nil
	case err != nil:
		return fmt.Errorf("kill process %d: %w", p.PID, err)
	case now.start != p.Start:
		return nil
	}
	if err := unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0); err != nil && err != unix.ESRCH {
		return fmt.Errorf("kill process %d: %w", p.PID, err)
	}
	return nil
}

// stat is what proc_pid_stat(5) says of a process.
type stat struct {
	parent int    // field 4
	start  uint64 // field 22
}

func readStat(pid int) (s stat, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	// The second field is a name in parentheses that the process chooses.
	field := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(field) < 20 {
		return stat{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(field)+2)
	}
	if s.parent, err = strconv.Atoi(string(field[1])); err != nil {
		return stat{}, err
	}
	s.start, err = strconv.ParseUint(string(field[19]), 10, 64)
	return s, err
}
