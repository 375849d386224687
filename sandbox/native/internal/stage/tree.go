package stage

import (
	"errors"
	"strings"

	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"golang.org/x/sys/unix"
)

// openTree makes a detached mount of m.Source with the attributes of m. They
// are set while nobody can reach it, so there is no moment at which it is
// writable by mistake.
func openTree(m wire.Mount, given []int) (int, error) {
	if m.Tree > 0 {
		// The launcher, being root, has looked at it and cloned it itself.
		if m.Tree > len(given) {
			return -1, errors.New("not sent")
		}
		return given[m.Tree-1], nil
	}
	tree, err := cloneTree(m)
	if err != nil {
		return -1, err
	}
	flags := uint(unix.AT_EMPTY_PATH)
	if m.Recursive {
		flags |= unix.AT_RECURSIVE
	}
	attr := unix.MountAttr{Attr_set: m.TreeAttr(), Propagation: unix.MS_PRIVATE}
	if err := unix.MountSetattr(tree, "", flags, &attr); err != nil {
		return -1, fail("mount_setattr", m.Source, err)
	}
	return tree, nil
}

// cloneTree finds the source, makes sure that it is what the launcher saw, and
// detaches a copy of the mount.
func cloneTree(m wire.Mount) (int, error) {
	how := unix.OpenHow{Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS}
	fd, err := unix.Openat2(unix.AT_FDCWD, m.Source, &how)
	if err == unix.ELOOP || err == unix.ENOENT || err == unix.ENOTDIR {
		return -1, errSourceChanged
	}
	if err != nil {
		return -1, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return -1, err
	}
	if st.Dev != m.Dev || st.Ino != m.Ino || st.Mode&unix.S_IFMT != m.Type {
		return -1, errSourceChanged
	}
	flags := uint(unix.OPEN_TREE_CLONE | unix.OPEN_TREE_CLOEXEC | unix.AT_EMPTY_PATH)
	if m.Recursive {
		// Without it the kernel refuses to uncover what a submount hides.
		flags |= unix.AT_RECURSIVE
	}
	return unix.OpenTree(fd, "", flags)
}

// newFS makes a detached mount of a new file system.
func newFS(kind string, options []string, attr uint64) (int, error) {
	fs, err := unix.Fsopen(kind, unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, fail("fsopen", kind, err)
	}
	defer unix.Close(fs)
	for _, o := range options {
		key, value, valued := strings.Cut(o, "=")
		if valued {
			err = unix.FsconfigSetString(fs, key, value)
		} else {
			err = unix.FsconfigSetFlag(fs, key)
		}
		if err != nil {
			return -1, fail("fsconfig", o, err)
		}
	}
	if err := unix.FsconfigCreate(fs); err != nil {
		return -1, fail("fsconfig", kind, err)
	}
	fd, err := unix.Fsmount(fs, unix.FSMOUNT_CLOEXEC, int(attr))
	if err != nil {
		return -1, fail("fsmount", kind, err)
	}
	return fd, nil
}

// pivot makes the working directory, which buildRoot has left at the new root,
// the root of this mount namespace, and drops the host's.
func pivot() error {
	// Old and new root in one place: no directory for the old one is needed,
	// and none is left behind (pivot_root(2), NOTES).
	if err := unix.PivotRoot(".", "."); err != nil {
		return fail("pivot_root", "", err)
	}
	// Now the old root is stacked on the new one, and the working directory is
	// below it.
	if err := unix.Unmount(".", unix.MNT_DETACH); err != nil {
		return fail("detach old root", "", err)
	}
	if err := unix.Chdir("/"); err != nil {
		return fail("chdir", "/", err)
	}
	attr := unix.MountAttr{Attr_set: unix.MOUNT_ATTR_RDONLY}
	if err := unix.MountSetattr(unix.AT_FDCWD, "/", 0, &attr); err != nil {
		return fail("make read-only", "/", err)
	}
	return nil
}
