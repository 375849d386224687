package native

import (
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/internal/boxspec"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"golang.org/x/sys/unix"
)

// sourceTimeout bounds the look at one mount source: a hung FUSE or network
// file system must fail the start, not hang it.
const sourceTimeout = 5 * time.Second

// identify records what stands at the source of each bind mount. Stage 1
// refuses to mount anything else.
func identify(mounts []wire.Mount) error {
	done := make(chan error, 1)
	last := make(chan string, 1)
	go func() {
		for i := range mounts {
			if !mounts[i].FromHost() {
				continue
			}
			select {
			case <-last:
			default:
			}
			last <- mounts[i].Source
			if err := identifyOne(&mounts[i]); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	timer := time.NewTimer(sourceTimeout)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return fmt.Errorf("mount source %s: no answer from its file system within %s", <-last, sourceTimeout)
	}
}

func identifyOne(m *wire.Mount) error {
	fd, err := boxspec.OpenSource(m.Source)
	if err != nil {
		return fmt.Errorf("mount source %s: %w", m.Source, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return fmt.Errorf("mount source %s: %w", m.Source, err)
	}
	m.Dev, m.Ino, m.Type = st.Dev, st.Ino, st.Mode&unix.S_IFMT
	switch m.Type {
	case unix.S_IFDIR, unix.S_IFREG, unix.S_IFSOCK:
		return nil
	case unix.S_IFCHR:
		if boxspec.PlainDevice(st.Rdev) {
			return nil
		}
	}
	return fmt.Errorf("mount source %s: neither a directory, a file, a socket nor one of null, zero, full, random and urandom", m.Source)
}

// cloneForRoot makes the bind mounts in the launcher, which is root: the box's
// user could not even reach most sources. What the box may write to, and what
// lies below it, is mapped so that its owner on disk is the box's user inside
// (mount_setattr(2), MOUNT_ATTR_IDMAP). What it may only read is not: there the
// box is nobody, and sees what any user of this machine may see.
func cloneForRoot(mounts []wire.Mount, id identity) ([]*os.File, error) {
	var trees []*os.File
	maps := newIDMaps(id)
	defer maps.close()
	var mapped []mappedTree
	for i := range mounts {
		m := &mounts[i]
		if !m.FromHost() {
			continue
		}
		// Private: this is the host's mount namespace, where the copy would
		// otherwise go on receiving what is mounted below the original.
		attr := unix.MountAttr{Attr_set: m.TreeAttr(), Propagation: unix.MS_PRIVATE}
		owner, isMapped := ownerOf(mapped, m.Target)
		if !isMapped && m.Attr&unix.MOUNT_ATTR_RDONLY == 0 && (m.Type == unix.S_IFDIR || m.Type == unix.S_IFREG) {
			var err error
			if owner, err = ownerOnDisk(m.Source); err != nil {
				return nil, err
			}
			mapped, isMapped = append(mapped, mappedTree{m.Target, owner}), true
		}
		if isMapped && m.Source != "/dev/null" {
			ns, err := maps.namespace(owner)
			if err != nil {
				return nil, err
			}
			attr.Attr_set |= unix.MOUNT_ATTR_IDMAP
			attr.Userns_fd = uint64(ns.Fd())
		}
		tree, err := cloneTree(*m, &attr)
		if err != nil {
			return nil, err
		}
		trees = append(trees, tree)
		m.Tree = len(trees)
	}
	return trees, nil
}

// mappedTree is a writable mount and who owns it on disk.
type mappedTree struct {
	target string
	owner  identity
}

func ownerOf(trees []mappedTree, target string) (identity, bool) {
	for _, t := range trees {
		if target == t.target || strings.HasPrefix(target, t.target+"/") {
			return t.owner, true
		}
	}
	return identity{}, false
}

func ownerOnDisk(path string) (identity, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return identity{}, fmt.Errorf("mount source %s: %w", path, err)
	}
	return identity{int(st.Uid), int(st.Gid)}, nil
}

func cloneTree(m wire.Mount, attr *unix.MountAttr) (*os.File, error) {
	fd, err := boxspec.OpenSource(m.Source)
	if err != nil {
		return nil, fmt.Errorf("mount source %s: %w", m.Source, err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil || st.Dev != m.Dev || st.Ino != m.Ino {
		return nil, fmt.Errorf("mount source %s: source changed while the box was being built", m.Source)
	}
	flags, recurse := uint(unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC|unix.AT_EMPTY_PATH), uint(0)
	if m.Recursive {
		recurse = unix.AT_RECURSIVE
	}
	tree, err := unix.OpenTree(fd, "", flags|recurse)
	if err != nil {
		return nil, fmt.Errorf("open_tree %s: %w", m.Source, err)
	}
	f := os.NewFile(uintptr(tree), m.Source)
	if err := unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH|recurse, attr); err != nil {
		f.Close()
		if attr.Userns_fd != 0 {
			return nil, &sandbox.UnsupportedError{
				Feature: "write access to " + m.Source + " as root",
				Reason:  fmt.Sprintf("its file system cannot be mounted with mapped owners (%v), and a box never runs as root", err),
				Fix:     "start mcpbox as the user who owns the directory",
			}
		}
		return nil, fmt.Errorf("mount_setattr %s: %w", m.Source, err)
	}
	return f, nil
}
