package stage

import (
	"errors"
	"os"
	"strconv"

	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"golang.org/x/sys/unix"
)

// Names on the box's root for as long as it takes to make one overlay.
const (
	lowerPlace   = ".lower"
	changesPlace = ".changes"
)

// overlay makes a detached mount that shows the directory tree, and keeps what is
// changed in it on a tmpfs of its own (overlayfs.rst of the kernel). The tree
// itself is a read-only layer. The tmpfs is not mounted anywhere in the end: a
// descriptor of its upper directory goes to the launcher.
//
// What the server writes is written by overlayfs with the credentials of this
// moment: those of uid 0 of user namespace 1, which is the user on the host and
// nobody more. Before that, overlayfs asks whether the server itself may.
func (r *root) overlay(m wire.Mount, tree int) (fd int, err error) {
	// Overlayfs takes its layers by path, from this mount namespace.
	for _, place := range []string{lowerPlace, changesPlace} {
		if err := unix.Mkdirat(r.fd, place, 0o700); err != nil {
			return -1, err
		}
		defer func() { err = errors.Join(err, unix.Unlinkat(r.fd, place, unix.AT_REMOVEDIR)) }()
	}
	changes, err := newFS("tmpfs", m.Options, unix.MOUNT_ATTR_NOSUID|unix.MOUNT_ATTR_NODEV)
	if err != nil {
		return -1, err
	}
	defer unix.Close(changes)
	for _, layer := range []struct {
		fd    int
		place string
	}{{tree, lowerPlace}, {changes, changesPlace}} {
		if err := unix.MoveMount(layer.fd, "", r.fd, layer.place, unix.MOVE_MOUNT_F_EMPTY_PATH); err != nil {
			return -1, fail("move_mount", layer.place, err)
		}
		// Neither may stay: below one lies the host's directory.
		defer func() { err = errors.Join(err, unix.Unmount(layer.place, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)) }()
	}
	upper, err := makeLayers(changes, tree)
	if err != nil {
		return -1, err
	}
	r.changes = append(r.changes, upper)
	fd, err = newFS("overlay", []string{
		"lowerdir=" + lowerPlace, "upperdir=" + changesPlace + "/upper", "workdir=" + changesPlace + "/work",
		// Attributes that an ordinary user may set. With it the kernel follows
		// no redirection, so that a directory of the host cannot be renamed,
		// and takes no file's content from a place that an attribute names:
		// the layer below may be full of what an earlier run has left.
		"userxattr",
	}, m.Attr)
	if err != nil {
		return -1, err
	}
	id, err := mountID(fd)
	if err != nil {
		return -1, err
	}
	r.overlays[id] = true
	return fd, nil
}

// makeLayers makes the directories that overlayfs wants on a tmpfs, and opens the
// upper one.
func makeLayers(changes, tree int) (upper int, err error) {
	var st unix.Stat_t
	if err := unix.Fstat(tree, &st); err != nil {
		return -1, err
	}
	// The root of the view has the mode of the upper layer's.
	if err := unix.Mkdirat(changes, "upper", st.Mode&0o1777); err != nil {
		return -1, err
	}
	if err := unix.Mkdirat(changes, "work", 0o700); err != nil {
		return -1, err
	}
	upper, err = unix.Openat2(changes, "upper", &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err != nil {
		return -1, err
	}
	// Without attributes overlayfs would mount all the same, and fail later:
	// whenever a directory is removed and made again.
	const probe = "user.mcpbox"
	at := "/proc/self/fd/" + strconv.Itoa(upper)
	if err := unix.Setxattr(at, probe, []byte("1"), 0); err != nil {
		unix.Close(upper)
		return -1, fail(wire.StepChanges, "", err)
	}
	if err := unix.Removexattr(at, probe); err != nil {
		unix.Close(upper)
		return -1, err
	}
	return upper, nil
}

// mountID is the kernel's number for the mount that fd lies on.
func mountID(fd int) (uint64, error) {
	var st unix.Statx_t
	if err := unix.Statx(fd, "", unix.AT_EMPTY_PATH, unix.STATX_MNT_ID, &st); err != nil {
		return 0, fail("statx", "", err)
	}
	if st.Mask&unix.STATX_MNT_ID == 0 {
		return 0, errors.New("the kernel does not number its mounts")
	}
	return st.Mnt_id, nil
}

// offerStaged gives the launcher the changes to keep. Those of a launcher that
// has died are gone with the box.
func offerStaged(control *os.File, fds []int) error {
	if len(fds) == 0 {
		return nil
	}
	if err := wire.Send(control, wire.TypeStaged, &wire.Staged{FDs: fds}); err != nil {
		return err
	}
	return handOver(control, fds)
}
