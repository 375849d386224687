package changes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/mcpbox/mcpbox/policy"
	"golang.org/x/sys/unix"
)

// maxSets is how many change sets wait for a person. What nobody looks at would
// otherwise fill the disk.
const maxSets = 100

// Staging is the staged directories of a run, from before it starts until its
// changes are kept.
type Staging struct {
	state string
	roots []Root
	dirs  []*os.File
	limit int64
	began time.Time
}

// Prepare opens the directories, and makes sure that their changes can be kept:
// those with limit bytes of content in each.
func Prepare(state string, list []*policy.StagedRoot, limit int64) (*Staging, error) {
	s := &Staging{state: state, limit: limit, began: time.Now()}
	if len(list) == 0 {
		return s, nil
	}
	sweep(filepath.Join(state, "changes"))
	waiting := 0
	for _, dir := range setDirs(state) {
		if has(dir, pending) {
			waiting++
		}
	}
	if waiting >= maxSets {
		return nil, fmt.Errorf("%d change sets are waiting already; to see them, type: mcpbox changes", waiting)
	}
	for _, r := range list {
		dir, ino, err := openRoot(r.Path)
		if err != nil {
			s.Close()
			return nil, err
		}
		root := Root{Path: exact(r.Path), Ino: ino, Names: r.Names}
		for _, c := range r.Closed {
			root.Closed = append(root.Closed, exact(c))
		}
		s.roots, s.dirs = append(s.roots, root), append(s.dirs, dir)
	}
	return s, nil
}

// openRoot opens a canonical directory of the host.
func openRoot(at string) (*os.File, uint64, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, at, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return nil, 0, &os.PathError{Op: "open", Path: at, Err: err}
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		unix.Close(fd)
		return nil, 0, &os.PathError{Op: "stat", Path: at, Err: err}
	}
	return os.NewFile(uintptr(fd), at), st.Ino, nil
}

// Close lets go of the directories.
func (s *Staging) Close() {
	for _, d := range s.dirs {
		d.Close()
	}
}

// Keep stores what the run id of the server name has changed: uppers are the
// upper layers, in the order of the roots. It returns nil if that is nothing. No
// process of the box may be left. When ctx is done it gives up.
func (s *Staging) Keep(ctx context.Context, id, name string, uppers []*os.File, h policy.Host) (*Set, error) {
	if len(uppers) != len(s.roots) {
		return nil, errors.New("keep changes: not all staged directories were given out")
	}
	dir, err := stateDir(s.state)
	if err != nil {
		return nil, fmt.Errorf("keep changes: %w", err)
	}
	sweep(dir)
	set := &Set{ID: id, Name: name, Time: time.Now().UTC().Truncate(time.Second), Roots: s.roots}
	temporary := filepath.Join(dir, unfinished+id)
	held, err := makeLocked(temporary)
	if err != nil {
		return nil, fmt.Errorf("keep changes: %w", err)
	}
	defer held.Close()
	err = s.fill(ctx, set, temporary, uppers, h)
	if err == nil && len(set.Changes) > 0 {
		if err = os.Rename(temporary, filepath.Join(dir, id)); err == nil {
			expire(s.state)
			return set, nil
		}
	}
	os.RemoveAll(temporary)
	if err != nil {
		return nil, fmt.Errorf("keep changes: %w", err)
	}
	return nil, nil
}

// undoKept is how long what was applied can be taken back.
const undoKept = 30 * 24 * time.Hour

// expire removes what would take back changes that were applied long ago.
func expire(state string) {
	for _, dir := range setDirs(state) {
		info, err := os.Lstat(filepath.Join(dir, string(undo)+".json"))
		if err == nil && !has(dir, pending) && time.Since(info.ModTime()) > undoKept {
			_ = (&Entry{ID: filepath.Base(dir), dir: dir}).Discard() // the next run tries again
		}
	}
}

// makeLocked makes a directory that no sweep removes while the file is open.
func makeLocked(dir string) (*os.File, error) {
	for range 10 {
		if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, err
		}
		held, err := lock(dir)
		if err == nil {
			var st unix.Stat_t
			if err = unix.Fstat(int(held.Fd()), &st); err == nil && st.Nlink > 0 {
				return held, nil
			}
			held.Close()
		} // else a sweep was quicker
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			os.RemoveAll(dir)
		}
	}
	return nil, fmt.Errorf("make %s: it is removed again at once", dir)
}

// fill compares the layers and writes what differs below dir.
func (s *Staging) fill(ctx context.Context, set *Set, dir string, uppers []*os.File, h policy.Host) error {
	w, err := newWriter(dir, pending)
	if err != nil {
		return err
	}
	c := &collector{set: set, store: w, since: s.began, ctx: ctx}
	dirs := make([]int, len(s.dirs))
	for i, d := range s.dirs {
		if dirs[i], err = openBeneath(int(d.Fd()), "", openDir); err != nil {
			return &os.PathError{Op: "read", Path: d.Name(), Err: err}
		}
		defer unix.Close(dirs[i])
		upper, err := openOwn(int(uppers[i].Fd()), ".", openDir)
		if err != nil {
			return err
		}
		defer unix.Close(upper)
		c.root, c.room = i, s.limit
		if err := c.collect(upper, dirs[i]); err != nil {
			return fmt.Errorf("%s: %w", d.Name(), err)
		}
	}
	judges := set.newJudges(h, dirs)
	for i := range set.Changes {
		c.refuse(&set.Changes[i], judges.judge(&set.Changes[i], pending))
	}
	if len(set.Changes) == 0 {
		return nil
	}
	return w.save(set)
}
