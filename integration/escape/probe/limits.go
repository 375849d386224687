package main

import (
	"fmt"
	"os"
	"unsafe"

	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

// limitAttacks use up what the machine's other programs need. How much is too
// much follows from the policy that the harness writes.
var limitAttacks = []attack{
	{"R-2/processes", "starts more processes than the policy allows", func(*escape.Scenario) outcome {
		n, err := swarm(escape.TooManyProcesses)
		if err != nil {
			o := by(err)
			o.detail = fmt.Sprintf("%d processes, then %v", n, err)
			return o
		}
		return outcome{ok: true, ret: int64(n)}
	}},
	filled("R-4/tmp", "/tmp"),
	filled("R-4/dev-shm", "/dev/shm"),
	{"R-4/home", "fills the home directory", func(s *escape.Scenario) outcome { return overflowed(s.Home) }},
	{"R-4/inodes", "makes more files than memory should hold", func(*escape.Scenario) outcome {
		dir, err := os.MkdirTemp("/dev/shm", "inodes-") // a tmpfs everywhere
		if err != nil {
			return by(err)
		}
		defer os.RemoveAll(dir)
		for i := range escape.TooManyFiles {
			fd, err := unix.Open(fmt.Sprintf("%s/%d", dir, i), unix.O_CREAT|unix.O_WRONLY|unix.O_CLOEXEC, 0o600)
			if err != nil {
				o := by(err)
				o.detail = fmt.Sprintf("%d files, then %v", i, err)
				return o
			}
			unix.Close(fd)
		}
		return by(nil)
	}},
	repeated("R-6/descriptors", "opens more descriptors than the policy allows", 4500, func(int) error {
		_, err := unix.Dup(0)
		return err
	}),
	{"R-6/raise", "raises its limit of descriptors", func(*escape.Scenario) outcome {
		return by(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 5000, Max: 5000}))
	}},
	repeated("R-7/inotify", "takes the user's inotify instances", 100, func(int) error {
		_, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		return err
	}),
	repeated("R-7/queues", "takes the user's message queue memory", 8, func(i int) error {
		name := fmt.Sprintf("probe-%d-%d", os.Getpid(), i)
		if err := raw(unix.SYS_MQ_OPEN, name, unix.O_CREAT|unix.O_RDWR, 0o600, nil); err != nil {
			return err
		}
		return raw(unix.SYS_MQ_UNLINK, name)
	}),
	repeated("R-7/timers", "takes the user's queued signals with timers", 5000, func(int) error {
		var id int32
		return raw(unix.SYS_TIMER_CREATE, unix.CLOCK_MONOTONIC, nil, unsafe.Pointer(&id))
	}),
	{"R-7/locked-memory", "locks memory that can then not be swapped", func(*escape.Scenario) outcome {
		b, err := unix.Mmap(-1, 0, 6<<20, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		if err != nil {
			return by(err)
		}
		return by(unix.Mlock(b))
	}},
	{"R-7/shared-memory", "keeps memory in a System V segment, which no process has to map", func(*escape.Scenario) outcome {
		id, err := unix.SysvShmGet(unix.IPC_PRIVATE, 1<<30, unix.IPC_CREAT|0o600)
		if err != nil {
			return by(err)
		}
		_, err = unix.SysvShmCtl(id, unix.IPC_RMID, nil)
		return by(err)
	}},
	orphaned("R-7/semaphores", "takes semaphores, which are kernel memory of no process", 8,
		unix.SYS_SEMCTL, func() []call { return []call{sys(unix.SYS_SEMGET, unix.IPC_PRIVATE, 16_000, 0o600)} }),
	orphaned("R-7/messages", "leaves messages in queues of no process", 200, unix.SYS_MSGCTL, func() []call {
		text := append([]byte{1}, make([]byte, 8007)...) // struct msgbuf: a type that is not 0, then the text
		return []call{
			sys(unix.SYS_MSGGET, unix.IPC_PRIVATE, 0o600),
			sys(unix.SYS_MSGSND, result(1), text, 8000, unix.IPC_NOWAIT),
		}
	}),
	repeated("R-7/aio", "takes asynchronous I/O contexts, of which the machine has 65536 for everybody", 8, func(int) error {
		var context uint64
		return raw(unix.SYS_IO_SETUP, 1000, unsafe.Pointer(&context))
	}),
	{"R-8/realtime", "runs before everybody else", func(*escape.Scenario) outcome {
		prio := &struct{ priority int32 }{1}
		return attempted(sys(unix.SYS_SCHED_SETSCHEDULER, 0, unix.SCHED_FIFO, unsafe.Pointer(prio)))
	}},
	{"R-8/nice", "raises its priority", func(*escape.Scenario) outcome {
		return attempted(sys(unix.SYS_SETPRIORITY, unix.PRIO_PROCESS, 0, -5))
	}},
	{"R-8/oom", "makes the kernel kill others first", func(*escape.Scenario) outcome {
		return rewritten("/proc/self/oom_score_adj", "0")
	}},
}

// swarm forks n children at once, waits until all are there and ends them.
func swarm(n int) (started int, err error) {
	var pids []int
	defer func() {
		for _, pid := range pids {
			_ = unix.Kill(pid, unix.SIGKILL)
			_, _ = unix.Wait4(pid, nil, 0, nil)
		}
	}()
	// A child sleeps in its only call.
	ts := &unix.Timespec{Sec: 60}
	sleep := []call{sys(unix.SYS_NANOSLEEP, unsafe.Pointer(ts), nil)}
	slots := make([]slot, 1)
	for range n {
		pid, errno := fork(sleep, slots)
		if errno != 0 {
			return len(pids), errno
		}
		pids = append(pids, int(pid))
	}
	return len(pids), nil
}

func filled(id, dir string) attack {
	return attack{id, "fills " + dir, func(*escape.Scenario) outcome { return overflowed(dir) }}
}

// overflowed is the outcome of taking more room in dir than a box has.
func overflowed(dir string) outcome {
	f, err := os.CreateTemp(dir, "fill-")
	if err != nil {
		return by(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	return by(unix.Fallocate(int(f.Fd()), 0, 0, escape.TooManyBytes))
}

// orphaned is the attack of making n objects of System V, each by the calls, of
// which the first returns its number. It removes them.
func orphaned(id, tries string, n int, control uintptr, object func() []call) attack {
	return attack{id, tries, func(*escape.Scenario) outcome {
		for i := range n {
			calls := object()
			first, _, errno := unix.RawSyscall(calls[0].nr, calls[0].args[0], calls[0].args[1], calls[0].args[2])
			if errno == 0 {
				defer raw(control, first, 0, unix.IPC_RMID, 0)
				for _, c := range calls[1:] {
					if _, _, errno = unix.RawSyscall6(c.nr, first, c.args[1], c.args[2], c.args[3], 0, 0); errno != 0 {
						break
					}
				}
			}
			if errno != 0 {
				o := by(errno)
				o.detail = fmt.Sprintf("%d times, then %v", i, errno)
				return o
			}
		}
		return outcome{ok: true, ret: int64(n)}
	}}
}

// repeated is the attack of doing something n times without letting go.
func repeated(id, tries string, n int, once func(int) error) attack {
	return attack{id, tries, func(*escape.Scenario) outcome {
		for i := range n {
			if err := once(i); err != nil {
				o := by(err)
				o.detail = fmt.Sprintf("%d times, then %v", i, err)
				return o
			}
		}
		return outcome{ok: true, ret: int64(n)}
	}}
}
