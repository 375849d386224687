package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"

	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

// needs are what honest servers do, and a box must let them: a jail that holds
// because nothing works in it proves nothing.
var needs = []attack{
	{"needs/exec", "runs another program", func(s *escape.Scenario) outcome {
		return ran(s.In("tools/spare"), func(c identity) bool { return c.EUID == os.Geteuid() })
	}},
	{"needs/shell", "runs a shell with a pipeline", func(*escape.Scenario) outcome {
		out, err := exec.Command("/bin/sh", "-c", "echo one two | wc -w").Output()
		if err != nil {
			return by(err)
		}
		return saw(strings.TrimSpace(string(out)) == "2", string(out))
	}},
	{"needs/threads", "runs thirty threads at once", func(*escape.Scenario) outcome {
		var all sync.WaitGroup
		gate := make(chan bool)
		for range 30 {
			all.Go(func() {
				runtime.LockOSThread()
				<-gate
			})
		}
		close(gate)
		all.Wait()
		return by(nil)
	}},
	{"needs/read", "reads what is declared read-only", func(s *escape.Scenario) outcome { return stolen(s.In("docs/readme.md")) }},
	kept("needs/write", "project/new.go"), kept("needs/write-git", "project/.git/objects/new"),
	{"needs/rename", "renames a file from one directory of the project to another", func(s *escape.Scenario) outcome {
		if err := os.MkdirAll(s.In("project/x/y"), 0o755); err != nil {
			return by(err)
		}
		defer os.RemoveAll(s.In("project/x"))
		if err := os.WriteFile(s.In("project/x/one"), nil, 0o644); err != nil {
			return by(err)
		}
		return by(unix.Rename(s.In("project/x/one"), s.In("project/x/y/two")))
	}},
	scratch("needs/tmp", "/tmp"), scratch("needs/shm", "/dev/shm"), scratch("needs/home", ""),
	{"needs/exec-tmp", "runs a program that it has just written to /tmp", func(*escape.Scenario) outcome {
		b, err := os.ReadFile(os.Args[0])
		if err != nil {
			return by(err)
		}
		dir, err := os.MkdirTemp("", "exec-")
		if err != nil {
			return by(err)
		}
		defer os.RemoveAll(dir)
		if err := os.WriteFile(dir+"/program", b, 0o755); err != nil {
			return by(err)
		}
		return ran(dir+"/program", func(c identity) bool { return c.EUID == os.Geteuid() })
	}},
	pair("needs/stream-pair", unix.SOCK_STREAM), pair("needs/seqpacket-pair", unix.SOCK_SEQPACKET), // I04
	{"needs/loopback", "serves TCP to itself", func(*escape.Scenario) outcome {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return by(err)
		}
		defer l.Close()
		return called("tcp", l.Addr().String())
	}},
	{"needs/interfaces", "lists network interfaces", func(*escape.Scenario) outcome {
		list, err := net.Interfaces()
		return by(err).or(saw(len(list) > 0, ""))
	}},
	{"needs/inotify", "watches a file", func(s *escape.Scenario) outcome {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		if err != nil {
			return by(err)
		}
		_, err = unix.InotifyAddWatch(fd, s.In("project/main.go"), unix.IN_MODIFY)
		return by(err)
	}},
	{"needs/proc", "reads memory and processor facts", func(*escape.Scenario) outcome {
		for _, name := range []string{"/proc/meminfo", "/proc/cpuinfo", "/proc/stat", "/proc/self/maps", "/proc/sys/vm/overcommit_memory"} {
			if o := stolen(name); !o.ok {
				return o
			}
		}
		return by(nil)
	}},
	{"needs/reserve", "reserves 64 GiB of address space, as WebAssembly does", func(*escape.Scenario) outcome {
		_, err := unix.Mmap(-1, 0, 64<<30, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
		return by(err)
	}},
	{"needs/jit", "writes and runs machine code", func(*escape.Scenario) outcome {
		_, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE|unix.PROT_EXEC, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
		return by(err)
	}},
	{"needs/user", "finds its user in /etc/passwd", func(*escape.Scenario) outcome {
		b, err := os.ReadFile("/etc/passwd")
		if err != nil {
			return by(err)
		}
		return saw(strings.Contains(string(b), fmt.Sprintf(":%d:", os.Getuid())), string(b))
	}},
	{"needs/prefix", "reads the directory whose name begins like an undeclared one", func(s *escape.Scenario) outcome {
		return stolen(s.In(".sshfoo/readme"))
	}},
}

// kept writes a file into the project and reads it back.
func kept(id, name string) attack {
	return attack{id, "writes into " + name, func(s *escape.Scenario) outcome {
		path := s.In(name)
		defer os.Remove(path)
		return planted(path, "text").or(stolen(path))
	}}
}

// scratch makes and removes a file in dir, or in the home directory.
func scratch(id, dir string) attack {
	return attack{id, "writes into " + dir, func(s *escape.Scenario) outcome {
		path := s.In(".needs")
		if dir != "" {
			path = fmt.Sprintf("%s/needs-%d", dir, os.Getpid())
		}
		defer os.Remove(path)
		return planted(path, "text")
	}}
}

func pair(id string, kind int) attack {
	return attack{id, "talks to itself through a pair of sockets", func(*escape.Scenario) outcome {
		_, err := unix.Socketpair(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
		return by(err)
	}}
}
