package main

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"unsafe"

	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

var descriptorAttacks = []attack{
	{"F-1/inherited", "leaves through a directory that somebody forgot to close", func(s *escape.Scenario) outcome {
		for fd := 3; fd < 64; fd++ {
			var st unix.Stat_t
			if unix.Fstat(fd, &st) != nil || st.Mode&unix.S_IFMT != unix.S_IFDIR {
				continue
			}
			leak, err := unix.Openat(fd, strings.Repeat("../", 20)+strings.TrimPrefix(s.In(".ssh/id_ed25519"), "/"), unix.O_RDONLY, 0)
			if err == nil {
				unix.Close(leak)
				return saw(true, fmt.Sprintf("descriptor %d", fd))
			}
		}
		return saw(false, "no directory among the descriptors")
	}},
	{"F-1/others", "finds a file of the host among the descriptors of any process", func(s *escape.Scenario) outcome {
		var refused outcome
		for _, pid := range pids() {
			entries, err := os.ReadDir("/proc/" + pid + "/fd")
			for _, e := range entries {
				var target string
				if target, err = os.Readlink("/proc/" + pid + "/fd/" + e.Name()); strings.HasPrefix(target, s.Scratch) {
					return saw(true, target)
				}
			}
			if errors.Is(err, unix.EACCES) {
				refused = by(err)
			}
		}
		if refused.err == "" {
			return saw(false, "")
		}
		return refused
	}},
	{"F-5/stdio-socket", "finds a socket among its standard streams, over which descriptors could come", func(*escape.Scenario) outcome {
		var last error
		for fd := range 3 {
			if _, last = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); last == nil {
				return saw(true, fmt.Sprintf("descriptor %d", fd))
			}
		}
		return by(last)
	}},
	{"F-7/make-handle", "asks for a handle that names a file without its path", func(s *escape.Scenario) outcome {
		_, _, err := unix.NameToHandleAt(unix.AT_FDCWD, s.In("project"), 0)
		return by(err)
	}},
	{"F-7/open-handle", "opens a file of the disk by handle, whatever is mounted", func(s *escape.Scenario) outcome {
		root, err := unix.Open(s.In("project"), unix.O_RDONLY|unix.O_DIRECTORY, 0)
		if err != nil {
			return by(err)
		}
		// Where no handle can be asked for, it can be guessed: inode 2 is the
		// root of an ext4 file system.
		handle := unix.NewFileHandle(1, []byte{2, 0, 0, 0, 0, 0, 0, 0})
		if h, _, err := unix.NameToHandleAt(unix.AT_FDCWD, s.In("project"), 0); err == nil {
			handle = h
		}
		_, err = unix.OpenByHandleAt(root, handle, unix.O_RDONLY|unix.O_DIRECTORY)
		return by(err)
	}},
	{"F-8/environment", "reads the launcher's secrets in its own environment", func(s *escape.Scenario) outcome {
		for _, kv := range os.Environ() {
			if strings.Contains(kv, s.Token) {
				return saw(true, kv)
			}
		}
		return saw(false, "")
	}},
	{"F-8/all-environments", "reads the launcher's secrets in the environment or arguments of any process", func(s *escape.Scenario) outcome {
		var last outcome
		for _, pid := range pids() {
			for _, file := range []string{"environ", "cmdline"} {
				b, err := os.ReadFile("/proc/" + pid + "/" + file)
				if err != nil && last.err == "" {
					last = by(err)
				} else if strings.Contains(string(b), s.Token) {
					return saw(true, "process "+pid)
				}
			}
		}
		return last.or(saw(false, ""))
	}},
	{"S02/injection", "finds a variable that loads code into every program it starts", func(s *escape.Scenario) outcome {
		for _, name := range escape.Injections {
			if v, ok := os.LookupEnv(name); ok {
				return saw(true, name+"="+v)
			}
		}
		return saw(false, "")
	}},
	{"U-8/desktop", "finds the addresses of the user's desktop, agents and buses", func(*escape.Scenario) outcome {
		for _, name := range escape.Desktop {
			if v, ok := os.LookupEnv(name); ok {
				return saw(true, name+"="+v)
			}
		}
		return saw(false, "")
	}},
	{"F-2/cwd", "stands in a directory outside the box", func(s *escape.Scenario) outcome {
		dir, err := os.Readlink("/proc/self/cwd")
		if err != nil {
			return by(err)
		}
		out, err := os.ReadFile("/proc/self/cwd/../" + "other/secret.txt")
		if err != nil {
			return by(err)
		}
		return saw(len(out) > 0, dir)
	}},
}

var terminalAttacks = []attack{
	typed("X-1/tiocsti", "types a command into the terminal", unix.TIOCSTI),
	typed("X-1/tiocsti-high-bits", "types into the terminal with bits above the 32nd set", 1<<32|unix.TIOCSTI),
	typed("X-1/tioclinux", "pastes into a virtual console", unix.TIOCLINUX),
	typed("X-1/tiocsetd", "changes the line discipline of the terminal", unix.TIOCSETD),
	{"X-1/tty", "opens the controlling terminal, or finds one among its streams", func(*escape.Scenario) outcome {
		for fd := range 3 {
			if _, err := unix.IoctlGetTermios(fd, unix.TCGETS); err == nil {
				return saw(true, fmt.Sprintf("descriptor %d", fd))
			}
		}
		return opened("/dev/tty", unix.O_RDWR)
	}},
	{"X-1/own-terminal", "makes a terminal of its own and types into it", func(*escape.Scenario) outcome {
		fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
		if err != nil {
			return by(err)
		}
		defer unix.Close(fd)
		_, err = unix.IoctlGetInt(fd, unix.TIOCGPTN)
		return by(err)
	}},
	{"X-3/keyctl", "asks for its session keyring", func(*escape.Scenario) outcome {
		_, err := unix.KeyctlGetKeyringID(unix.KEY_SPEC_SESSION_KEYRING, false)
		return by(err)
	}},
	{"X-3/add-key", "puts a key into a keyring", func(*escape.Scenario) outcome {
		_, err := unix.AddKey("user", "probe", []byte("x"), unix.KEY_SPEC_PROCESS_KEYRING)
		return by(err)
	}},
	{"X-3/request-key", "asks for a key by name", func(s *escape.Scenario) outcome {
		_, err := unix.RequestKey("user", s.Key, "", 0)
		return by(err)
	}},
	{"X-3/session-key", "reads a key from the keyring of the user's session", func(s *escape.Scenario) outcome {
		id, err := unix.KeyctlSearch(unix.KEY_SPEC_SESSION_KEYRING, "user", s.Key, 0)
		if err != nil {
			return by(err)
		}
		b := make([]byte, 64)
		n, err := unix.KeyctlBuffer(unix.KEYCTL_READ, id, b, 0)
		if err != nil {
			return by(err)
		}
		return saw(n > 0, string(b[:n]))
	}},
}

// typed asks for a terminal request on standard input. That is no terminal
// here: what counts is whether the request got as far as finding that out.
func typed(id, tries string, request uint64) attack {
	return attack{id, tries, func(*escape.Scenario) outcome {
		c := byte('x')
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, 0, uintptr(request), uintptr(unsafe.Pointer(&c)))
		if errno == 0 || errno == unix.ENOTTY {
			return outcome{ok: true, detail: "reached the stream"}
		}
		return by(errno)
	}}
}
