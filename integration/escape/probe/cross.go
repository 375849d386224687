package main

import (
	"fmt"
	"os"
	"runtime"
	"strconv"
	"unsafe"

	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

// crossProcessAttacks go for another process: a neighbour without a box, the
// box's PID 1 in one, which holds the box's mounts and network.
var crossProcessAttacks = []attack{
	{"P-1/ptrace", "takes over a process with ptrace", func(s *escape.Scenario) outcome {
		runtime.LockOSThread()
		_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(s.Target), 0, 0, 0, 0)
		if errno != 0 {
			return by(errno)
		}
		return by(nil)
	}},
	{"P-1/vm-readv", "reads the memory of a process", func(s *escape.Scenario) outcome {
		b := make([]byte, 8)
		local := []unix.Iovec{{Base: &b[0], Len: 8}}
		_, err := unix.ProcessVMReadv(s.Target, local, []unix.RemoteIovec{{Base: textAddress, Len: 8}}, 0)
		return reached(err)
	}},
	{"P-1/vm-writev", "writes the memory of a process", func(s *escape.Scenario) outcome {
		b := make([]byte, 8)
		local := []unix.Iovec{{Base: &b[0], Len: 8}}
		_, err := unix.ProcessVMWritev(s.Target, local, []unix.RemoteIovec{{Base: textAddress, Len: 8}}, 0)
		return reached(err)
	}},
	{"P-1/pidfd-getfd", "copies a descriptor of a process", func(s *escape.Scenario) outcome {
		pidfd, err := unix.PidfdOpen(s.Target, 0)
		if err != nil {
			return by(err)
		}
		defer unix.Close(pidfd)
		fd, err := unix.PidfdGetfd(pidfd, 0, 0)
		if err != nil {
			return by(err)
		}
		unix.Close(fd)
		return by(nil)
	}},
	{"P-1/process-madvise", "pushes the memory of a process out to the disk", func(s *escape.Scenario) outcome {
		pidfd, err := unix.PidfdOpen(s.Target, 0)
		if err != nil {
			return by(err)
		}
		defer unix.Close(pidfd)
		iov := &unix.RemoteIovec{Base: textAddress, Len: 4096}
		_, _, errno := unix.Syscall6(unix.SYS_PROCESS_MADVISE, uintptr(pidfd), uintptr(unsafe.Pointer(iov)), 1, unix.MADV_COLD, 0, 0)
		if errno != 0 {
			return by(errno)
		}
		return by(nil)
	}},
	{"P-1/kcmp", "compares what two processes share", func(s *escape.Scenario) outcome {
		_, _, errno := unix.Syscall6(unix.SYS_KCMP, uintptr(os.Getpid()), uintptr(s.Target), 0, 0, 0, 0)
		if errno != 0 {
			return by(errno)
		}
		return by(nil)
	}},
	{"P-1/mem", "opens the memory of a process for writing", func(s *escape.Scenario) outcome {
		return opened(fmt.Sprintf("/proc/%d/mem", s.Target), unix.O_RDWR)
	}},
	{"P-1/maps", "reads the addresses of a process", func(s *escape.Scenario) outcome {
		return stolen(fmt.Sprintf("/proc/%d/maps", s.Target))
	}},
	{"P-1/environ", "reads the environment of a process", func(s *escape.Scenario) outcome {
		return stolen(fmt.Sprintf("/proc/%d/environ", s.Target))
	}},
	{"P-1/root", "enters the root directory of a process", func(s *escape.Scenario) outcome {
		return opened(fmt.Sprintf("/proc/%d/root/", s.Target), unix.O_RDONLY|unix.O_DIRECTORY)
	}},
	{"P-1/exe", "opens the program of a process (CVE-2019-5736)", func(s *escape.Scenario) outcome {
		return opened(fmt.Sprintf("/proc/%d/exe", s.Target), unix.O_RDONLY)
	}},
	{"P-1/fds", "opens a descriptor of a process", func(s *escape.Scenario) outcome {
		return opened(fmt.Sprintf("/proc/%d/fd/0", s.Target), unix.O_RDONLY)
	}},
	{"P-1/oom-score", "makes the kernel kill another process first", func(s *escape.Scenario) outcome {
		return rewritten("/proc/"+strconv.Itoa(s.Target)+"/oom_score_adj", "999")
	}},
	{"P-1/limits", "changes the limits of a process", func(s *escape.Scenario) outcome {
		var lim unix.Rlimit
		if err := unix.Prlimit(s.Target, unix.RLIMIT_NOFILE, nil, &lim); err != nil {
			return by(err)
		}
		return by(unix.Prlimit(s.Target, unix.RLIMIT_NOFILE, &lim, nil))
	}},
	{"X-4/kill-host", "signals a process of the host", func(s *escape.Scenario) outcome {
		return by(unix.Kill(s.Victim, unix.SIGUSR1))
	}},
	{"X-4/pidfd-host", "opens a process of the host", func(s *escape.Scenario) outcome {
		fd, err := unix.PidfdOpen(s.Victim, 0)
		if err != nil {
			return by(err)
		}
		return by(unix.PidfdSendSignal(fd, unix.SIGUSR1, nil, 0))
	}},
	{"P-1/affinity", "has a process wait for one processor", func(s *escape.Scenario) outcome {
		var all unix.CPUSet
		if err := unix.SchedGetaffinity(s.Target, &all); err != nil {
			return by(err)
		}
		return by(unix.SchedSetaffinity(s.Target, &all)) // that it could is enough
	}},
	{"P-1/priority", "sets a process back", func(s *escape.Scenario) outcome {
		kernel, err := unix.Getpriority(unix.PRIO_PROCESS, s.Target) // 20 is the ordinary one, 1 the last
		if err != nil {
			return by(err)
		}
		return by(unix.Setpriority(unix.PRIO_PROCESS, s.Target, 20-kernel))
	}},
	{"X-5/kill-init", "signals the process that holds the box", func(s *escape.Scenario) outcome {
		return by(unix.Kill(s.Target, unix.SIGUSR1))
	}},
	{"P-5/core", "crashes, for the host to parse its memory", func(s *escape.Scenario) outcome {
		if err := unix.Chdir(s.In("out")); err != nil {
			return by(err)
		}
		dumped, err := crash()
		if err != nil {
			return by(err)
		}
		return changed(dumped, "")
	}},
}

