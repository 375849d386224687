// Package proc looks at the processes of boxes from the host, in its /proc, which
// shows each with the number that it has outside.
//
// The processes of a box are those of its PID namespace, and no other process is in
// that: a server can make no namespace of its own, and nobody else enters.
package proc

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Namespace is the text of the link that all processes of a box have as ns/pid.
func Namespace(pid int) (string, error) {
	return os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
}

// OwnNamespace is Namespace of a process that is PID 1 of a namespace below the one whose
// processes /proc shows, and "" of every other process. gVisor, on some of its platforms,
// stays in the host's namespace, whose members are all processes of the host.
func OwnNamespace(pid int) (string, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return "", err
	}
	_, rest, _ := strings.Cut(string(status), "\nNSpid:")
	line, _, _ := strings.Cut(rest, "\n")
	if n := strings.Fields(line); len(n) < 2 || n[len(n)-1] != "1" {
		return "", nil
	}
	return Namespace(pid)
}

// Hold is Namespace with a descriptor. Until that is closed, the kernel gives what the text
// has of a number to no other namespace, also when this one has ended; else it may do so at
// once, and what belongs to the one would seem to belong to the other.
func Hold(pid int) (ns string, held *os.File, err error) {
	held, err = os.Open(fmt.Sprintf("/proc/%d/ns/pid", pid))
	if err != nil {
		return "", nil, err
	}
	ns, err = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", held.Fd()))
	if err != nil {
		held.Close()
		return "", nil, err
	}
	return ns, held, nil
}

// errHost is a namespace that is no box's.
var errHost = errors.New("the PID namespace is that of mcpbox itself")

// Members lists the processes of the PID namespace ns without the process pid. One
// that starts meanwhile may be missing. The namespace that this process is in is an
// error: whoever asks means to signal what is in a box.
func Members(ns string, pid int) ([]int, error) {
	if self, err := os.Readlink("/proc/self/ns/pid"); err != nil || self == ns {
		return nil, errors.Join(errHost, err)
	}
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var list []int
	for _, name := range names {
		n, err := strconv.Atoi(name)
		if err != nil || n == pid {
			continue
		}
		// An error is a process that has ended, or one that is not ours to
		// look at, which those of the box are.
		if of, err := Namespace(n); err == nil && of == ns {
			list = append(list, n)
		}
	}
	return list, nil
}

// Stat is what proc_pid_stat(5) says of a process or thread.
type Stat struct {
	State  byte          // field 3
	Ends   bool          // 9: it executes nothing more of its own
	CPU    time.Duration // 14 and 15: its own processor time
	Waited time.Duration // 16 and 17: that of children it has waited for
}

// exiting is PF_EXITING of include/linux/sched.h.
const exiting = 4

// tick is the unit of processor time in /proc, 1/USER_HZ, on every architecture
// that Go runs on.
const tick = 10 * time.Millisecond

var errStat = errors.New("not what proc_pid_stat(5) says")

// ReadStat reads a file of this kind.
func ReadStat(file string) (Stat, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return Stat{}, err
	}
	return parseStat(data)
}

func parseStat(data []byte) (Stat, error) {
	// The second field is in parentheses, and may hold more of them: it is a
	// name that the process chooses.
	field := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(field) < 15 || len(field[0]) != 1 {
		return Stat{}, errStat
	}
	var ticks [4]int64
	for i := range ticks {
		n, err := strconv.ParseInt(string(field[11+i]), 10, 64)
		if err != nil {
			return Stat{}, errStat
		}
		ticks[i] = n
	}
	flags, err := strconv.ParseUint(string(field[6]), 10, 64)
	if err != nil {
		return Stat{}, errStat
	}
	return Stat{
		State:  field[0][0],
		Ends:   flags&exiting != 0,
		CPU:    time.Duration(ticks[0]+ticks[1]) * tick,
		Waited: time.Duration(ticks[2]+ticks[3]) * tick,
	}, nil
}

// Threads are the states of the threads of a process that have not ended.
func Threads(pid int) (list []byte) {
	tasks := fmt.Sprintf("/proc/%d/task", pid)
	dir, err := os.Open(tasks)
	if err != nil {
		return nil
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, tid := range names {
		if s, err := ReadStat(tasks + "/" + tid + "/stat"); err == nil && s.State != 'Z' && s.State != 'X' {
			list = append(list, s.State)
		}
	}
	return list
}

// Waits reports whether a thread of a process waits in the kernel, and cannot be
// interrupted.
func Waits(pid int) bool { return bytes.IndexByte(Threads(pid), 'D') >= 0 }

// Stopped reports whether every thread of a process is, or the process has
// ended. A thread that waits in the kernel without being interruptible executes
// nothing before it sees the signal.
func Stopped(pid int) bool {
	for _, state := range Threads(pid) {
		switch state {
		case 'T', 't', 'D':
		default:
			return false
		}
	}
	return true
}
