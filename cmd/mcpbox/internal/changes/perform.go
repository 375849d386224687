package changes

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// errHostChanged is what a change meets that somebody else was quicker than.
var errHostChanged = errors.New(reasonHostChanged)

// unlock lets files be removed from a directory that its owner may not write to:
// it goes as well, or gets its mode from finish.
func (a *applier) unlock(c *Change) error {
	fd, err := openBeneath(a.dirs[c.Root], string(c.Path), unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return nil // the next step finds out what it is
	}
	defer unix.Close(fd)
	return unlock(fd)
}

// remove takes a file, link or empty directory away, if it is what the server saw.
func (a *applier) remove(c *Change) error {
	dir, name, err := a.parent(c)
	if noDirectory(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if c.Before.Type == Dir {
		// The kernel sees to it that it is empty.
		if err := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR); err != nil && err != unix.ENOENT && err != unix.ENOTDIR {
			return err
		}
		return nil
	}
	if done, err := c.After.done(dir, name); err != nil || done {
		return err
	}
	// Aside first: a name can be exchanged between a look at it and its
	// removal, but not what has been taken away.
	aside := temporaryName()
	if err := unix.Renameat2(dir, name, dir, aside, unix.RENAME_NOREPLACE); err != nil {
		return err
	}
	if same, err := c.Before.moved(dir, aside); err != nil || !same {
		back := unix.Renameat2(dir, aside, dir, name, unix.RENAME_NOREPLACE)
		return errors.Join(errHostChanged, err, back)
	}
	return unix.Unlinkat(dir, aside, 0)
}

// make puts what is new in its place.
func (a *applier) make(c *Change) error {
	dir, name, err := a.parent(c)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	if done, err := c.After.done(dir, name); err != nil || done {
		return err
	}
	old := c.Before
	if c.removes() {
		old = nil
	}
	if c.After.Type == Dir {
		return a.makeDir(c, dir, name, old)
	}
	aside := temporaryName()
	if c.After.Type == Link {
		err = a.link(c, dir, aside)
	} else {
		err = a.write(c, dir, aside, name, old)
	}
	if err == nil {
		err = place(dir, aside, name, old)
	}
	if err != nil {
		unix.Unlinkat(dir, aside, 0)
	}
	return err
}

// place puts aside where name is, if that is still old.
func place(dir int, aside, name string, old *Node) error {
	if old == nil {
		err := unix.Renameat2(dir, aside, dir, name, unix.RENAME_NOREPLACE)
		if err == unix.EEXIST {
			return errHostChanged
		}
		return err
	}
	err := unix.Renameat2(dir, aside, dir, name, unix.RENAME_EXCHANGE)
	if err == unix.EINVAL || err == unix.ENOSYS {
		// A file system without it, such as some over the network.
		if same, err := old.same(dir, name); err != nil || !same {
			return errors.Join(errHostChanged, err)
		}
		return unix.Renameat(dir, aside, dir, name)
	}
	if err == unix.ENOENT {
		return errHostChanged
	}
	if err != nil {
		return err
	}
	if same, err := old.moved(dir, aside); err != nil || !same {
		return errors.Join(errHostChanged, err, unix.Renameat2(dir, aside, dir, name, unix.RENAME_EXCHANGE))
	}
	return unix.Unlinkat(dir, aside, 0)
}

// moved is same for a file that a rename has given another time of change.
func (n *Node) moved(dir int, name string) (bool, error) {
	now, err := nodeAt(dir, name)
	if err != nil || now == nil || now.Type != n.Type {
		return false, err
	}
	if n.Type == File && n.Ino != 0 && n.Ino == now.Ino && n.Size == now.Size && n.Mtime == now.Mtime {
		return true, nil
	}
	return n.same(dir, name)
}

func (a *applier) link(c *Change, dir int, aside string) error {
	err := unix.Symlinkat(string(c.After.Target), dir, aside)
	if err == nil && os.Geteuid() == 0 {
		var st unix.Stat_t
		err = errors.Join(unix.Fstat(a.dirs[c.Root], &st), unix.Fchownat(dir, aside, int(st.Uid), int(st.Gid), unix.AT_SYMLINK_NOFOLLOW))
	}
	return err
}

