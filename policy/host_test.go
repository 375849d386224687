package policy

import (
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// fakeHost is a machine in memory, for the parts that are pure.
type fakeHost struct {
	facts  Facts
	env    map[string]string
	files  map[string]*fakeFile // by path without links
	mounts []Mount
	next   uint64
}

type fakeFile struct {
	Info
	text string // a link's target, a file's content
}

// newHost makes a machine with a user "ann" whose home is /home/ann, from lines
//
//	d /dir        f /file content…      l /link -> target
//	s /socket     p /fifo               c /device
//	m /second/path = /first/path        (the same directory mounted twice)
//	k /dir type                         (a file system of the kernel's mounted)
//	chmod 0644 /path    chown 1001 /path    nlink 2 /path
//
// Directories on the way are made. What is in the home belongs to ann, all else
// to root.
func newHost(t testing.TB, lines string) *fakeHost {
	t.Helper()
	h := &fakeHost{
		env:   map[string]string{"LANG": "C.UTF-8", "TOKEN": "secret", "AWS_KEY": "canary", "LD_PRELOAD": "/evil.so"},
		files: map[string]*fakeFile{},
		facts: Facts{
			User: "ann", Home: "/home/ann", UID: 1000, GID: 1000, EUID: 1000, EGID: 1000, Cwd: "/home/ann/work/app",
			Memory: 8 << 30, CPUs: 4,
			Groups: []Group{{"ann", 1000}, {"docker", 999}},
			Dirs: Dirs{
				State: "/home/ann/.local/state/mcpbox", Config: "/home/ann/.config/mcpbox",
				Cache: "/home/ann/.cache/mcpbox", Runtime: "/run/user/1000/mcpbox",
			},
			Binary: "/home/ann/.local/bin/mcpbox",
		},
	}
	h.make("/", Directory, "")
	h.mounts = []Mount{{"/", "1:1", "/", "ext4"}}
	for line := range strings.Lines(baseHost + lines) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		word := strings.SplitN(line, " ", 3)
		rest := ""
		if len(word) == 3 {
			rest = word[2]
		}
		switch word[0] {
		case "d":
			h.make(word[1], Directory, "")
		case "f":
			h.make(word[1], Regular, rest)
		case "l":
			h.make(word[1], Symlink, strings.TrimPrefix(rest, "-> "))
		case "s":
			h.make(word[1], Socket, "")
		case "p":
			h.make(word[1], FIFO, "")
		case "c":
			h.make(word[1], Device, "")
		case "m":
			h.make(path.Dir(word[1]), Directory, "")
			h.mounts = append(h.mounts, Mount{word[1], "1:1", strings.TrimPrefix(rest, "= "), "ext4"})
			h.files[word[1]] = h.files[strings.TrimPrefix(rest, "= ")]
			for p, f := range h.files {
				if from := strings.TrimPrefix(rest, "= "); below(p, from) {
					h.files[word[1]+p[len(from):]] = f
				}
			}
		case "k":
			h.make(word[1], Directory, "")
			h.mounts = append(h.mounts, Mount{word[1], "0:9", "/", rest})
		case "chmod":
			mode, err := strconv.ParseUint(word[1], 8, 32)
			if err != nil {
				t.Fatal(err)
			}
			h.files[rest].Perm = uint32(mode)
		case "chown":
			uid, err := strconv.Atoi(word[1])
			if err != nil {
				t.Fatal(err)
			}
			h.files[rest].UID = uint32(uid)
		case "nlink":
			n, err := strconv.ParseUint(word[1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			h.files[rest].Nlink = n
		default:
			t.Fatalf("bad line %q", line)
		}
	}
	return h
}

// baseHost is what every machine has: Debian, more or less.
const baseHost = `
d /usr/bin
f /usr/bin/node
f /usr/bin/true
f /usr/lib/os-release
f /usr/share/zoneinfo/Europe/Vienna
l /bin -> usr/bin
l /lib -> usr/lib
l /lib64 -> usr/lib64
d /usr/lib64
d /sbin
l /etc/localtime -> /usr/share/zoneinfo/Europe/Vienna
l /etc/os-release -> ../usr/lib/os-release
d /etc/ssl/certs
d /etc/ssl/private
f /etc/ld.so.cache
f /etc/shadow secret
d /proc
d /sys
c /dev/null
d /run/user/1000/mcpbox
s /run/user/1000/bus
d /run/media/ann/stick
l /var/run -> /run
d /tmp
chmod 1777 /tmp
d /boot
d /srv/data
f /home/ann/.ssh/id_ed25519 secret
f /home/ann/.local/bin/mcpbox
d /home/ann/.local/state/mcpbox
d /home/ann/.config/mcpbox/servers
d /home/ann/.cache/mcpbox/packages
d /home/ann/.config/Claude
f /home/ann/.claude.json
d /home/ann/work/app
f /home/ann/work/app/main.js
d /home/ann/docs
d /home/bob
`

func (h *fakeHost) make(p string, t FileType, text string) {
	if _, ok := h.files[p]; ok {
		return
	}
	if p != "/" {
		h.make(path.Dir(p), Directory, "")
	}
	h.next++
	f := &fakeFile{Info{Type: t, Perm: 0o755, Dev: 1, Ino: h.next, Nlink: 1}, text}
	if below(p, "/home/ann") || p == "/home/ann" || below(p, "/run/user/1000") {
		f.UID, f.GID = 1000, 1000
	}
	if t == Directory {
		f.Nlink = 2
	}
	h.files[p] = f
}

// resolve follows the links in all components but the last, as the kernel does.
func (h *fakeHost) resolve(op, p string, budget int) (string, *fakeFile, error) {
	fail := func(err error) (string, *fakeFile, error) { return "", nil, &fs.PathError{Op: op, Path: p, Err: err} }
	p = path.Clean(p)
	if p == "/" {
		return p, h.files[p], nil
	}
	dir, parent, err := h.resolve(op, path.Dir(p), budget)
	if err != nil {
		return "", nil, err
	}
	for parent.Type == Symlink {
		if budget--; budget < 0 {
			return fail(syscall.ELOOP)
		}
		to := parent.text
		if !path.IsAbs(to) {
			to = path.Join(path.Dir(dir), to)
		}
		if dir, parent, err = h.resolve(op, to, budget); err != nil {
			return "", nil, err
		}
	}
	if parent.Type != Directory {
		return fail(syscall.ENOTDIR)
	}
	if parent.Perm&0o111 == 0 {
		return fail(fs.ErrPermission)
	}
	p = path.Join(dir, path.Base(p))
	f, ok := h.files[p]
	if !ok {
		return fail(fs.ErrNotExist)
	}
	return p, f, nil
}

func (h *fakeHost) Lstat(p string) (Info, error) {
	_, f, err := h.resolve("lstat", p, maxLinks)
	if err != nil {
		return Info{}, err
	}
	return f.Info, nil
}

func (h *fakeHost) Readlink(p string) (string, error) {
	_, f, err := h.resolve("readlink", p, maxLinks)
	if err != nil {
		return "", err
	}
	if f.Type != Symlink {
		return "", &fs.PathError{Op: "readlink", Path: p, Err: syscall.EINVAL}
	}
	return f.text, nil
}

func (h *fakeHost) ReadFile(p string) ([]byte, error) {
	_, f, err := h.resolve("open", p, maxLinks)
	if err != nil {
		return nil, err
	}
	if f.Perm&0o444 == 0 {
		return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrPermission}
	}
	return []byte(f.text), nil
}

func (h *fakeHost) ReadDir(p string, limit int) ([]Entry, error) {
	at, dir, err := h.resolve("open", p, maxLinks)
	if err != nil {
		return nil, err
	}
	if dir.Type != Directory {
		return nil, &fs.PathError{Op: "open", Path: p, Err: syscall.ENOTDIR}
	}
	if dir.Perm&0o444 == 0 {
		return nil, &fs.PathError{Op: "open", Path: p, Err: fs.ErrPermission}
	}
	var list []Entry
	for q, f := range h.files {
		if q != "/" && path.Dir(q) == at {
			list = append(list, Entry{path.Base(q), f.Type, f.Ino})
		}
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return list[:min(limit, len(list))], nil
}

func (h *fakeHost) Mounts() ([]Mount, error) { return h.mounts, nil }

func (h *fakeHost) LookupEnv(name string) (string, bool) {
	v, ok := h.env[name]
	return v, ok
}

func (h *fakeHost) Random(p []byte) error {
	for i := range p {
		p[i] = byte(i)
	}
	return nil
}

func (h *fakeHost) Facts() Facts { return h.facts }
