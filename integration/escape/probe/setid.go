package main

import (
	"unsafe"

	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

// suid is the mode of a program that runs as its owner, whoever starts it. Left
// in a directory of root's it makes every user root.
const suid = unix.S_ISUID | 0o755

// setIDAttacks leave such a program, or a directory that hands on its group.
var setIDAttacks = []attack{
	{"W-4/fchmod", "sets the set-user-ID bit with fchmod", func(s *escape.Scenario) outcome {
		return marked(s, func(fd int, _ string) error { return raw(unix.SYS_FCHMOD, fd, suid) })
	}},
	{"W-4/fchmodat", "sets it with fchmodat", func(s *escape.Scenario) outcome {
		return marked(s, func(_ int, path string) error { return raw(unix.SYS_FCHMODAT, unix.AT_FDCWD, path, suid) })
	}},
	{"W-4/fchmodat2", "sets it with fchmodat2", func(s *escape.Scenario) outcome {
		return marked(s, func(_ int, path string) error { return raw(unix.SYS_FCHMODAT2, unix.AT_FDCWD, path, suid, 0) })
	}},
	{"W-4/set-group", "sets the set-group-ID bit", func(s *escape.Scenario) outcome {
		return marked(s, func(fd int, _ string) error { return raw(unix.SYS_FCHMOD, fd, unix.S_ISGID|0o755) })
	}},
	{"W-4/high-bits", "sets it with mode bits above the 16th set as well", func(s *escape.Scenario) outcome {
		return marked(s, func(fd int, _ string) error { return raw(unix.SYS_FCHMOD, fd, uint64(1)<<40|1<<20|suid) })
	}},
	{"W-4/directory", "sets the set-group-ID bit on a directory", func(s *escape.Scenario) outcome {
		dir := s.In("out/sgid")
		if err := unix.Mkdir(dir, 0o755); err != nil {
			return by(err)
		}
		defer unix.Rmdir(dir)
		return by(raw(unix.SYS_FCHMODAT, unix.AT_FDCWD, dir, unix.S_ISGID|0o755))
	}},
	{"W-4/openat", "creates a set-user-ID file with openat", func(s *escape.Scenario) outcome {
		return born(s, func(path string) error {
			return raw(unix.SYS_OPENAT, unix.AT_FDCWD, path, unix.O_CREAT|unix.O_WRONLY, suid)
		})
	}},
	{"W-4/openat2", "creates one with openat2, whose mode a filter cannot read", func(s *escape.Scenario) outcome {
		return born(s, func(path string) error {
			how := &unix.OpenHow{Flags: unix.O_CREAT | unix.O_WRONLY, Mode: suid}
			return raw(unix.SYS_OPENAT2, unix.AT_FDCWD, path, unsafe.Pointer(how), int(unsafe.Sizeof(*how)))
		})
	}},
	{"W-4/tmpfile", "creates one without a name and links it", func(s *escape.Scenario) outcome {
		return born(s, func(path string) error {
			fd, err := unix.Open(s.In("out"), unix.O_TMPFILE|unix.O_WRONLY, suid)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Linkat(unix.AT_FDCWD, procFD(fd), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW)
		})
	}},
	{"W-4/mknodat", "creates one with mknodat", func(s *escape.Scenario) outcome {
		return born(s, func(path string) error {
			return raw(unix.SYS_MKNODAT, unix.AT_FDCWD, path, unix.S_IFREG|suid, 0)
		})
	}},
}

// raw makes one call in this process, bits as given.
func raw(nr uintptr, args ...any) error {
	c := sys(nr, args...)
	a := c.args
	if _, _, errno := unix.RawSyscall6(nr, a[0], a[1], a[2], a[3], a[4], a[5]); errno != 0 {
		return errno
	}
	return nil
}

// marked is the outcome of giving an own file a set-id bit.
func marked(s *escape.Scenario, mark func(fd int, path string) error) outcome {
	path := s.In("out/suid")
	fd, err := unix.Open(path, unix.O_CREAT|unix.O_EXCL|unix.O_RDWR|unix.O_CLOEXEC, 0o755)
	if err != nil {
		return by(err)
	}
	defer unix.Unlink(path)
	if err := mark(fd, path); err != nil {
		return by(err)
	}
	return changed(setID(path), "")
}

// born is the outcome of creating a file that has a set-id bit.
func born(s *escape.Scenario, create func(path string) error) outcome {
	path := s.In("out/born")
	defer unix.Unlink(path)
	if err := create(path); err != nil {
		return by(err)
	}
	return changed(setID(path), "")
}

func setID(path string) bool {
	var st unix.Stat_t
	return unix.Lstat(path, &st) == nil && st.Mode&(unix.S_ISUID|unix.S_ISGID) != 0
}