// reached is the outcome of going for a process's memory. EFAULT comes after
// the question of permission: the address was wrong, or is not writable.
func reached(err error) outcome {
	if err == unix.EFAULT {
		return outcome{ok: true, detail: "reached its memory"}
	}
	return by(err)
}

// crash ends a child with SIGABRT, which the runtime's handlers do not see, and
// reports whether the kernel dumped its memory.
func crash() (dumped bool, err error) {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_CORE, &lim); err != nil {
		return false, err
	}
	lim.Cur = lim.Max
	if err := unix.Setrlimit(unix.RLIMIT_CORE, &lim); err != nil {
		return false, err
	}
	calls := []call{
		// struct kernel_sigaction of zeros: the default action.
		sys(unix.SYS_RT_SIGACTION, int(unix.SIGABRT), make([]byte, 32), nil, 8),
		sys(unix.SYS_GETPID),
		sys(unix.SYS_KILL, result(2), int(unix.SIGABRT)),
	}
	pid, errno := fork(calls, make([]slot, len(calls)))
	if errno != 0 {
		return false, errno
	}
	var ws unix.WaitStatus
	if _, err := unix.Wait4(int(pid), &ws, 0, nil); err != nil {
		return false, err
	}
	if !ws.Signaled() || ws.Signal() != unix.SIGABRT {
		return false, fmt.Errorf("child ended with status %#x", int(ws))
	}
	return ws.CoreDump(), nil
}
