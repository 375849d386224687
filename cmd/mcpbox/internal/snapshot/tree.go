package snapshot

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// Bounds are how much of a box is copied at most.
type Bounds struct {
	Entries int   // files, directories and whatever else there is
	Bytes   int64 // contents
	Depth   int   // directories in directories
	// Text is how long paths and targets of links are, all together: each is in
	// several places, and that of a deep file may have thousands of bytes.
	Text int
}

// DefaultBounds hold what a box can have in its three file systems by default.
var DefaultBounds = Bounds{Entries: 200_000, Bytes: 1 << 30, Depth: 100, Text: 32 << 20}

// Item is a line of tree.jsonl.
type Item struct {
	Path   string    `json:"path"` // in the box, in the spelling of names
	Type   string    `json:"type"` // file, directory, link, fifo, socket, device or mount
	Mode   string    `json:"mode"`
	UID    uint32    `json:"uid"`
	GID    uint32    `json:"gid"`
	Size   int64     `json:"size"`
	Mtime  time.Time `json:"mtime"`
	Ctime  time.Time `json:"ctime"`
	Target string    `json:"target,omitempty"` // where a link leads, spelled like a path
	Copy   string    `json:"copy,omitempty"`   // where its contents are
	SHA256 string    `json:"sha256,omitempty"` // of the copy
	// Extents are where in the file the parts of the copy belong, as offset and
	// length: it has holes. Without them the copy is the file.
	Extents [][2]int64 `json:"extents,omitzero"`
	SameAs  string     `json:"sameAs,omitempty"` // another name of the same file
	Note    string     `json:"note,omitempty"`   // what is missing
}

// tree is the copying of a box's file systems.
type tree struct {
	s     *Snapshot
	left  Bounds
	index *writer
	known map[inode]string
	mount uint64 // the one that is being copied
	at    string // where it is in the box
	copy  string // and in the snapshot
	still bool   // nothing of the box runs
	buf   []byte
	done  <-chan struct{}
}

type inode struct{ dev, ino uint64 }

var errInterrupted = errors.New("interrupted")

// Trees copies what is below the directories dirs of the box, as far as they are
// file systems of its own in memory; onDisk is one of them that need not be, or "".
// root is the root directory of one of its
// processes. A directory or file that forbids its own user to read
// it is opened nevertheless if nothing of the box runs, and has its mode again
// afterwards. It gives up when done is closed.
func (s *Snapshot) Trees(root *os.File, dirs []string, onDisk string, b Bounds, still bool, done <-chan struct{}) error {
	if err := s.Dir("tree"); err != nil {
		return err
	}
	index, err := s.create(int(s.dir.Fd()), "tree.jsonl", "tree.jsonl")
	if err != nil {
		return err
	}
	t := &tree{s: s, left: b, index: index, known: map[inode]string{}, still: still, buf: make([]byte, 64<<10), done: done}
	for _, dir := range dirs {
		if err := t.fileSystem(int(root.Fd()), dir, dir == onDisk); err != nil {
			index.Close()
			return err
		}
	}
	return index.Close()
}

