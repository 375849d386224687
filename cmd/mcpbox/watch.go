package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"github.com/mcpbox/mcpbox/policy"
	"golang.org/x/sys/unix"
)

// A cover is a mount of the box over one name in a directory of the host: a
// protected name, a pinned ancestor of one, or something hidden. The box cannot
// take it off. But when a program of the host renames another file over that
// name, or deletes it, the kernel takes the mount off in every namespace
// (detach_mounts in fs/namespace.c, since Linux 3.18), and the new file lies
// open. Editors save that way, and so does git config.
type cover struct {
	path   string
	hidden bool // what lies open may be read, and not only changed
}

// covers lists them. Those inside a staged directory are not among them: they lie
// on the box's own view, which no program of the host can change.
func covers(r *policy.Report) []cover {
	var list []cover
	seen := map[string]bool{}
	add := func(path string, hidden bool) {
		if !seen[path] && !onView(r, path) {
			seen[path] = true
			list = append(list, cover{path, hidden})
		}
	}
	for _, path := range append(append([]string(nil), r.Hidden...), r.MaskedSockets...) {
		add(path, true)
	}
	for _, path := range r.Protected {
		for _, root := range r.Write {
			for at := path; strings.HasPrefix(at, root+"/"); at = filepath.Dir(at) {
				add(at, false)
			}
		}
	}
	return list
}

// onView reports whether the nearest mount around path is a staged directory.
func onView(r *policy.Report, path string) bool {
	if !r.Staged {
		return false
	}
	for at := filepath.Dir(path); at != "/"; at = filepath.Dir(at) {
		switch {
		case slices.Contains(r.Read, at), slices.Contains(r.Protected, at):
			return false
		case slices.Contains(r.Write, at):
			return true
		}
	}
	return false
}

// watch tells when a cover is lost. It has to begin before the box does: what
// is exchanged between the two is refused as a changed source.
type watch struct {
	file  *os.File
	names map[int32]map[string]cover // by watch descriptor of the directory
}

const watchedEvents = unix.IN_CREATE | unix.IN_DELETE | unix.IN_MOVED_FROM | unix.IN_MOVED_TO | unix.IN_ONLYDIR | unix.IN_DONT_FOLLOW

// newWatch watches the directories of the covers. With none it returns nil,
// which is a watch that tells nothing.
func newWatch(list []cover) (*watch, error) {
	if len(list) == 0 {
		return nil, nil
	}
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC | unix.IN_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("watch protected and hidden files: %w; type: sudo sysctl fs.inotify.max_user_instances=1024", err)
	}
	w := &watch{os.NewFile(uintptr(fd), "inotify"), map[int32]map[string]cover{}}
	for _, c := range list {
		dir, name := filepath.Split(c.path)
		wd, err := unix.InotifyAddWatch(fd, filepath.Clean(dir), watchedEvents)
		if err != nil {
			w.close()
			return nil, fmt.Errorf("watch %s: %w; type: sudo sysctl fs.inotify.max_user_watches=524288", dir, err)
		}
		if w.names[int32(wd)] == nil {
			w.names[int32(wd)] = map[string]cover{}
		}
		w.names[int32(wd)][name] = c
	}
	return w, nil
}

func (w *watch) close() {
	if w != nil {
		w.file.Close()
	}
}

// run sends each cover that is lost, until close. An overflow of the kernel's
// queue (inotify(7), IN_Q_OVERFLOW) may have hidden any of them.
func (w *watch) run(lost chan<- cover) {
	if w == nil {
		return
	}
	buf := make([]byte, 16<<10)
	for {
		n, err := w.file.Read(buf)
		if err != nil {
			return
		}
		for at := 0; at+unix.SizeofInotifyEvent <= n; {
			e := (*unix.InotifyEvent)(unsafe.Pointer(&buf[at]))
			at += unix.SizeofInotifyEvent
			name := bytes.TrimRight(buf[at:at+int(e.Len)], "\x00")
			at += int(e.Len)
			if e.Mask&unix.IN_Q_OVERFLOW != 0 {
				for _, names := range w.names {
					for _, c := range names {
						lost <- c
					}
				}
				continue
			}
			if c, ok := w.names[e.Wd][string(name)]; ok {
				lost <- c
			}
		}
	}
}
