package changes

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"sync"

	"golang.org/x/sys/unix"
)

// openBeneath opens a path below the directory dir. Nothing on the way is a link,
// nothing leads out, and nothing is on another file system.
func openBeneath(dir int, rel string, flags uint64) (int, error) {
	if rel == "" {
		rel = "."
	}
	how := unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS | unix.RESOLVE_NO_XDEV,
	}
	for {
		fd, err := unix.Openat2(dir, rel, &how)
		// RESOLVE_BENEATH gives up when something was renamed on the way.
		if err != unix.EAGAIN && err != unix.EINTR {
			return fd, err
		}
	}
}

const openDir = unix.O_RDONLY | unix.O_DIRECTORY

// openFile opens a regular file of the host's for reading. Anything else that is
// there by now could keep its reader waiting for ever.
func openFile(dir int, name string) (*os.File, error) {
	fd, err := openBeneath(dir, name, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Mode&unix.S_IFMT != unix.S_IFREG {
		unix.Close(fd)
		return nil, errors.Join(errHostChanged, err)
	}
	return os.NewFile(uintptr(fd), name), nil
}

// openOwn opens a file or directory of an upper layer to read it, of which the
// server may have taken the permission from its own user. The mode stays changed.
func openOwn(dir int, name string, flags uint64) (int, error) {
	at, err := openBeneath(dir, name, unix.O_PATH|flags&unix.O_DIRECTORY)
	if err != nil {
		return -1, err
	}
	defer unix.Close(at)
	if err := unlock(at); err != nil {
		return -1, err
	}
	return openBeneath(dir, name, flags)
}

// unlock gives the owner of what at is open on, if that is this user, the access
// that he has not.
func unlock(at int) error {
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil || int(st.Uid) != os.Geteuid() || st.Mode&0o700 == 0o700 {
		return err
	}
	return unix.Fchmodat(unix.AT_FDCWD, procPath(at), st.Mode&0o7777|0o700, 0)
}

// procPath names what a descriptor is open on, also one that is O_PATH.
func procPath(fd int) string { return fmt.Sprintf("/proc/self/fd/%d", fd) }

// lstat describes a name in a directory; nil if it is not there.
func lstat(dir int, name string) (*unix.Stat_t, error) {
	var st unix.Stat_t
	err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if err == unix.ENOENT || err == unix.ENOTDIR {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &st, nil
}

// buffers are what files are copied through.
var buffers = sync.Pool{New: func() any { return new([64 << 10]byte) }}

// hash copies from r to w.
func hash(r io.Reader, w io.Writer) (sum []byte, size int64, err error) {
	buf := buffers.Get().(*[64 << 10]byte)
	defer buffers.Put(buf)
	h := sha256.New()
	// Without WriteTo and ReadFrom, which would not use the buffer.
	to := struct{ io.Writer }{io.MultiWriter(h, w)}
	size, err = io.CopyBuffer(to, struct{ io.Reader }{r}, buf[:])
	return h.Sum(nil), size, err
}

// copySparse is hash for a new file, in which what is zero takes no room.
func copySparse(r io.Reader, to *os.File) (sum []byte, size int64, err error) {
	sum, size, err = hash(r, &sparse{to: to})
	if err == nil {
		err = to.Truncate(size) // it may end with a hole
	}
	return sum, size, err
}

type sparse struct {
	to *os.File
	at int64
}

var zeros [64 << 10]byte

func (s *sparse) Write(p []byte) (n int, err error) {
	if n = len(p); !bytes.Equal(p, zeros[:n]) {
		n, err = s.to.WriteAt(p, s.at)
	}
	s.at += int64(n)
	return n, err
}

// names lists a directory in order, if it holds no more than limit.
func names(dir, limit int) ([]string, error) {
	fd, err := openBeneath(dir, "", openDir)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), "directory")
	defer f.Close()
	list, err := f.Readdirnames(limit + 1)
	if err != nil && err != io.EOF {
		return nil, err
	}
	if len(list) > limit {
		return nil, errTooMany
	}
	slices.Sort(list)
	return list, nil
}

var errTooMany = errors.New("there are too many files in it")

func readlink(dir int, name string) (string, error) {
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(dir, name, buf)
	if err != nil {
		return "", err
	}
	return string(buf[:n]), nil
}

// isWhiteout reports whether st is how an overlay says that a name of the layer
// below is gone.
func isWhiteout(st *unix.Stat_t) bool { return st.Mode&unix.S_IFMT == unix.S_IFCHR && st.Rdev == 0 }

func typeOf(st *unix.Stat_t) Type {
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		return File
	case unix.S_IFDIR:
		return Dir
	case unix.S_IFLNK:
		return Link
	}
	return Other
}

// hashLimit bounds the files that are hashed at the end of a run, to be recognised
// again.
const hashLimit = 64 << 20

// nodeAt describes what is at a name in a directory of the host; nil if nothing
// is.
func nodeAt(dir int, name string) (*Node, error) {
	st, err := lstat(dir, name)
	if st == nil || err != nil {
		return nil, err
	}
	n := &Node{Type: typeOf(st), Mode: st.Mode & 0o7777, Ino: st.Ino, Mtime: st.Mtim.Nano(), Ctime: st.Ctim.Nano()}
	switch n.Type {
	case File:
		n.Size = st.Size
	case Link:
		target, err := readlink(dir, name)
		if err != nil {
			return nil, err
		}
		n.Target = exact(target)
	}
	return n, nil
}

// hashed adds the hash of a file of the host's, if it is no larger than limit and
// can be read.
func (n *Node) hashed(dir int, name string, limit int64) {
	if n == nil || n.Type != File || n.Size > limit {
		return
	}
	if f, err := openFile(dir, name); err == nil {
		defer f.Close()
		if sum, size, err := hash(io.LimitReader(f, n.Size+1), io.Discard); err == nil && size == n.Size {
			n.Hash = sum
		}
	}
}

// sameAt is same for a path below a directory.
func (n *Node) sameAt(root int, rel string) (bool, error) {
	up, name := path.Split(rel)
	dir, err := openBeneath(root, path.Clean(up), openDir)
	if err != nil {
		return false, err
	}
	defer unix.Close(dir)
	return n.same(dir, name)
}

// same reports whether what is at a name is still what n describes. A file that
// was touched, or exchanged for one of the same content, is.
func (n *Node) same(dir int, name string) (bool, error) {
	now, err := nodeAt(dir, name)
	switch {
	case err != nil:
		return false, err
	case n == nil || now == nil:
		return n == nil && now == nil, nil
	case n.Type != now.Type:
		return false, nil
	}
	switch n.Type {
	case Dir:
		return true, nil
	case Link:
		return n.Target == now.Target, nil
	case File:
		if n.Ino != 0 && n.Ino == now.Ino && n.Size == now.Size && n.Mtime == now.Mtime && n.Ctime == now.Ctime {
			return true, nil
		}
		if n.Hash == nil || n.Size != now.Size {
			return false, nil
		}
		now.hashed(dir, name, n.Size)
		return slices.Equal(n.Hash, now.Hash), nil
	}
	return false, nil
}
