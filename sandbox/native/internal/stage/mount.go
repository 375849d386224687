package stage

import (
	"errors"
	"os"
	"strings"

	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"golang.org/x/sys/unix"
)

// rootOptions bound the tmpfs that is the box's root. It holds directories,
// links and the small files of /etc, and is read-only once it is complete.
var rootOptions = []string{"size=4194304", "nr_inodes=4096", "mode=0755"}

// stagingPlaces are directories of the host over which the new root may be
// mounted, in this mount namespace only, until it becomes the root.
var stagingPlaces = []string{"/tmp", "/var", "/usr", "/proc"}

// root is the box's file system under construction.
type root struct {
	fd   int
	ours map[uint64]bool // st_dev of every tmpfs made here: directories may be created in these only
	// overlays are the staged mounts by number, and changes their upper
	// directories.
	overlays map[uint64]bool
	changes  []int
	// readOnly are tmpfs mounts that are sealed last, when all is in them.
	readOnly []int
}

// buildRoot makes every mount of the plan on a new tmpfs, and leaves the
// working directory there.
func buildRoot(plan *wire.Plan, given []int) (*root, error) {
	// First of all: nothing done here may reach the host, and nothing mounted
	// on the host later may appear here. Private, not slave: a later mount of
	// the host would come without the flags below.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, fail("make private", "/", err)
	}
	// Sources are opened while the host's tree is still in sight, and before
	// the new root hides the part of it that it is mounted on.
	trees := make([]int, len(plan.Mounts))
	for i, m := range plan.Mounts {
		if !m.FromHost() {
			continue
		}
		tree, err := openTree(m, given)
		if err != nil {
			return nil, fail("mount source", m.Source, err)
		}
		trees[i] = tree
	}
	r, err := newRoot()
	if err != nil {
		return nil, err
	}
	for i, m := range plan.Mounts {
		if err := r.add(m, trees[i]); err != nil {
			return nil, fail("mount "+m.Kind, m.Target, err)
		}
	}
	for _, fd := range r.readOnly {
		attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
		if err := unix.MountSetattr(fd, "", unix.AT_EMPTY_PATH, &attr); err != nil {
			return nil, fail("make read-only", "", err)
		}
		unix.Close(fd)
	}
	return r, nil
}

// newRoot mounts the box's root over some directory of the host and enters it.
func newRoot() (*root, error) {
	fd, err := newFS("tmpfs", rootOptions, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return nil, fail("mount", "/", err)
	}
	for _, place := range stagingPlaces {
		if err = unix.MoveMount(fd, "", unix.AT_FDCWD, place, unix.MOVE_MOUNT_F_EMPTY_PATH); err == nil {
			break
		}
	}
	if err != nil {
		return nil, fail("mount", "/", err)
	}
	if err := unix.Fchdir(fd); err != nil {
		return nil, fail("chdir", "/", err)
	}
	r := &root{fd: fd, ours: map[uint64]bool{}, overlays: map[uint64]bool{}}
	return r, r.own(fd)
}

// own records that the file system of fd was made here.
func (r *root) own(fd int) error {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	r.ours[st.Dev] = true
	return nil
}

// add makes one mount.
func (r *root) add(m wire.Mount, tree int) error {
	switch m.Kind {
	case "symlink", "file":
		return r.addNode(m)
	case "tmpfs", "proc":
		fd, err := newFS(m.Kind, m.Options, m.Attr&^unix.MOUNT_ATTR_RDONLY)
		if err != nil {
			return err
		}
		if err := r.attach(fd, m, true); err != nil {
			return err
		}
		if m.Kind == "tmpfs" {
			if err := r.own(fd); err != nil {
				return err
			}
		}
		if m.Attr&unix.MOUNT_ATTR_RDONLY != 0 {
			r.readOnly = append(r.readOnly, fd)
			return nil
		}
		return unix.Close(fd)
	case "staged":
		fd, err := r.overlay(m, tree)
		if err != nil {
			return err
		}
		if err := r.attach(fd, m, true); err != nil {
			return err
		}
		return errors.Join(unix.Close(fd), unix.Close(tree))
	case "bind":
		if err := r.attach(tree, m, m.Type == unix.S_IFDIR); err != nil {
			return err
		}
		return unix.Close(tree)
	}
	return errors.New("unknown kind of mount")
}

