package main

import (
	"unsafe"

	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

// kernelAttacks use parts of the kernel that no server needs and that had more
// than their share of holes, or that belong to the machine's administrator.
// The latter are asked with arguments that would fail in the end.
var kernelAttacks = []attack{
	{"S-6/io-uring", "sets up io_uring, whose requests no filter sees", func(*escape.Scenario) outcome {
		params := make([]byte, 120)
		return attempted(sys(unix.SYS_IO_URING_SETUP, 4, params))
	}},
	{"P-6/userfaultfd", "stops page faults where it likes", func(*escape.Scenario) outcome {
		const userModeOnly = 1
		return attempted(sys(unix.SYS_USERFAULTFD, userModeOnly))
	}},
	{"P-6/perf", "opens a performance counter", func(*escape.Scenario) outcome {
		attr := &unix.PerfEventAttr{
			Type: unix.PERF_TYPE_SOFTWARE, Size: uint32(unsafe.Sizeof(unix.PerfEventAttr{})),
			Config: unix.PERF_COUNT_SW_TASK_CLOCK,
			Bits:   unix.PerfBitDisabled | unix.PerfBitExcludeKernel | unix.PerfBitExcludeHv,
		}
		return attempted(sys(unix.SYS_PERF_EVENT_OPEN, unsafe.Pointer(attr), 0, -1, -1, 0))
	}},
	{"P-6/bpf", "loads a program into the kernel", func(*escape.Scenario) outcome {
		license := append([]byte("GPL"), 0)
		program := []uint64{0xb7, 0x95} // r0 = 0; exit
		arena = append(arena, license, program)
		attr := &struct {
			kind, count    uint32
			insns, license uint64
			rest           [104]byte
		}{
			kind: unix.BPF_PROG_TYPE_SOCKET_FILTER, count: 2,
			insns:   uint64(uintptr(unsafe.Pointer(&program[0]))),
			license: uint64(uintptr(unsafe.Pointer(&license[0]))),
		}
		return attempted(sys(unix.SYS_BPF, unix.BPF_PROG_LOAD, unsafe.Pointer(attr), int(unsafe.Sizeof(*attr))))
	}},
	{"P-6/syslog", "reads the kernel's log", func(*escape.Scenario) outcome {
		const readAll = 3
		return attempted(sys(unix.SYS_SYSLOG, readAll, make([]byte, 4096), 4096))
	}},
	{"P-7/personality", "turns off address randomisation for its children", func(*escape.Scenario) outcome {
		const noRandomize = 0x0040000
		return attempted(sys(unix.SYS_PERSONALITY, noRandomize))
	}},
	{"P-7/memfd-secret", "makes memory that no watchdog can look into", func(*escape.Scenario) outcome {
		return attempted(sys(unix.SYS_MEMFD_SECRET, 0))
	}},
	{"P-7/fanotify", "watches what happens to files", func(*escape.Scenario) outcome {
		const reportFID = 0x200
		return attempted(sys(unix.SYS_FANOTIFY_INIT, reportFID, unix.O_RDONLY))
	}},
	admin("P-7/reboot", "restarts the machine", unix.SYS_REBOOT, 0, 0, 0, nil),
	admin("P-7/kexec", "loads another kernel", unix.SYS_KEXEC_LOAD, 0, 0, nil, 0xffff),
	admin("P-7/init-module", "loads a kernel module", unix.SYS_INIT_MODULE, nil, 0, ""),
	admin("P-7/delete-module", "unloads a kernel module", unix.SYS_DELETE_MODULE, "mcpbox_no_such_module", unix.O_NONBLOCK),
	admin("P-7/swapon", "swaps to a file of its own", unix.SYS_SWAPON, "/nonexistent", 0),
	admin("P-7/acct", "keeps accounts of everybody's processes", unix.SYS_ACCT, "/nonexistent"),
	admin("P-7/settime", "sets the clock", unix.SYS_SETTIMEOFDAY, nil, nil),
	admin("P-7/domainname", "renames the machine's domain", unix.SYS_SETDOMAINNAME, nil, 100),
	admin("P-7/quotactl", "asks for disk quotas", unix.SYS_QUOTACTL, 0x800001<<8, "/nonexistent", 0, nil),
}

// admin is the attack of making a call that only the administrator may make.
// The arguments are wrong: an error other than a refusal means that it got
// through.
func admin(id, tries string, nr uintptr, args ...any) attack {
	return attack{id, tries, func(*escape.Scenario) outcome {
		o := attempted(sys(nr, args...))
		switch o.err {
		case "EPERM", "ENOSYS", "EACCES", "SIGSYS":
			return o
		}
		return outcome{ok: true, detail: o.detail}
	}}
}

var ipcAttacks = []attack{
	{"P-4/shared-memory", "attaches shared memory of the host", func(s *escape.Scenario) outcome {
		return attempted(
			sys(unix.SYS_SHMGET, s.SharedMemory, 0, 0),
			sys(unix.SYS_SHMAT, result(1), nil, unix.SHM_RDONLY),
		)
	}},
	{"P-4/message-queue", "reads a message queue of the host", func(s *escape.Scenario) outcome {
		return attempted(
			sys(unix.SYS_MQ_OPEN, s.Queue, unix.O_RDONLY|unix.O_NONBLOCK, 0, nil),
			sys(unix.SYS_MQ_TIMEDRECEIVE, result(1), make([]byte, 8192), 8192, nil, nil),
		)
	}},
	{"P-4/shm-file", "reads a file of the host's /dev/shm", func(s *escape.Scenario) outcome {
		return stolen(s.SharedFile)
	}},
	{"P-4/sysvipc", "lists the host's shared memory", func(*escape.Scenario) outcome {
		return secondLine("/proc/sysvipc/shm")
	}},
}
