package changes

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"golang.org/x/sys/unix"
)

// part is one half of a change set's directory.
type part string

const (
	pending part = "pending"
	undo    part = "undo"
)

// unfinished begins the names of directories that are being written, or removed.
const unfinished = ".new-"

// maxManifest bounds a part's list, in bytes.
const maxManifest = 256 << 20

// stateDir is the directory of all change sets, for this user alone.
func stateDir(state string) (string, error) {
	if err := dirs.Private(state); err != nil {
		return "", err
	}
	dir := filepath.Join(state, "changes")
	return dir, dirs.Private(dir)
}

// writer writes one part of a set.
type writer struct {
	dir  string // of the set
	part part
	next int
}

func newWriter(dir string, p part) (*writer, error) {
	w := &writer{dir: dir, part: p, next: 1}
	if err := os.Mkdir(w.path(), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	list, err := os.ReadDir(w.path())
	for _, e := range list { // of an attempt before this one
		if n, err := strconv.Atoi(e.Name()); err == nil {
			w.next = max(w.next, n+1)
		}
	}
	return w, err
}

func (w *writer) path() string { return filepath.Join(w.dir, string(w.part)) }

func (w *writer) file(n int) string { return filepath.Join(w.path(), strconv.Itoa(n)) }

// keep copies a file's content into the set, and returns its number there. An
// error leaves nothing of it.
func (w *writer) keep(r io.Reader) (n int, sum []byte, size int64, err error) {
	f, err := os.OpenFile(w.file(w.next), os.O_WRONLY|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return 0, nil, 0, err
	}
	n, w.next = w.next, w.next+1
	sum, size, err = copySparse(r, f)
	if err = errors.Join(err, f.Close()); err != nil {
		_ = w.drop(n) // or it goes with the set
	}
	return n, sum, size, err
}

// drop forgets what keep kept.
func (w *writer) drop(n int) error { return os.Remove(w.file(n)) }

// encode is a set's list, if that has no more than most bytes.
func (s *Set) encode(most int) ([]byte, error) {
	data, err := json.Marshal(s)
	if err == nil && len(data) > most {
		err = errTooMany
	}
	return data, err
}

// save writes the part's list, in place of an older one.
func (w *writer) save(s *Set) error {
	data, err := s.encode(maxManifest)
	if err != nil {
		return err
	}
	name := w.path() + ".json"
	f, err := os.OpenFile(name+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil && w.part == undo {
		// What is to be taken back is on the disk, with the content of all its
		// files, before anything is changed. What waits for a person is not
		// worth the time that every run would end later by: if the machine
		// fails, its hashes tell.
		err = unix.Syncfs(int(f.Fd()))
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}

// remove takes the part away: its list first, which makes it one.
func (w *writer) remove() error {
	return errors.Join(os.Remove(w.path()+".json"), os.RemoveAll(w.path()))
}

// load reads one part of a set. It is an [fs.ErrNotExist] if there is none.
func load(dir string, p part) (*Set, error) {
	f, err := os.OpenFile(filepath.Join(dir, string(p)+".json"), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxManifest))
	if err != nil {
		return nil, err
	}
	s := new(Set)
	if err = json.Unmarshal(data, s); err == nil {
		err = s.check()
	}
	if err != nil {
		return nil, fmt.Errorf("read change set %s: %w; to remove it, type: rm -r %s", filepath.Base(dir), err, dir)
	}
	return s, nil
}

// lock takes the directory of a set for one process. The lock goes with the file.
func lock(dir string) (*os.File, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if err == unix.EWOULDBLOCK {
			err = errors.New("another mcpbox is at work on it")
		}
		return nil, err
	}
	return f, nil
}

// sweep removes what killed processes have left half written.
func sweep(dir string) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range list {
		if strings.HasPrefix(e.Name(), unfinished) {
			at := filepath.Join(dir, e.Name())
			if l, err := lock(at); err == nil {
				os.RemoveAll(at)
				l.Close()
			}
		}
	}
}
