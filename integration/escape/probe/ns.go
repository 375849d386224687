package main

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"unsafe"

	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

// cloneArgs is struct clone_args of clone3(2).
type cloneArgs struct {
	flags, pidfd, childTID, parentTID, exitSignal, stack, stackSize, tls, setTID, setTIDSize, cgroup uint64
}

func clone3(flags uint64) call {
	args := &cloneArgs{flags: flags, exitSignal: uint64(unix.SIGCHLD)}
	return sys(unix.SYS_CLONE3, unsafe.Pointer(args), int(unsafe.Sizeof(*args)))
}

var userNamespaceAttacks = []attack{
	{"N-1/unshare-user", "makes a user namespace with unshare, for its capabilities", func(*escape.Scenario) outcome {
		return attempted(sys(unix.SYS_UNSHARE, unix.CLONE_NEWUSER))
	}},
	{"N-1/clone-user", "makes a user namespace with clone", func(*escape.Scenario) outcome {
		return attempted(sys(unix.SYS_CLONE, unix.CLONE_NEWUSER|int(unix.SIGCHLD)))
	}},
	{"N-1/clone3-user", "makes a user namespace with clone3, whose flags a filter cannot read", func(*escape.Scenario) outcome {
		return attempted(clone3(unix.CLONE_NEWUSER))
	}},
	{"N-1/clone-high-bits", "hides CLONE_NEWUSER among flag bits above the 32nd", func(*escape.Scenario) outcome {
		return attempted(sys(unix.SYS_CLONE, uint64(1)<<40|unix.CLONE_NEWUSER|uint64(unix.SIGCHLD)))
	}},
	{"N-1/mount-inside", "makes user and mount namespaces and mounts a tmpfs", func(*escape.Scenario) outcome {
		return attempted(
			sys(unix.SYS_UNSHARE, unix.CLONE_NEWUSER|unix.CLONE_NEWNS),
			sys(unix.SYS_MOUNT, nil, "/", nil, unix.MS_REC|unix.MS_PRIVATE, nil),
		)
	}},
	{"N-9/fsopen-inside", "makes user and mount namespaces and configures a file system (CVE-2022-0185)", func(*escape.Scenario) outcome {
		return attempted(
			sys(unix.SYS_UNSHARE, unix.CLONE_NEWUSER|unix.CLONE_NEWNS),
			sys(unix.SYS_FSOPEN, "tmpfs", 0),
		)
	}},
	{"N-9/nftables-inside", "makes user and network namespaces and talks to nf_tables", func(*escape.Scenario) outcome {
		return attempted(
			sys(unix.SYS_UNSHARE, unix.CLONE_NEWUSER|unix.CLONE_NEWNET),
			sys(unix.SYS_SOCKET, unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER),
		)
	}},
	{"N-9/raw-socket-inside", "makes user and network namespaces and opens a packet socket", func(*escape.Scenario) outcome {
		return attempted(
			sys(unix.SYS_UNSHARE, unix.CLONE_NEWUSER|unix.CLONE_NEWNET),
			sys(unix.SYS_SOCKET, unix.AF_PACKET, unix.SOCK_RAW, 0),
		)
	}},
	{"N01/setns-child", "joins the user namespace of a child", func(*escape.Scenario) outcome {
		return attempted(
			sys(unix.SYS_CLONE, unix.CLONE_NEWUSER|int(unix.SIGCHLD)),
			sys(unix.SYS_PIDFD_OPEN, result(1), 0),
			sys(unix.SYS_SETNS, result(2), unix.CLONE_NEWUSER),
		)
	}},
	{"N01/setns-file", "joins a namespace by its file in /proc", func(*escape.Scenario) outcome {
		return attempted(
			sys(unix.SYS_OPENAT, unix.AT_FDCWD, "/proc/self/ns/uts", unix.O_RDONLY, 0),
			sys(unix.SYS_SETNS, result(1), unix.CLONE_NEWUTS),
		)
	}},
	{"N-2/raise-limit", "raises the number of user namespaces it may make", func(*escape.Scenario) outcome {
		return opened("/proc/sys/user/max_user_namespaces", unix.O_WRONLY)
	}},
	{"N-3/setgroups", "drops the groups that a file excludes", func(*escape.Scenario) outcome {
		return attempted(sys(unix.SYS_SETGROUPS, 0, nil))
	}},
	{"N-3/setgroups-state", "finds setgroups allowed in its user namespace", func(*escape.Scenario) outcome {
		b, err := os.ReadFile("/proc/self/setgroups")
		if err != nil {
			return by(err)
		}
		return saw(strings.TrimSpace(string(b)) != "deny", string(b))
	}},
	{"N-4/id-map", "finds more than one user, or root of the host, in its map", func(*escape.Scenario) outcome {
		b, err := os.ReadFile("/proc/self/uid_map")
		if err != nil {
			return by(err)
		}
		f := strings.Fields(string(b))
		return saw(len(f) != 3 || f[2] != "1", string(b))
	}},
	{"N-4/capabilities", "finds a capability in one of its five sets", func(*escape.Scenario) outcome {
		for _, set := range []string{"CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"} {
			if v := status("self", set); strings.Trim(v, "0") != "" {
				return saw(true, set+" "+v)
			}
		}
		return saw(false, "all sets are empty")
	}},
	{"N-4/new-privileges", "finds that exec may give it privileges", func(*escape.Scenario) outcome {
		v := status("self", "NoNewPrivs")
		return saw(v != "1", "NoNewPrivs "+v)
	}},
	{"N-4/securebits", "finds that user 0 would get capabilities from exec", func(*escape.Scenario) outcome {
		bits, err := unix.PrctlRetInt(unix.PR_GET_SECUREBITS, 0, 0, 0, 0)
		if err != nil {
			return by(err)
		}
		const locked = 0x2f // NOROOT and NO_SETUID_FIXUP with their locks, KEEP_CAPS locked off
		return saw(bits&locked != locked, fmt.Sprintf("securebits %#x", bits))
	}},
	{"N-5/setuid-program", "runs a program that is set-user-ID root", func(s *escape.Scenario) outcome {
		return ran(s.In("tools/setuid"), func(c identity) bool { return c.EUID != os.Geteuid() })
	}},
	{"N-5/file-capabilities", "runs a program with file capabilities", func(s *escape.Scenario) outcome {
		return ran(s.In("tools/filecap"), func(c identity) bool { return strings.Trim(c.Caps, "0") != "" })
	}},
	{"N06/hostname", "renames the machine", func(*escape.Scenario) outcome {
		return privileged(unix.CLONE_NEWUTS, sys(unix.SYS_SETHOSTNAME, "pwned", 5))
	}},
	{"N06/shared-namespaces", "finds a namespace that it shares with the host", func(s *escape.Scenario) outcome {
		var shared []string
		for ns, host := range s.Namespaces {
			if own, err := os.Readlink("/proc/self/ns/" + ns); err == nil && own == host {
				shared = append(shared, ns)
			}
		}
		return saw(len(shared) > 0, strings.Join(shared, " "))
	}},
}

// identity is what a program that was executed says of itself.
type identity struct {
	EUID int    `json:"euid"`
	Caps string `json:"caps"`
}

func credentials() identity { return identity{EUID: os.Geteuid(), Caps: status("self", "CapEff")} }

// ran executes another copy of the probe and judges who that copy is.
func ran(path string, better func(identity) bool) outcome {
	cmd := exec.Command(path, "exec-child")
	b, err := cmd.Output()
	if err != nil {
		return by(err)
	}
	var c identity
	if err := decode(b, &c); err != nil {
		return by(err)
	}
	return changed(better(c), fmt.Sprintf("euid %d, capabilities %s", c.EUID, c.Caps))
}
