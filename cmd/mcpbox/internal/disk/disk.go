// Package disk measures by how much a server makes directories grow that it may
// write to.
//
// What counts are blocks: of files, however large a sparse one claims to be, and
// four kilobytes at least for each, so that empty ones count too; and of files that
// are deleted and still open.
//
// To look through a directory takes long. So the file system is asked how much is
// used, which is quick, and only when that has grown, by whomever, by as much as
// the server has left, are the directories looked through.
package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Growth is what a server may write, and has written.
type Growth struct {
	roots   []string
	allowed int64
	volumes []*volume
	before  usage // of the directories, when it started
}

// least is what a file counts at least, in bytes.
const least = 4096

// usage is what files take.
type usage struct{ bytes, files int64 }

// volume is a file system with at least one of the roots.
type volume struct {
	root   string // one of them
	id     unix.Fsid
	first  int64 // used at first
	used   int64 // when it was looked through last, or less, if it has been less since
	free   int64 // at first
	inodes int64 // that were free at first
	floor  bool  // whether what is left is looked at
}

// New prepares to watch the roots, of which all that is below counts. It looks at
// file systems only, so that it can be called before the server starts. Nothing to
// watch is nil.
func New(roots []string, allowed int64) (*Growth, error) {
	g := &Growth{roots: roots, allowed: allowed}
	for _, root := range roots {
		var s unix.Statfs_t
		if err := unix.Statfs(root, &s); err != nil {
			return nil, &os.PathError{Op: "statfs", Path: root, Err: err}
		}
		known := false
		for _, v := range g.volumes {
			known = known || v.id == s.Fsid
		}
		if !known {
			v := &volume{root: root, id: s.Fsid, floor: true}
			v.first, v.used, v.free, v.inodes = usedOf(s), usedOf(s), freeOf(s), int64(s.Ffree)
			g.volumes = append(g.volumes, v)
		}
	}
	if len(g.volumes) == 0 {
		return nil, nil
	}
	return g, nil
}

// Begin looks at what the directories hold, when the server may be running
// already: what the file systems have grown by meanwhile is taken to be its own, and
// returned.
func (g *Growth) Begin() (grown int64, err error) {
	now, err := g.walk(nil)
	if err != nil {
		return 0, err
	}
	for _, v := range g.volumes {
		if s, err := v.stat(); err == nil {
			grown += max(0, usedOf(s)-v.used)
			v.used = usedOf(s)
		}
	}
	g.before = usage{now.bytes - grown, now.files}
	return grown, nil
}

// Glance asks the file systems whether the server may have written what is left to
// it, so that it has to be stopped and measured. left is what it was allowed,
// without what it had written when it was measured last; grown is by how much the
// file systems have grown since.
func (g *Growth) Glance(left int64) (look bool, grown int64) {
	for _, vol := range g.volumes {
		s, err := vol.stat()
		if err != nil {
			continue
		}
		vol.used = min(vol.used, usedOf(s)) // somebody has deleted something
		grown += usedOf(s) - vol.used
		look = look || vol.floor && vol.low(s)
	}
	return look || grown >= left, grown
}

// Suspect is Glance for a server that has ended before Begin has. It may be called
// meanwhile.
func (g *Growth) Suspect() bool {
	var grown int64
	for _, vol := range g.volumes {
		if s, err := vol.stat(); err == nil {
			grown += max(0, usedOf(s)-vol.first)
		}
	}
	return grown >= g.allowed
}

// Exceeded says what a server has done that it may not.
type Exceeded struct {
	Written, Allowed int64
	// Detail says what is wrong if Written is less than Allowed; else it is "".
	Detail string
}

// Measure looks through the directories, and at what the processes have open
// there. The server is to be stopped meanwhile.
func (g *Growth) Measure(processes []int) (written int64, e *Exceeded, err error) {
	now, err := g.walk(processes)
	if deep := (*tooDeep)(nil); errors.As(err, &deep) {
		return g.allowed, &Exceeded{Written: g.allowed, Allowed: g.allowed, Detail: deep.Error()}, nil
	}
	if err != nil {
		return 0, nil, err
	}
	written = max(0, now.bytes-g.before.bytes)
	files := now.files - g.before.files
	if written >= g.allowed {
		e = &Exceeded{Written: written, Allowed: g.allowed}
	}
	for _, v := range g.volumes {
		s, err := v.stat()
		if err != nil {
			continue
		}
		v.used = usedOf(s)
		if e == nil && v.floor && v.low(s) {
			if written >= (v.free-freeOf(s))/8 && written >= 64<<20 || files >= (v.inodes-int64(s.Ffree))/8 && files >= 10_000 {
				e = &Exceeded{Written: written, Allowed: g.allowed, Detail: fmt.Sprintf("the file system of %s is nearly full", v.root)}
			}
			v.floor = false // it was somebody else
		}
	}
	return written, e, nil
}

func (v *volume) stat() (s unix.Statfs_t, err error) { return s, unix.Statfs(v.root, &s) }

// low reports whether hardly anything is left: a twentieth, of space a gigabyte
// at most, or half of what there was to begin with.
func (v *volume) low(s unix.Statfs_t) bool {
	space := min(int64(s.Blocks)*s.Bsize/20, 1<<30, v.free/2)
	return freeOf(s) < space || s.Files > 0 && int64(s.Ffree) < min(int64(s.Files)/20, v.inodes/2)
}

// usedOf is what a file system holds, with as much for each file as an empty one
// counts. Some have no number of files to tell.
func usedOf(s unix.Statfs_t) int64 {
	return int64(s.Blocks-s.Bfree)*s.Bsize + int64(s.Files-s.Ffree)*least
}

func freeOf(s unix.Statfs_t) int64 { return int64(s.Bavail) * s.Bsize }

// LookAgain is how long a server needs at least to write that much, at the pace of
// the fastest disks: what it allocates at once is seen a little later.
func LookAgain(left int64) time.Duration {
	const rate = 4 << 30
	d := time.Duration(float64(left) / rate * float64(time.Second))
	return min(max(d, 5*time.Millisecond), 500*time.Millisecond)
}

// gone reports whether err is that of a file which was deleted meanwhile, or which
// cannot be looked at, and so not be written to either.
func gone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}
