package main

import (
	"fmt"
	"os"
	"strings"
	"unsafe"

	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

// withMounts tries calls as they stand, then in mount and user namespaces of
// the attacker's own.
func withMounts(calls ...call) outcome { return privileged(unix.CLONE_NEWNS, calls...) }

var mountAttacks = []attack{
	{"M-1/propagation", "finds a mount that events of the host reach", func(*escape.Scenario) outcome {
		b, err := os.ReadFile("/proc/self/mountinfo")
		if err != nil {
			return by(err)
		}
		for line := range strings.Lines(string(b)) {
			// The optional fields stand between the sixth and the dash.
			head, _, _ := strings.Cut(line, " - ")
			if strings.Contains(head, " shared:") || strings.Contains(head, " master:") {
				return saw(true, strings.TrimSpace(line))
			}
		}
		return saw(false, "every mount is private")
	}},
	{"M-1/late-mount", "reads a file system that the host mounts below a declared directory after the start", func(s *escape.Scenario) outcome {
		return stolen(s.In("docs/late/secret"))
	}},
	{"M-2/dotdot", "walks out through the parent of the root", func(s *escape.Scenario) outcome {
		return stolen("/../../../../.." + s.In(".ssh/id_ed25519"))
	}},
	{"M-2/old-root", "reads the host through a root that some process still has", func(s *escape.Scenario) outcome {
		last := saw(false, "no process")
		for _, pid := range pids() {
			for _, link := range []string{"root", "cwd"} {
				last = stolen("/proc/" + pid + "/" + link + s.In(".ssh/id_ed25519"))
				if last.ok {
					return last
				}
			}
		}
		return last
	}},
	{"M-2/chroot", "changes its root, the first half of the classic breakout", func(*escape.Scenario) outcome {
		return privileged(0, sys(unix.SYS_CHROOT, "/tmp"))
	}},
	{"M-2/pivot-root", "makes another directory the root", func(*escape.Scenario) outcome {
		return withMounts(
			sys(unix.SYS_MOUNT, nil, "/", nil, unix.MS_REC|unix.MS_PRIVATE, nil),
			sys(unix.SYS_MOUNT, "/tmp", "/tmp", nil, unix.MS_BIND|unix.MS_REC, nil),
			sys(unix.SYS_CHDIR, "/tmp"),
			sys(unix.SYS_PIVOT_ROOT, ".", "."),
		)
	}},
	{"N01/mount", "mounts over the docs", func(s *escape.Scenario) outcome {
		return withMounts(sys(unix.SYS_MOUNT, s.In("docs"), s.In("docs"), nil, unix.MS_BIND|unix.MS_REC, nil))
	}},
	{"N01/umount", "takes the topmost mount off a directory", func(s *escape.Scenario) outcome {
		// Without a box nothing is mounted there, and something else has to do.
		return attempted(sys(unix.SYS_UMOUNT2, s.In("project/.git/hooks"), unix.MNT_DETACH)).or(withMounts(
			sys(unix.SYS_MOUNT, "/tmp", "/tmp", nil, unix.MS_BIND|unix.MS_REC, nil),
			sys(unix.SYS_UMOUNT2, "/tmp", unix.MNT_DETACH),
		))
	}},
	{"M-3/remount", "clears the read-only flag with remount", func(s *escape.Scenario) outcome {
		return attempted(sys(unix.SYS_MOUNT, nil, s.In("docs"), nil, unix.MS_REMOUNT|unix.MS_BIND, nil)).or(withMounts(
			sys(unix.SYS_MOUNT, s.In("docs"), s.In("docs"), nil, unix.MS_BIND|unix.MS_REC, nil),
			sys(unix.SYS_MOUNT, nil, s.In("docs"), nil, unix.MS_REMOUNT|unix.MS_BIND|unix.MS_NOSUID, nil),
		))
	}},
	{"M-3/mount-setattr", "clears the read-only flag with mount_setattr", func(s *escape.Scenario) outcome {
		attr := &unix.MountAttr{Attr_clr: unix.MOUNT_ATTR_RDONLY}
		set := sys(unix.SYS_MOUNT_SETATTR, unix.AT_FDCWD, s.In("docs"), unix.AT_RECURSIVE, unsafe.Pointer(attr), int(unsafe.Sizeof(*attr)))
		return attempted(set).or(withMounts(sys(unix.SYS_MOUNT, s.In("docs"), s.In("docs"), nil, unix.MS_BIND|unix.MS_REC, nil), set))
	}},
	{"N01/open-tree", "copies the mounts, to reach what lies under them", func(s *escape.Scenario) outcome {
		return withMounts(sys(unix.SYS_OPEN_TREE, unix.AT_FDCWD, "/", unix.OPEN_TREE_CLONE|unix.AT_RECURSIVE))
	}},
	{"N01/fsopen", "makes a file system with the new mount calls", func(*escape.Scenario) outcome {
		return withMounts(sys(unix.SYS_FSOPEN, "tmpfs", 0))
	}},
	{"N01/move-mount", "moves a mount aside", func(s *escape.Scenario) outcome {
		return attempted(sys(unix.SYS_MOVE_MOUNT, unix.AT_FDCWD, s.In("docs"), unix.AT_FDCWD, "/tmp", 0)).or(withMounts(
			sys(unix.SYS_OPEN_TREE, unix.AT_FDCWD, "/tmp", unix.OPEN_TREE_CLONE|unix.AT_RECURSIVE),
			sys(unix.SYS_MOVE_MOUNT, result(1), "", unix.AT_FDCWD, s.In("docs"), unix.MOVE_MOUNT_F_EMPTY_PATH),
		))
	}},
	{"N01/statmount", "lists mounts with a call newer than most filters", func(*escape.Scenario) outcome {
		req := &struct {
			size, spare uint32
			id, param   uint64
			ns          uint64
		}{size: 32, id: ^uint64(0)}
		ids := make([]byte, 8*64)
		const listmount = 458
		return attempted(sys(listmount, unsafe.Pointer(req), ids, 64, 0))
	}},
	{"M-3/submount-write", "writes into a file system mounted below a read-only directory", func(s *escape.Scenario) outcome {
		return planted(s.In("docs/sub/planted"), "x")
	}},
	{"M-4/setid-mount", "finds a mount that honours set-user-ID bits", func(*escape.Scenario) outcome {
		return mountWithout("nosuid")
	}},
	{"M-4/device-mount", "finds a mount outside /dev that honours device nodes", func(*escape.Scenario) outcome {
		return mountWithout("nodev", "/dev/")
	}},
}

// mountWithout looks for a mount point, not below one of but, that lacks an
// option.
func mountWithout(option string, but ...string) outcome {
	b, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return by(err)
	}
next:
	for line := range strings.Lines(string(b)) {
		f := strings.Fields(line)
		for _, dir := range but {
			if strings.HasPrefix(f[4], dir) {
				continue next
			}
		}
		if strings.HasSuffix(f[3], "/null") && option == "nodev" {
			continue // a mask: /dev/null over a file
		}
		if !strings.Contains(","+f[5]+",", ","+option+",") {
			return saw(true, fmt.Sprintf("%s %s", f[4], f[5]))
		}
	}
	return saw(false, "every mount is "+option)
}
