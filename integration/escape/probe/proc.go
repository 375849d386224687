package main

import (
	"os"
	"strconv"
	"strings"

	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

var procAttacks = []attack{
	{"M-8/core-pattern", "names the program that the kernel runs as root for a crash", func(*escape.Scenario) outcome {
		return opened("/proc/sys/kernel/core_pattern", unix.O_WRONLY)
	}},
	{"M-8/sysrq", "reboots the machine through sysrq-trigger", func(*escape.Scenario) outcome {
		return opened("/proc/sysrq-trigger", unix.O_WRONLY)
	}},
	{"M-8/kcore", "reads the kernel's memory", func(*escape.Scenario) outcome {
		return stolen("/proc/kcore")
	}},
	{"M-8/kallsyms", "reads the addresses of the kernel's symbols", func(*escape.Scenario) outcome {
		b, err := os.ReadFile("/proc/kallsyms")
		if err != nil {
			return by(err)
		}
		line, _, _ := strings.Cut(string(b), "\n")
		addr, _, _ := strings.Cut(line, " ")
		return saw(strings.Trim(addr, "0") != "", line)
	}},
	{"M-8/keys", "lists the keys of the machine's users", func(*escape.Scenario) outcome {
		return stolen("/proc/keys")
	}},
	{"M-8/timers", "reads which processes wait for what", func(*escape.Scenario) outcome {
		return stolen("/proc/timer_list")
	}},
	{"M-8/interrupts", "counts the machine's interrupts, a clock on the host's keyboard", func(*escape.Scenario) outcome {
		return stolen("/proc/interrupts")
	}},
	{"M-8/host-process", "finds a process of the host in /proc", func(s *escape.Scenario) outcome {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(s.Victim) + "/cmdline")
		if err != nil {
			return by(err)
		}
		// In a box the number may be taken by a process of the box.
		return saw(strings.Contains(string(b), "victim"), string(b))
	}},
	{"M-8/network-sysctl", "turns the machine into a router", func(*escape.Scenario) outcome {
		return opened("/proc/sys/net/ipv4/ip_forward", unix.O_WRONLY)
	}},
	{"M-10/sysfs", "reads what hardware there is", func(*escape.Scenario) outcome {
		return stolen("/sys/class/net/lo/address")
	}},
	{"M-10/cgroup", "raises its own limits in the cgroup tree", func(*escape.Scenario) outcome {
		last := saw(false, "")
		for _, dir := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/pids", "/sys/fs/cgroup/memory"} {
			if last = opened(dir+"/cgroup.procs", unix.O_WRONLY); last.ok {
				return last
			}
		}
		return last
	}},
	{"M-10/run", "looks into /run, where daemons keep their sockets", func(*escape.Scenario) outcome {
		entries, err := os.ReadDir("/run")
		if err != nil {
			return by(err)
		}
		return saw(len(entries) > 0, strconv.Itoa(len(entries))+" entries")
	}},
	{"E-15/host-sockets", "reads the host's UNIX sockets in /proc/net", func(s *escape.Scenario) outcome {
		b, err := os.ReadFile("/proc/net/unix")
		if err != nil {
			return by(err)
		}
		return saw(strings.Contains(string(b), s.Abstract), "")
	}},
	{"E-15/host-ports", "reads the host's listening ports in /proc/net", func(s *escape.Scenario) outcome {
		b, err := os.ReadFile("/proc/net/tcp")
		if err != nil {
			return by(err)
		}
		_, port, _ := strings.Cut(s.TCPLoopback, ":")
		n, err := strconv.Atoi(port)
		if err != nil {
			return by(err)
		}
		return saw(strings.Contains(string(b), ":"+strings.ToUpper(strconv.FormatInt(int64(0x10000+n), 16))[1:]+" "), "")
	}},
}

// or is the first of two outcomes that is a success, else the first.
func (o outcome) or(other outcome) outcome {
	if !o.ok && other.ok {
		return other
	}
	return o
}

var deviceAttacks = []attack{
	device("kmsg", unix.O_RDONLY), device("mem", unix.O_RDONLY), device("kvm", unix.O_RDWR),
	device("fuse", unix.O_RDWR), device("net/tun", unix.O_RDWR), device("loop-control", unix.O_RDWR),
	device("ptmx", unix.O_RDWR),
	{"F12/disk", "opens the disk that the host runs from", func(*escape.Scenario) outcome {
		last := saw(false, "")
		for _, disk := range []string{"vda", "sda", "nvme0n1", "xvda", "mmcblk0", "loop0"} {
			if last = opened("/dev/"+disk, unix.O_RDONLY); last.ok {
				return last
			}
		}
		return last
	}},
	{"M-11/mknod-memory", "makes a device node for the machine's memory", func(s *escape.Scenario) outcome {
		return made(s.In("out/mem"), unix.S_IFCHR|0o600, int(unix.Mkdev(1, 1)))
	}},
	{"M-11/mknod-disk", "makes a device node for a disk", func(s *escape.Scenario) outcome {
		return made(s.In("out/disk"), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 0)))
	}},
	{"M-11/mknod-whiteout", "makes the one device node that anybody may make", func(s *escape.Scenario) outcome {
		return made(s.In("out/whiteout"), unix.S_IFCHR|0o600, 0)
	}},
	{"U-5/mkfifo", "leaves a FIFO for a program of the host to open", func(s *escape.Scenario) outcome {
		return made(s.In("out/fifo"), unix.S_IFIFO|0o600, 0)
	}},
}

// device is the attack of opening a node of the host's /dev.
func device(name string, flags int) attack {
	return attack{"M-11/" + name, "opens /dev/" + name, func(*escape.Scenario) outcome {
		return opened("/dev/"+name, flags)
	}}
}

// made is the outcome of mknod. It removes what it made.
func made(path string, mode uint32, dev int) outcome {
	defer unix.Unlink(path)
	return by(unix.Mknodat(unix.AT_FDCWD, path, mode, dev))
}
