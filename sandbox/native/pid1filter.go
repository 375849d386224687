package native

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// pid1Filter lets PID 1 do what is left to do once the server runs, which is to
// wait, to signal and to exit, and lets the Go runtime breathe.
func pid1Filter(arch specs.Arch) *specs.LinuxSeccomp {
	// Not EPERM: where PID 1 is mcpbox itself, with cgo, the C library falls
	// back from clone3 to clone on this error only.
	unknown := uint(unix.ENOSYS)
	return &specs.LinuxSeccomp{
		DefaultAction:   specs.ActErrno,
		DefaultErrnoRet: &unknown,
		Architectures:   []specs.Arch{arch},
		Syscalls: []specs.LinuxSyscall{{
			Action: specs.ActAllow,
			Names: []string{
				"read", "write", "close", "poll", "ppoll", "wait4", "kill", "exit", "exit_group",
				"futex", "rt_sigprocmask", "rt_sigreturn", "rt_sigaction", "sigaltstack", "tgkill", "getpid", "gettid",
				"mmap", "munmap", "mprotect", "madvise", "clone", "arch_prctl", "set_robust_list", "rseq", "prctl",
				"sched_yield", "sched_getaffinity", "nanosleep", "clock_nanosleep", "clock_gettime", "restart_syscall",
				"epoll_create1", "epoll_ctl", "epoll_wait", "epoll_pwait", "eventfd2", "fcntl", "getrandom",
			},
		}},
	}
}
