package disk

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// deepest is how far down directories are looked into: each level takes a
// descriptor. Nobody nests them so, but who wants to hide something.
const deepest = 256

type tooDeep struct{ root string }

func (e *tooDeep) Error() string {
	return fmt.Sprintf("directories in %s are nested more than %d deep", e.root, deepest)
}

// walker adds up what it has not seen yet.
type walker struct {
	usage
	linked map[[2]uint64]bool // files with several names
	dev    map[uint64]bool    // the file systems seen
	at     int
	root   string
}

// walk adds up what is below the roots, and what the processes keep of it that is
// deleted.
func (g *Growth) walk(processes []int) (usage, error) {
	w := &walker{linked: map[[2]uint64]bool{}, dev: map[uint64]bool{}}
	for _, root := range g.roots {
		w.root = root
		if err := w.entry(unix.AT_FDCWD, root); err != nil && !gone(err) {
			return usage{}, err
		}
	}
	for _, pid := range processes {
		w.open(pid)
		w.mapped(pid, g.roots)
	}
	return w.usage, nil
}

// entry adds a file, and all that is below it. No link is followed: the server
// could exchange anything meanwhile.
func (w *walker) entry(dir int, name string) error {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return err
	}
	w.add(&st)
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return nil
	}
	if w.at == deepest {
		return &tooDeep{w.root}
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	w.at++
	defer func() { w.at-- }()
	for {
		names, err := f.Readdirnames(1024)
		for _, name := range names {
			if err := w.entry(fd, name); err != nil && !gone(err) {
				return err
			}
		}
		if err == io.EOF || len(names) == 0 {
			return nil
		}
	}
}

func (w *walker) add(st *unix.Stat_t) {
	w.dev[st.Dev] = true
	id := [2]uint64{st.Dev, st.Ino}
	if st.Nlink > 1 && st.Mode&unix.S_IFMT != unix.S_IFDIR || st.Nlink == 0 {
		if w.linked[id] {
			return
		}
		w.linked[id] = true
	}
	w.files++
	w.bytes += max(st.Blocks*512, least)
}

// open adds the deleted files that a process has open.
func (w *walker) open(pid int) {
	path := fmt.Sprintf("/proc/%d/fd", pid)
	dir, err := os.Open(path)
	if err != nil {
		return // it has ended
	}
	defer dir.Close()
	names, _ := dir.Readdirnames(-1)
	for _, name := range names {
		if target, err := os.Readlink(path + "/" + name); err != nil || !strings.HasSuffix(target, " (deleted)") {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(path+"/"+name, &st) == nil && st.Nlink == 0 && st.Mode&unix.S_IFMT == unix.S_IFREG && w.dev[st.Dev] {
			w.add(&st)
		}
	}
}

// mapped adds the deleted files that a process has only mapped, by the size of the
// mapping: how much of it there is cannot be asked.
func (w *walker) mapped(pid int, roots []string) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return
	}
	for line := range bytes.Lines(data) {
		if !bytes.HasSuffix(line, []byte(" (deleted)\n")) {
			continue
		}
		field := strings.Fields(string(line))
		if len(field) < 7 || !inside(field[5], roots) {
			continue
		}
		var from, to uint64
		if n, _ := fmt.Sscanf(field[0], "%x-%x", &from, &to); n != 2 {
			continue
		}
		ino, _ := strconv.ParseUint(field[4], 10, 64)
		for dev := range w.dev {
			if w.linked[[2]uint64{dev, ino}] {
				from = to // open, and so counted
			}
		}
		w.bytes += int64(to - from)
	}
}

func inside(path string, roots []string) bool {
	for _, root := range roots {
		if strings.HasPrefix(path, root+"/") {
			return true
		}
	}
	return false
}