// write makes a file with the new content beside the old one.
func (a *applier) write(c *Change, dir int, aside, name string, old *Node) error {
	from, err := os.OpenFile(a.store.file(c.Content), os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer from.Close()
	fd, err := unix.Openat(dir, aside, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	to := os.NewFile(uintptr(fd), name)
	defer to.Close()
	sum, _, err := copySparse(from, to)
	if err != nil {
		return err
	}
	if !bytes.Equal(sum, c.After.Hash) {
		return errors.New("what was kept of it is damaged")
	}
	mode := c.After.Mode
	if old != nil {
		if mode, err = inherit(dir, name, fd, old, c.After); err != nil {
			return err
		}
	} else if err := a.own(c, fd); err != nil {
		return err
	}
	if a.from == pending {
		mode &= 0o777
	}
	// After the owner, whose change takes set-id bits away.
	if err := unix.Fchmod(fd, mode&0o7777); err != nil || len(a.chosen) > syncedOneByOne {
		return err
	}
	return to.Sync()
}

// syncedOneByOne is how many changes are each on the disk before they are in
// place. With more, that would take minutes, and only what they replace is.
const syncedOneByOne = 200

// inherit gives a file the owner and the attributes of the one that it stands in
// for, and returns its mode: that of the old one, if the server did not change it.
func inherit(dir int, name string, fd int, old, after *Node) (mode uint32, err error) {
	f, err := openFile(dir, name)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	was := int(f.Fd())
	var st, now unix.Stat_t
	if err := errors.Join(unix.Fstat(was, &st), unix.Fstat(fd, &now)); err != nil {
		return 0, err
	}
	if st.Uid != now.Uid || st.Gid != now.Gid {
		if err := unix.Fchown(fd, int(st.Uid), int(st.Gid)); err != nil && os.Geteuid() == 0 {
			return 0, err
		} else if err != nil {
			// An ordinary user can give a file to a group of his own at most.
			_ = unix.Fchown(fd, -1, int(st.Gid))
		}
	}
	list, err := attributeNames(was)
	if err != nil {
		return 0, err
	}
	for _, a := range list {
		if strings.HasPrefix(a, "user.") || a == "system.posix_acl_access" {
			if err := unix.Fsetxattr(fd, a, []byte(attribute(was, a)), 0); err != nil {
				return 0, fmt.Errorf("keep its extended attribute %s: %w", a, err)
			}
		}
	}
	if after.Mode == old.Mode {
		return st.Mode & 0o7777, nil
	}
	return after.Mode, nil
}

// own gives what root has made to the owner of the root directory, as a box that
// root has started would.
func (a *applier) own(c *Change, fd int) error {
	if os.Geteuid() != 0 {
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(a.dirs[c.Root], &st); err != nil {
		return err
	}
	return unix.Fchown(fd, int(st.Uid), int(st.Gid))
}

// makeDir makes a directory that its owner can write to until finish.
func (a *applier) makeDir(c *Change, dir int, name string, old *Node) error {
	err := unix.Mkdirat(dir, name, 0o700)
	if err == unix.EEXIST {
		if old == nil && !a.begun[keyOf(c)] {
			return errHostChanged
		}
		err = nil
	}
	if err != nil {
		return err
	}
	fd, err := openBeneath(dir, name, openDir)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if old == nil {
		return a.own(c, fd)
	}
	return chmodDir(fd, c.After.Mode|0o700)
}

// finish gives a directory its mode, once all is in it.
func (a *applier) finish(c *Change) error {
	fd, err := openBeneath(a.dirs[c.Root], string(c.Path), unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return chmodDir(fd, c.After.Mode)
}

// chmodDir keeps the set-group-ID bit, which is the host's.
func chmodDir(fd int, mode uint32) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	return unix.Fchmod(fd, mode&0o1777|st.Mode&unix.S_ISGID)
}

// temporaryName is a name that nobody can foresee.
func temporaryName() string {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails, see crypto/rand
	return ".mcpbox-" + hex.EncodeToString(b[:])
}

// backUp keeps what the chosen changes replace, and writes down how to take them
// back, before any is made. For an undo there is no undo.
func (e *Entry) backUp(a *applier) (*Set, error) {
	if a.from == undo || len(a.chosen) == 0 {
		return nil, nil
	}
	w, err := newWriter(e.dir, undo)
	if err != nil {
		return nil, err
	}
	back := e.Undo // of what was applied before
	if back == nil {
		s := *a.set
		s.Changes = nil
		back = &s
	}
	renewed, fresh := map[key]bool{}, []Change(nil)
	for _, c := range a.chosen {
		if done, err := a.isDone(c); err != nil {
			return nil, err
		} else if done {
			continue
		}
		inverse, err := a.inverse(c, w)
		if err != nil {
			return nil, fmt.Errorf("keep %s: %w", a.set.At(c), err)
		}
		renewed[keyOf(c)] = true
		fresh = append(fresh, inverse)
	}
	back.Changes = slices.DeleteFunc(back.Changes, func(o Change) bool { return renewed[keyOf(&o)] })
	back.Changes = append(back.Changes, fresh...)
	return back, w.save(back)
}

// inverse is the change that takes c back.
func (a *applier) inverse(c *Change, w *writer) (Change, error) {
	back := Change{Root: c.Root, Path: c.Path, After: c.Before}
	if c.After != nil {
		after := *c.After
		back.Before = &after
	}
	if c.Before == nil || c.Before.Type != File {
		return back, nil
	}
	dir, name, err := a.parent(c)
	if err != nil {
		return back, err
	}
	defer unix.Close(dir)
	f, err := openFile(dir, name)
	if err != nil {
		return back, err
	}
	defer f.Close()
	after := *c.Before
	if back.Content, after.Hash, after.Size, err = w.keep(f); err != nil {
		return back, err
	}
	if after.Size != c.Before.Size || c.Before.Hash != nil && !bytes.Equal(after.Hash, c.Before.Hash) {
		return back, errHostChanged
	}
	back.After = &after
	return back, nil
}
