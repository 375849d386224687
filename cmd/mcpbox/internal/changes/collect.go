package changes

import (
	"context"
	"errors"
	"io"
	"os"
	"path"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// The bounds of a change set. A server makes as many names as its tmpfs has
// inodes, and can remove a directory of any size with one call.
const (
	maxChanges = 100_000
	maxDepth   = 100
	maxPath    = 3500 // bytes, so that PATH_MAX (4096) leaves room for the root
	// maxText is how many bytes their paths and targets have. In the list each
	// is up to six, and may be there a second time, in what refuses it.
	maxText = 16 << 20
)

// collector goes through the upper layers of one run.
type collector struct {
	set   *Set
	store *writer
	since time.Time // when the run began
	root  int
	// room is how many more bytes of content are kept of this root. They count
	// as a program reads them, also where a file has a hole or another name:
	// the limit of the layer, in which those take no room, would not hold the
	// copies.
	room int64
	text int // bytes of paths, targets and reasons
	ctx  context.Context
}

// errTooLarge is what a file meets that has more than there can be in its layer.
var errTooLarge = errors.New("with holes and other names filled in, it is more than the limit that is called staged")

// full reports whether no more changes are taken.
func (c *collector) full() bool { return len(c.set.Changes) >= maxChanges || c.text > maxText }

// level is one directory, in both layers.
type level struct {
	rel   string
	upper int
	lower int // -1 if it is not there, or is no directory
	depth int
}

// collect adds what is in an upper layer to the set. lower is the host's
// directory.
func (c *collector) collect(upper, lower int) error {
	return c.dir(level{upper: upper, lower: lower})
}

func (c *collector) add(ch Change) {
	ch.Root = c.root
	if !utf8.ValidString(string(ch.Path)) && ch.Refused == "" {
		ch.Refused = "its name is not valid UTF-8"
	}
	c.set.Changes = append(c.set.Changes, ch)
	c.text += textOf(&ch)
}

// textOf is how many bytes of a change count for maxText.
func textOf(ch *Change) int {
	n := len(ch.Path) + len(ch.Refused)
	for _, node := range []*Node{ch.Before, ch.After} {
		if node != nil {
			n += len(node.Target)
		}
	}
	return n
}

// backTo forgets the changes after the first n, and their content.
func (c *collector) backTo(n int) {
	for i := range c.set.Changes[n:] {
		ch := &c.set.Changes[n+i]
		c.text -= textOf(ch)
		if ch.Content != 0 {
			c.room += ch.After.Size
			_ = c.store.drop(ch.Content) // or it goes with the set
		}
	}
	c.set.Changes = c.set.Changes[:n]
}

// dir compares the names of one directory.
func (c *collector) dir(l level) error {
	list, err := names(l.upper, maxChanges)
	if err != nil {
		return err
	}
	for _, name := range list {
		if c.full() {
			return errTooMany
		}
		mark := len(c.set.Changes)
		st, err := lstat(l.upper, name)
		if err == nil && st != nil {
			err = c.entry(l, name, st)
		}
		if c.ctx.Err() != nil {
			return c.ctx.Err()
		}
		if err != nil {
			// The rest is worth keeping.
			c.backTo(mark)
			c.add(Change{Path: exact(path.Join(l.rel, name)), After: &Node{Type: Other}, Refused: "it was not kept: " + err.Error()})
		}
	}
	return nil
}

// entry compares one name, which st describes in the upper layer.
func (c *collector) entry(l level, name string, st *unix.Stat_t) error {
	rel := path.Join(l.rel, name)
	var before *Node
	if l.lower >= 0 {
		var err error
		if before, err = nodeAt(l.lower, name); err != nil {
			return err
		}
	}
	if len(rel) > maxPath || l.depth >= maxDepth {
		c.add(Change{Path: exact(rel), Before: before, After: &Node{Type: Other}, Refused: "it is nested too deep"})
		return nil
	}
	made := c.madeAt(l.upper, name)
	switch {
	case isWhiteout(st):
		if before == nil {
			return nil
		}
		return c.removed(l.lower, name, rel, before, made, l.depth)
	case typeOf(st) == Dir:
		return c.directory(l, name, rel, st, before, made)
	}
	if before != nil && before.Type == Dir {
		if err := c.emptied(l.lower, name, rel, nil, made, l.depth); err != nil {
			return err
		}
	}
	ch := Change{Path: exact(rel), Before: before, Refused: changedSince(before, made)}
	switch typeOf(st) {
	case File:
		return c.file(l, name, st, ch)
	case Link:
		target, err := readlink(l.upper, name)
		if err != nil {
			return err
		}
		ch.After = &Node{Type: Link, Target: exact(target)}
		if before != nil && before.Type == Link && before.Target == ch.After.Target {
			return nil
		}
	default:
		ch.After = &Node{Type: Other}
	}
	c.refuse(&ch, rulesOf(&ch))
	c.add(ch)
	return nil
}

// file keeps the content of a file, unless it is the host's.
func (c *collector) file(l level, name string, st *unix.Stat_t, ch Change) error {
	fd, err := openOwn(l.upper, name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), name)
	defer f.Close()
	ch.After = &Node{Type: File, Mode: st.Mode & 0o7777}
	if ch.Before == nil || ch.Before.Mode != ch.After.Mode {
		ch.After.Mode |= 0o400 // or it could not be recognised again
	}
	if st.Size > c.room {
		return errTooLarge
	}
	ch.Content, ch.After.Hash, ch.After.Size, err = c.store.keep(reader{io.LimitReader(f, st.Size), c.ctx})
	if err != nil {
		return err
	}
	c.room -= ch.After.Size
	if ch.Before != nil && ch.Before.Type == File {
		ch.Before.hashed(l.lower, name, hashLimit)
		if ch.Before.Mode == ch.After.Mode && ch.Before.Size == ch.After.Size && string(ch.Before.Hash) == string(ch.After.Hash) {
			c.room += ch.After.Size
			return c.store.drop(ch.Content)
		}
	}
	c.refuse(&ch, rulesOf(&ch))
	if st.Nlink > 1 {
		c.refuse(&ch, "it is a hard link")
	}
	c.refuse(&ch, c.attributes(l, name, fd, ch.Before))
	c.add(ch)
	return nil
}

