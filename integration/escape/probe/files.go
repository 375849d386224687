package main

import (
	"crypto/sha256"
	"fmt"
	"os"

	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

// secretAttacks read what the policy does not name.
var secretAttacks = []attack{
	secret("F01/ssh-key", "the user's SSH key", ".ssh/id_ed25519"),
	secret("F01/aws", "cloud credentials", ".aws/credentials"),
	secret("F01/gcloud", "cloud tokens", ".config/gcloud/credentials.db"),
	secret("F01/browser", "a browser's cookies", ".config/google-chrome/Default/Cookies"),
	secret("F01/history", "the shell's history", ".bash_history"),
	secret("M-12/npmrc", "a registry token", ".npmrc"),
	secret("M-12/netrc", "passwords for curl", ".netrc"),
	secret("M-12/git-credentials", "passwords for git", ".git-credentials"),
	secret("M-12/other-project", "the user's other project", "other/secret.txt"),
	secret("F16/policy", "another server's policy", ".config/mcpbox/servers/other.toml"),
	secret("M-7/hidden-file", "a file that the policy hides inside a declared directory", "project/.env"),
	secret("M-7/hidden-directory", "a directory that the policy hides inside a declared directory", "project/private/key"),
	{"M-12/shadow", "reads the machine's password hashes", func(*escape.Scenario) outcome {
		return stolen("/etc/shadow")
	}},
	{"M-12/etc", "reads how the machine tells its users apart", func(*escape.Scenario) outcome {
		return saw(opened("/etc/shadow-", unix.O_RDONLY).ok || opened("/etc/pam.conf", unix.O_RDONLY).ok || opened("/etc/pam.d", unix.O_RDONLY).ok, "")
	}},
	{"M-12/passwd", "learns the machine's users", func(*escape.Scenario) outcome {
		b, err := os.ReadFile("/etc/passwd")
		if err != nil {
			return by(err)
		}
		lines := 0
		for _, c := range b {
			if c == '\n' {
				lines++
			}
		}
		return saw(lines > 4, fmt.Sprintf("%d users, %x", lines, sha256.Sum256(b)))
	}},
	{"M-12/host-tmp", "reads a file of the host's /tmp", func(s *escape.Scenario) outcome {
		return stolen(s.Scratch + "/secret")
	}},
	{"M-12/root-home", "enters the home of root", func(*escape.Scenario) outcome {
		return opened("/root", unix.O_RDONLY|unix.O_DIRECTORY)
	}},
	{"F01/stat", "asks whether an undeclared file exists", func(s *escape.Scenario) outcome {
		var st unix.Stat_t
		return by(unix.Lstat(s.In(".ssh/id_ed25519"), &st))
	}},
	{"F01/access", "asks whether an undeclared directory exists", func(s *escape.Scenario) outcome {
		return by(unix.Faccessat(unix.AT_FDCWD, s.In(".aws"), unix.F_OK, 0))
	}},
	{"F02/prefix", "goes from .sshfoo, which is declared, to .ssh, which is not", func(s *escape.Scenario) outcome {
		if o := opened(s.In(".sshfoo"), unix.O_RDONLY|unix.O_DIRECTORY); !o.ok {
			return outcome{err: "lost .sshfoo: " + o.err}
		}
		return stolen(s.In(".sshfoo/../.ssh/id_ed25519"))
	}},
	{"F03/traversal", "goes up from a descriptor of a declared directory", func(s *escape.Scenario) outcome {
		dir, err := unix.Open(s.In("project"), unix.O_PATH|unix.O_DIRECTORY, 0)
		if err != nil {
			return by(err)
		}
		fd, err := unix.Openat(dir, "../.ssh/id_ed25519", unix.O_RDONLY, 0)
		if err != nil {
			return by(err)
		}
		unix.Close(fd)
		return by(nil)
	}},
}

func secret(id, what, path string) attack {
	return attack{id, "reads " + what, func(s *escape.Scenario) outcome { return stolen(s.In(path)) }}
}

// treeAttacks leave a declared directory by way of the file system.
var treeAttacks = []attack{
	{"F04/symlink-write", "writes through a symbolic link in the project to a file outside", func(s *escape.Scenario) outcome {
		link := s.In("out/link")
		if err := unix.Symlinkat(s.In("other/secret.txt"), unix.AT_FDCWD, link); err != nil {
			return by(err)
		}
		defer unix.Unlink(link)
		fd, err := unix.Open(link, unix.O_WRONLY|unix.O_APPEND, 0)
		if err != nil {
			return by(err)
		}
		defer unix.Close(fd)
		_, err = unix.Write(fd, []byte("pwned\n"))
		return by(err)
	}},
	{"F04/old-symlink", "writes through a symbolic link that was in the project before", func(s *escape.Scenario) outcome {
		return planted(s.In("project/outside/planted"), "pwned\n").or(stolen(s.In("project/outside/secret.txt")))
	}},
	{"F05/hard-link-home", "links an undeclared file into the project", func(s *escape.Scenario) outcome {
		return linked(s.In(".ssh/id_ed25519"), s.In("out/hard"))
	}},
	{"M-13/hard-link-docs", "links a read-only file into a writable directory, to write it there", func(s *escape.Scenario) outcome {
		return linked(s.In("docs/readme.md"), s.In("out/hard"))
	}},
	{"F16/write-outside", "plants a file in the user's home", func(s *escape.Scenario) outcome {
		return arrived(s.In(".bashrc"))
	}},
	{"F16/autostart", "changes a program that the desktop starts", func(s *escape.Scenario) outcome {
		return arrived(s.In(".config/autostart/editor.desktop"))
	}},
	{"F16/own-policy", "widens the policy that it runs under", func(s *escape.Scenario) outcome {
		return arrived(s.In(".config/mcpbox/servers/probe.toml"))
	}},
	{"F16/journal", "rewrites the record of what it did", func(s *escape.Scenario) outcome {
		return arrived(s.In(".local/state/mcpbox/journal/other/1.jsonl"))
	}},
	{"F16/filter-cache", "changes a compiled system call filter", func(s *escape.Scenario) outcome {
		return arrived(s.In(".cache/mcpbox/filters/other.bpf"))
	}},
	{"F16/launcher", "opens the installed launcher for writing", func(s *escape.Scenario) outcome {
		return opened(s.In(".local/bin/mcpbox"), unix.O_WRONLY)
	}},
	{"F16/client-config", "changes which servers the user's client starts", func(s *escape.Scenario) outcome {
		return arrived(s.In(".config/Claude/claude_desktop_config.json"))
	}},
	{"F14/tmpfile-link", "makes a file without a name and names it inside .git/hooks", func(s *escape.Scenario) outcome {
		fd, err := unix.Open(s.In("project"), unix.O_TMPFILE|unix.O_WRONLY, 0o755)
		if err != nil {
			return by(err)
		}
		defer unix.Close(fd)
		name := s.In("project/.git/hooks/post-merge")
		defer unix.Unlink(name)
		return by(unix.Linkat(unix.AT_FDCWD, fmt.Sprintf("/proc/self/fd/%d", fd), unix.AT_FDCWD, name, unix.AT_SYMLINK_FOLLOW))
	}},
}

// linked is the outcome of link. It removes the new name.
func linked(from, to string) outcome {
	defer unix.Unlink(to)
	return by(unix.Linkat(unix.AT_FDCWD, from, unix.AT_FDCWD, to, 0))
}

// arrived is the outcome of appending to a file that exists on the host. A box
// may have a directory of its own at that path: a new file there is no harm.
func arrived(path string) outcome {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC, 0)
	if err != nil {
		return by(err)
	}
	defer unix.Close(fd)
	_, err = unix.Write(fd, []byte("pwned\n"))
	return by(err)
}