// fileSystem copies one of the box's own, or a directory of its own on disk.
func (t *tree) fileSystem(root int, dir string, onDisk bool) error {
	src, err := unix.Openat2(root, dir[1:], &unix.OpenHow{
		Flags: unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC, Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		t.s.LeaveOut("/%s: %v", safePath(dir), err)
		return nil
	}
	defer unix.Close(src)
	var fs unix.Statfs_t
	if err := unix.Fstatfs(src, &fs); err != nil || fs.Type != unix.TMPFS_MAGIC && !onDisk {
		t.s.LeaveOut("/%s: it is not the box's own", safePath(dir))
		return nil
	}
	var st unix.Stat_t
	if err := unix.Fstat(src, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	if t.mount, err = mountOf(src); err != nil {
		return err
	}
	dst := int(t.s.dir.Fd())
	// One may lie within another, so each has a directory of its own.
	t.at, t.copy = safePath(dir), "tree/"+safe(dir[1:])
	if err := unix.Mkdirat(dst, t.copy, 0o700); err != nil {
		return &os.PathError{Op: "mkdir", Path: t.copy, Err: err}
	}
	to, err := unix.Openat(dst, t.copy, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: t.copy, Err: err}
	}
	defer unix.Close(to)
	if err := t.write(t.item(safePath(dir), &st, "directory")); err != nil {
		return err
	}
	return t.directory(src, to, &st, safePath(dir), 0)
}

// directory copies what is in the directory src to the directory dst. at is its
// path in the box.
func (t *tree) directory(src, dst int, st *unix.Stat_t, at string, depth int) error {
	list, closing, err := t.open(src, st, 0o500)
	if err != nil {
		t.s.LeaveOut("/%s: %v", at, err)
		return nil
	}
	defer closing()
	names, err := list.Readdirnames(t.left.Entries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		t.s.LeaveOut("/%s: %v", at, err)
	}
	slices.Sort(names)
	for _, name := range names {
		select {
		case <-t.done:
			return errInterrupted
		default:
		}
		if t.left.Entries--; t.left.Entries < 0 {
			t.s.LeaveOut("/%s: it has more than the most that is copied", at)
			return nil
		}
		path := at + "/" + safe(name)
		if t.left.Text -= len(path); t.left.Text < 0 {
			t.s.LeaveOut("/%s: the names of what it has are longer than is copied", at)
			return nil
		}
		if err := t.entry(int(list.Fd()), dst, name, path, depth); err != nil {
			return err
		}
	}
	return nil
}

// entry copies one thing in the directory dir.
func (t *tree) entry(dir, dst int, name, at string, depth int) error {
	fd, err := unix.Openat(dir, name, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		t.s.LeaveOut("/%s: %v", at, err)
		return nil
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	mount, err := mountOf(fd)
	if err != nil {
		return err
	}
	if mount != t.mount { // a declared directory of the host's, or a cover
		return t.write(t.item(at, &st, "mount"))
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		if err := t.write(t.item(at, &st, "directory")); err != nil {
			return err
		}
		if depth++; depth > t.left.Depth {
			t.s.LeaveOut("/%s: it is too deep", at)
			return nil
		}
		if err := unix.Mkdirat(dst, safe(name), 0o700); err != nil {
			return &os.PathError{Op: "mkdir", Path: at, Err: err}
		}
		to, err := unix.Openat(dst, safe(name), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return &os.PathError{Op: "open", Path: at, Err: err}
		}
		defer unix.Close(to)
		return t.directory(fd, to, &st, at, depth)
	case unix.S_IFREG:
		return t.file(fd, dst, name, at, &st)
	case unix.S_IFLNK:
		item := t.item(at, &st, "link")
		buf := make([]byte, unix.PathMax)
		n, err := unix.Readlinkat(fd, "", buf)
		if err != nil {
			item.Note = err.Error()
			return t.write(item)
		}
		item.Target = spell(string(buf[:n]))
		if t.left.Text -= len(item.Target); t.left.Text < 0 {
			item.Target, item.Note = "", "where it leads is longer than is copied"
			t.s.LeaveOut("/%s: %s", at, item.Note)
		}
		return t.write(item)
	case unix.S_IFIFO:
		return t.write(t.item(at, &st, "fifo"))
	case unix.S_IFSOCK:
		return t.write(t.item(at, &st, "socket"))
	}
	return t.write(t.item(at, &st, "device"))
}

// open opens what the descriptor fd stands for, to read it. Its mode is given the
// bits of need meanwhile, if it lacks them and nothing of the box can notice.
func (t *tree) open(fd int, st *unix.Stat_t, need uint32) (file *os.File, closing func(), err error) {
	name := "/proc/self/fd/" + strconv.Itoa(fd)
	restore := func() {}
	if t.still && st.Mode&need != need && os.Geteuid() != 0 {
		if err := unix.Chmod(name, st.Mode&0o7777|need); err == nil {
			restore = func() { unix.Chmod(name, st.Mode&0o7777) }
		}
	}
	file, err = os.OpenFile(name, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		restore()
		return nil, nil, fmt.Errorf("open: %w", errors.Unwrap(err))
	}
	return file, func() { file.Close(); restore() }, nil
}

// mountOf tells mounts apart, also those of one file system.
func mountOf(fd int) (uint64, error) {
	var st unix.Statx_t
	err := unix.Statx(fd, "", unix.AT_EMPTY_PATH|unix.AT_SYMLINK_NOFOLLOW, unix.STATX_MNT_ID, &st)
	if err == nil && st.Mask&unix.STATX_MNT_ID == 0 {
		err = unix.ENOSYS
	}
	return st.Mnt_id, os.NewSyscallError("statx", err)
}

func (t *tree) item(at string, st *unix.Stat_t, kind string) Item {
	return Item{
		Path: "/" + at, Type: kind, Mode: fmt.Sprintf("%04o", st.Mode&0o7777), UID: st.Uid, GID: st.Gid, Size: st.Size,
		Mtime: time.Unix(st.Mtim.Unix()).UTC(), Ctime: time.Unix(st.Ctim.Unix()).UTC(),
	}
}

func (t *tree) write(item Item) error {
	line, err := json.Marshal(item)
	if err != nil {
		return err
	}
	_, err = t.index.Write(append(line, '\n'))
	return err
}