// reader reads until its context is done.
type reader struct {
	io.Reader
	ctx context.Context
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

// directory compares a directory and what is in it.
func (c *collector) directory(l level, name, rel string, st *unix.Stat_t, before *Node, made time.Time) error {
	fd, err := openOwn(l.upper, name, openDir)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	mode := st.Mode & 0o7777
	if before == nil || before.Mode != mode {
		// Its owner keeps his own access: without it nothing in it could be
		// looked at, nor taken back.
		mode |= 0o700
	}
	ch := Change{Path: exact(rel), Before: before, After: &Node{Type: Dir, Mode: mode}}
	inner := level{rel: rel, upper: fd, lower: -1, depth: l.depth + 1}
	switch {
	case before == nil || before.Type != Dir:
		c.refuse(&ch, changedSince(before, made))
		if before != nil {
			before.hashed(l.lower, name, hashLimit)
		}
	default:
		if inner.lower, err = openBeneath(l.lower, name, openDir); err != nil {
			return err
		}
		defer unix.Close(inner.lower)
	}
	c.refuse(&ch, rulesOf(&ch))
	c.refuse(&ch, c.attributes(l, name, fd, before))
	same := before != nil && before.Type == Dir && before.Mode == ch.After.Mode
	if !same || ch.Refused != "" {
		c.add(ch)
	}
	if inner.lower >= 0 && attribute(fd, "user.overlay.opaque") == "y" {
		// It was removed and made again: what the host has in it is gone.
		kept, err := names(fd, maxChanges)
		if err != nil {
			return err
		}
		if err := c.emptied(l.lower, name, rel, kept, made, l.depth); err != nil {
			return err
		}
	}
	return c.dir(inner)
}

// removed adds a file of the host that is gone, or a directory with all in it.
func (c *collector) removed(lower int, name, rel string, before *Node, made time.Time, depth int) error {
	ch := Change{Path: exact(rel), Before: before}
	if before.Type == Dir {
		if err := c.emptied(lower, name, rel, nil, made, depth); err != nil {
			return err
		}
	} else {
		before.hashed(lower, name, hashLimit)
		c.refuse(&ch, changedSince(before, made))
	}
	c.refuse(&ch, rulesOf(&ch))
	c.add(ch)
	return nil
}

// emptied adds all that is in a directory of the host, but for the names kept.
func (c *collector) emptied(lower int, name, rel string, kept []string, made time.Time, depth int) error {
	fd, err := openBeneath(lower, name, openDir)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	list, err := names(fd, maxChanges-len(c.set.Changes))
	if err != nil {
		return err
	}
	skip := map[string]bool{}
	for _, k := range kept {
		skip[k] = true
	}
	for _, child := range list {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		if skip[child] {
			continue
		}
		if depth >= maxDepth || c.full() {
			return errTooMany
		}
		before, err := nodeAt(fd, child)
		if err != nil {
			return err
		}
		if before == nil {
			continue
		}
		if err := c.removed(fd, child, path.Join(rel, child), before, made, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// refuse gives a change a reason, if it has none yet.
func (c *collector) refuse(ch *Change, reason string) {
	if ch.Refused == "" {
		ch.Refused = reason
	}
}

// madeAt is when a name came to be in the upper layer: for a file of the host's,
// when it was copied there. The kernel keeps one node for all that is removed, and
// it is as old as the first of them. Where the file system does not tell, it is
// when the run began.
func (c *collector) madeAt(dir int, name string) time.Time {
	var st unix.Statx_t
	err := unix.Statx(dir, name, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BTIME, &st)
	if err != nil || st.Mask&unix.STATX_BTIME == 0 {
		return c.since
	}
	return time.Unix(st.Btime.Sec, int64(st.Btime.Nsec))
}

const reasonChanged = "the host's file has changed since the server saw it"

// changedSince refuses what the host has changed since the server made its own.
// Directories are compared by what is in them.
func changedSince(before *Node, made time.Time) string {
	if before == nil || before.Type == Dir || before.Ctime < made.UnixNano() {
		return ""
	}
	return reasonChanged
}

// attributes refuses extended attributes that the host's file does not have, and
// what overlayfs itself would take for a redirection.
func (c *collector) attributes(l level, name string, upper int, before *Node) string {
	lower := -1
	if before != nil && l.lower >= 0 && (before.Type == File || before.Type == Dir) {
		if fd, err := openBeneath(l.lower, name, unix.O_RDONLY|unix.O_NONBLOCK); err == nil {
			defer unix.Close(fd)
			lower = fd
		}
	}
	list, err := attributeNames(upper)
	if err != nil {
		return "its extended attributes cannot be read"
	}
	for _, a := range list {
		switch {
		case a == "user.overlay.redirect", a == "user.overlay.metacopy":
			return "it has the extended attribute " + a
		case strings.HasPrefix(a, "user.overlay."), a == "security.selinux":
		case lower < 0 || attribute(upper, a) != attribute(lower, a):
			return "it has the extended attribute " + a
		}
	}
	return ""
}

func attributeNames(fd int) ([]string, error) {
	buf := make([]byte, 64<<10) // XATTR_LIST_MAX
	n, err := unix.Flistxattr(fd, buf)
	if err == unix.EOPNOTSUPP {
		return nil, nil
	}
	if err != nil || n == 0 {
		return nil, err
	}
	return strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00"), nil
}

// attribute is the value of an extended attribute; "" if there is none.
func attribute(fd int, name string) string {
	buf := make([]byte, 64<<10) // XATTR_SIZE_MAX
	n, err := unix.Fgetxattr(fd, name, buf)
	if err != nil {
		return ""
	}
	return string(buf[:n])
}