// attach moves the detached mount fd onto m.Target.
func (r *root) attach(fd int, m wire.Mount, dir bool) error {
	at, err := r.target(m.Target, dir, m.NoFollow)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	if m.Kind == "bind" && m.Source == m.Target && !m.Elsewhere {
		// A pin or a protected name inside a directory that other boxes may
		// write to: it must be mounted on itself, not on what somebody has
		// put in its place meanwhile.
		if err := r.sameFile(at, m); err != nil {
			return err
		}
	}
	return unix.MoveMount(fd, "", at, "", unix.MOVE_MOUNT_F_EMPTY_PATH|unix.MOVE_MOUNT_T_EMPTY_PATH)
}

func (r *root) sameFile(at int, m wire.Mount) error {
	// In a staged directory no other box can do that: there the file has
	// numbers of overlayfs, and what lies under the mount is this box's alone.
	if len(r.overlays) > 0 {
		if id, err := mountID(at); err != nil || r.overlays[id] {
			return err
		}
	}
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil {
		return err
	}
	if r.ours[st.Dev] || (st.Dev == m.Dev && st.Ino == m.Ino) {
		return nil
	}
	return errSourceChanged
}

var errSourceChanged = errors.New("source changed while the box was being built")

// target opens the in-box path without ever following a symbolic link. What is
// missing is created, but only on a file system of the box's own: never on the
// host.
func (r *root) target(path string, dir, nofollow bool) (int, error) {
	fd, err := r.open(r.fd, strings.TrimPrefix(path, "/"), nofollow)
	if err != unix.ENOENT {
		return fd, err
	}
	parent, name := split(path)
	at := r.fd
	if parent != "/" {
		if at, err = r.target(parent, true, false); err != nil {
			return -1, err
		}
		defer unix.Close(at)
	}
	if err := r.create(at, name, dir); err != nil {
		return -1, err
	}
	return r.open(at, name, nofollow)
}

func split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	return path[:max(i, 1)], path[i+1:]
}

func (r *root) open(at int, path string, nofollow bool) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	if nofollow {
		// The link itself is meant: with O_PATH and O_NOFOLLOW it is opened.
		// Its directory has been pinned before, so that only the last
		// component can be one.
		parent, name := split("/" + path)
		dir, err := unix.Openat2(at, "."+parent, &how)
		if err != nil {
			return -1, err
		}
		defer unix.Close(dir)
		how.Flags |= unix.O_NOFOLLOW
		how.Resolve &^= unix.RESOLVE_NO_SYMLINKS
		return unix.Openat2(dir, name, &how)
	}
	return unix.Openat2(at, path, &how)
}

// create makes an empty directory or file, as a place to mount on.
func (r *root) create(at int, name string, dir bool) error {
	if mine, err := r.isOurs(at); err != nil || !mine {
		return &wire.Failure{Step: "target", Path: name, Msg: errSourceChanged.Error()}
	}
	if dir {
		return unix.Mkdirat(at, name, 0o755)
	}
	return unix.Mknodat(at, name, unix.S_IFREG|0o444, 0)
}

// isOurs reports whether the file system of fd was made here.
func (r *root) isOurs(fd int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, err
	}
	return r.ours[st.Dev], nil
}

// addNode makes a symbolic link or a file with given content.
func (r *root) addNode(m wire.Mount) error {
	dir, name := split(m.Target)
	at := r.fd
	if dir != "/" {
		var err error
		if at, err = r.target(dir, true, false); err != nil {
			return err
		}
		defer unix.Close(at)
	}
	if mine, err := r.isOurs(at); err != nil || !mine {
		return errors.New("not a file system of the box")
	}
	if m.Kind == "symlink" {
		return unix.Symlinkat(m.Source, at, name)
	}
	fd, err := unix.Openat(at, name, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0o444)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), m.Target)
	if _, err := f.WriteString(m.Source); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
