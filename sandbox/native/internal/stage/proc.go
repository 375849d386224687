package stage

import (
	"errors"
	"strings"

	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"golang.org/x/sys/unix"
)

// writeSysctls writes the limits of the box's own namespaces to the files below
// dir, which is its own /proc/sys, and returns those that the kernel does not
// let it set.
func writeSysctls(dir int, list []wire.Sysctl) (refused []string, err error) {
	for _, s := range list {
		fd, err := unix.Openat(dir, s.Path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		if err == unix.ENOENT {
			continue // this kernel does not have the resource either
		}
		if err == nil {
			_, err = unix.Write(fd, []byte(s.Value))
			unix.Close(fd)
		}
		switch {
		case err == nil:
		case s.Required:
			return nil, fail("sysctl", strings.ReplaceAll(s.Path, "/", "."), err)
		default:
			refused = append(refused, strings.ReplaceAll(s.Path, "/", "."))
		}
	}
	return refused, nil
}

// seal covers what the plan hides and makes read-only what it freezes: paths
// below /proc that speak of the host. What does not exist needs no cover.
func (r *root) seal(plan *wire.Plan) error {
	for _, path := range plan.ReadOnly {
		if err := r.freeze(path); err != nil && err != unix.ENOENT {
			return fail("make read-only", path, err)
		}
	}
	for _, path := range plan.Masked {
		if err := r.mask(path); err != nil && err != unix.ENOENT {
			return fail("mask", path, err)
		}
	}
	return nil
}

// lookup opens an in-box path that must be there, without following links.
func (r *root) lookup(path string) (int, error) {
	return unix.Openat2(r.fd, strings.TrimPrefix(path, "/"), &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
}

const moveOntoFD = unix.MOVE_MOUNT_F_EMPTY_PATH | unix.MOVE_MOUNT_T_EMPTY_PATH

func (r *root) freeze(path string) error {
	at, err := r.lookup(path)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	tree, err := unix.OpenTree(at, "", unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH|unix.AT_RECURSIVE)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NODEV | unix.MOUNT_ATTR_NOEXEC}
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|unix.AT_RECURSIVE, &attr); err != nil {
		return err
	}
	return unix.MoveMount(tree, "", at, "", moveOntoFD)
}

func (r *root) mask(path string) error {
	at, err := r.lookup(path)
	if err != nil {
		return err
	}
	defer unix.Close(at)
	var st unix.Stat_t
	if err := unix.Fstat(at, &st); err != nil {
		return err
	}
	const attr = unix.MOUNT_ATTR_RDONLY | unix.MOUNT_ATTR_NOSUID | unix.MOUNT_ATTR_NOEXEC
	var cover int
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		cover, err = newFS("tmpfs", []string{"nr_blocks=1", "nr_inodes=2", "mode=0555"}, attr|unix.MOUNT_ATTR_NODEV)
	} else {
		cover, err = nullDevice(attr)
	}
	if err != nil {
		return err
	}
	defer unix.Close(cover)
	return unix.MoveMount(cover, "", at, "", moveOntoFD)
}

// nullDevice clones the host's /dev/null, after making sure that it is that
// (CVE-2025-31133).
func nullDevice(attr uint64) (int, error) {
	var st unix.Stat_t
	if err := unix.Lstat("/dev/null", &st); err != nil {
		return -1, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFCHR || st.Rdev != unix.Mkdev(1, 3) {
		return -1, errors.New("/dev/null is not the null device")
	}
	return openTree(wire.Mount{Source: "/dev/null", Dev: st.Dev, Ino: st.Ino, Type: unix.S_IFCHR, Attr: attr}, nil)
}
