package main

import (
	"fmt"
	"time"

	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

func procFD(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// readOnlyAttacks change what is declared read-only.
var readOnlyAttacks = []attack{
	{"W-9/append", "appends to a read-only file", func(s *escape.Scenario) outcome {
		return planted(s.In("docs/readme.md"), "pwned\n")
	}},
	{"W-9/create", "creates a file in a read-only directory", func(s *escape.Scenario) outcome {
		defer unix.Unlink(s.In("docs/planted"))
		return planted(s.In("docs/planted"), "pwned\n")
	}},
	{"W-9/truncate", "truncates a read-only file", func(s *escape.Scenario) outcome {
		return by(unix.Truncate(s.In("docs/long.txt"), 5))
	}},
	{"W-9/unlink", "deletes a read-only file", func(s *escape.Scenario) outcome {
		return by(unix.Unlink(s.In("docs/doomed")))
	}},
	{"W-9/rename-over", "renames an own file over a read-only one", func(s *escape.Scenario) outcome {
		if o := planted(s.In("out/new"), "pwned\n"); !o.ok {
			return o
		}
		defer unix.Unlink(s.In("out/new"))
		return by(unix.Rename(s.In("out/new"), s.In("docs/replaced")))
	}},
	{"W-9/whiteout", "leaves a whiteout where a file was", func(s *escape.Scenario) outcome {
		defer unix.Unlink(s.In("docs/whited"))
		return by(unix.Renameat2(unix.AT_FDCWD, s.In("docs/whited"), unix.AT_FDCWD, s.In("docs/moved"), unix.RENAME_WHITEOUT))
	}},
	{"W-9/symlink", "makes a symbolic link in a read-only directory", func(s *escape.Scenario) outcome {
		defer unix.Unlink(s.In("docs/link"))
		return by(unix.Symlinkat("/etc/passwd", unix.AT_FDCWD, s.In("docs/link")))
	}},
	{"W-9/setxattr", "sets an extended attribute on a read-only file", func(s *escape.Scenario) outcome {
		return by(unix.Setxattr(s.In("docs/readme.md"), "user.probe", []byte("x"), 0))
	}},
	{"W-9/utimes", "sets the times of a read-only file", func(s *escape.Scenario) outcome {
		return by(unix.Utimes(s.In("docs/readme.md"), make([]unix.Timeval, 2)))
	}},
	reading("W-9/fchmod", "changes the mode of a read-only file by descriptor", func(fd int) error {
		return unix.Fchmod(fd, 0o640)
	}),
	reading("W-9/fchown", "changes the owner of a read-only file", func(fd int) error {
		return unix.Fchown(fd, unix.Getuid(), -1)
	}),
	reading("W-9/reopen", "opens a read-only descriptor again, for writing", func(fd int) error {
		again, err := unix.Open(procFD(fd), unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err == nil {
			unix.Close(again)
		}
		return err
	}),
	reading("W-9/chattr", "changes the flags of a read-only file", func(fd int) error {
		const noDump = 0x40
		return unix.IoctlSetPointerInt(fd, unix.FS_IOC_SETFLAGS, noDump)
	}),
	writing("W-9/mmap", "writes a read-only file through shared memory", func(fd int) error {
		b, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			return err
		}
		b[0] = '!'
		return unix.Munmap(b)
	}),
	writing("W-9/punch-hole", "punches a hole into a read-only file", func(fd int) error {
		return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, 0, 4096)
	}),
	writing("W-9/splice", "splices into a read-only file", func(fd int) error {
		var p [2]int
		if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
			return err
		}
		if _, err := unix.Write(p[1], []byte(word)); err != nil {
			return err
		}
		_, err := unix.Splice(p[0], nil, fd, nil, len(word), 0)
		return err
	}),
	writing("W-9/copy-range", "copies a range into a read-only file", func(fd int) error {
		from, err := unix.Open("/proc/self/exe", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(from)
		// Between two file systems, as in a box, older kernels refuse.
		if _, err = unix.CopyFileRange(from, nil, fd, nil, 16, 0); err == unix.EXDEV {
			_, err = unix.Sendfile(fd, from, nil, 16)
		}
		return err
	}),
	{"W-9/tmpfile", "makes a nameless file in a read-only directory", func(s *escape.Scenario) outcome {
		return opened(s.In("docs"), unix.O_TMPFILE|unix.O_RDWR)
	}},
	{"W-9/probe", "changes the program that it was started from", func(s *escape.Scenario) outcome {
		return by(unix.Rename(s.In("tools/spare"), s.In("tools/probe.new")))
	}},
	{"W-9/system", "plants a program where the system keeps its own", func(*escape.Scenario) outcome {
		name := fmt.Sprintf("/usr/bin/mcpbox-probe-%d", time.Now().UnixNano())
		defer unix.Unlink(name)
		return planted(name, "#!/bin/sh\n")
	}},
	{"W-9/etc", "plants a file in /etc", func(*escape.Scenario) outcome {
		name := fmt.Sprintf("/etc/mcpbox-probe-%d", time.Now().UnixNano())
		defer unix.Unlink(name)
		return planted(name, "")
	}},
	{"W-9/root-directory", "makes a directory in the root", func(*escape.Scenario) outcome {
		name := fmt.Sprintf("/mcpbox-probe-%d", time.Now().UnixNano())
		defer unix.Rmdir(name)
		return by(unix.Mkdir(name, 0o755))
	}},
}

// reading is an attack on a read-only file that was opened for reading.
func reading(id, tries string, do func(fd int) error) attack {
	return attack{id, tries, func(s *escape.Scenario) outcome {
		fd, err := unix.Open(s.In("docs/readme.md"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err != nil {
			return by(err)
		}
		defer unix.Close(fd)
		return by(do(fd))
	}}
}

// writing is an attack on a read-only file that is opened for writing where
// that goes, and for reading where not.
func writing(id, tries string, do func(fd int) error) attack {
	return attack{id, tries, func(s *escape.Scenario) outcome {
		fd, err := unix.Open(s.In("docs/long.txt"), unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			fd, err = unix.Open(s.In("docs/long.txt"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
		}
		if err != nil {
			return by(err)
		}
		defer unix.Close(fd)
		return by(do(fd))
	}}
}
