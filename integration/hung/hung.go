// Package hung mounts a file system that stops to answer, for tests.
package hung

import (
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

// FileSystem is one in user space (FUSE, fuse(4)) with one file, called file. It
// answers what it is asked until somebody reads that file, or looks for one that is
// called lost. From then on it does nothing any more, like one whose network is gone.
type FileSystem struct {
	dev  *os.File
	hung atomic.Bool
}

// Mount mounts one at dir, for the user uid: as root by itself, else with
// fusermount3(1). It is gone when the test ends.
func Mount(t testing.TB, uid int, dir string) *FileSystem {
	t.Helper()
	var fd int
	var err error
	if os.Getuid() == 0 {
		if fd, err = unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0); err == nil {
			options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=%d,group_id=%d,allow_other", fd, uid, uid)
			err = unix.Mount("hanging", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options)
		}
	} else {
		fd, err = fusermount(dir)
	}
	if err != nil && os.Getenv("MCPBOX_REQUIRE") != "" {
		t.Fatalf("FUSE: %v", err)
	}
	if err != nil {
		t.Skipf("FUSE: %v", err)
	}
	unix.SetNonblock(fd, true)
	f := &FileSystem{dev: os.NewFile(uintptr(fd), "fuse")}
	go f.serve(uint32(uid))
	t.Cleanup(func() {
		f.End()
		if os.Getuid() == 0 {
			unix.Unmount(dir, unix.MNT_DETACH)
		} else {
			exec.Command("fusermount3", "-u", "-z", dir).Run()
		}
	})
	return f
}

// Hung reports whether somebody waits.
func (f *FileSystem) Hung() bool { return f.hung.Load() }

// End aborts all that waits.
func (f *FileSystem) End() { f.dev.Close() }

// fusermount has the set-user-ID program mount, which sends the descriptor.
func fusermount(dir string) (int, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	defer unix.Close(pair[0])
	theirs := os.NewFile(uintptr(pair[1]), "socket")
	defer theirs.Close()
	cmd := exec.Command("fusermount3", "-o", "nosuid,nodev,fsname=hanging", "--", dir)
	cmd.Env = append(os.Environ(), "_FUSE_COMMFD=3")
	cmd.ExtraFiles = []*os.File{theirs}
	if out, err := cmd.CombinedOutput(); err != nil {
		return -1, fmt.Errorf("fusermount3: %w: %s", err, out)
	}
	space := make([]byte, unix.CmsgSpace(4))
	_, n, _, _, err := unix.Recvmsg(pair[0], make([]byte, 1), space, unix.MSG_CMSG_CLOEXEC)
	if err != nil {
		return -1, err
	}
	messages, err := unix.ParseSocketControlMessage(space[:n])
	if err != nil || len(messages) != 1 {
		return -1, fmt.Errorf("fusermount3 has sent %d messages, %w", len(messages), err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		return -1, fmt.Errorf("fusermount3 has sent %d descriptors, %w", len(fds), err)
	}
	return fds[0], nil
}

// The requests, and the numbers of the two files, of include/uapi/linux/fuse.h.
const (
	fuseLookup, fuseForget, fuseGetattr, fuseOpen, fuseRead   = 1, 2, 3, 14, 15
	fuseStatfs, fuseRelease, fuseInit, fuseOpendir, fuseFlush = 17, 18, 26, 27, 25
	fuseReaddir, fuseReleasedir, fuseAccess, fuseBatchForget  = 28, 29, 34, 42

	rootNode, fileNode = 1, 2
)

// serve answers until somebody reads the file.
func (f *FileSystem) serve(owner uint32) {
	buf := make([]byte, 1<<20)
	for {
		n, err := f.dev.Read(buf)
		if err != nil || n < 40 {
			return
		}
		opcode, unique, node := binary.LittleEndian.Uint32(buf[4:]), buf[8:16], binary.LittleEndian.Uint64(buf[16:])
		var body []byte
		errno := int32(0)
		switch opcode {
		case fuseRead:
			f.hung.Store(true)
			return
		case fuseForget, fuseBatchForget:
			continue
		case fuseInit:
			body = make([]byte, 64)
			binary.LittleEndian.PutUint32(body[0:], 7)
			binary.LittleEndian.PutUint32(body[4:], 31)
			binary.LittleEndian.PutUint32(body[20:], 4096) // longest write
		case fuseLookup:
			name := string(buf[40 : n-1])
			if name == "lost" {
				f.hung.Store(true)
				return
			}
			if name != "file" {
				errno = -int32(unix.ENOENT)
				break
			}
			body = make([]byte, 40, 128)
			binary.LittleEndian.PutUint64(body, fileNode)
			body = append(body, attributes(fileNode, owner)...)
		case fuseGetattr:
			body = append(make([]byte, 16, 104), attributes(node, owner)...)
		case fuseOpen, fuseOpendir:
			body = make([]byte, 16)
		case fuseStatfs:
			body = make([]byte, 80)
			binary.LittleEndian.PutUint32(body[40:], 4096) // block
			binary.LittleEndian.PutUint32(body[44:], 255)  // longest name
			binary.LittleEndian.PutUint32(body[48:], 4096)
			binary.LittleEndian.PutUint64(body[0:], 1<<20) // blocks
			binary.LittleEndian.PutUint64(body[8:], 1<<19)
			binary.LittleEndian.PutUint64(body[16:], 1<<19)
		case fuseReaddir, fuseRelease, fuseReleasedir, fuseFlush, fuseAccess:
		default:
			errno = -int32(unix.ENOSYS)
		}
		answer := make([]byte, 16, 16+len(body))
		binary.LittleEndian.PutUint32(answer[0:], uint32(16+len(body)))
		binary.LittleEndian.PutUint32(answer[4:], uint32(errno))
		copy(answer[8:], unique)
		if _, err := f.dev.Write(append(answer, body...)); err != nil {
			return
		}
	}
}

// attributes are a struct fuse_attr.
func attributes(node uint64, owner uint32) []byte {
	a := make([]byte, 88)
	mode, size := uint32(unix.S_IFDIR|0o755), uint64(0)
	if node == fileNode {
		mode, size = unix.S_IFREG|0o644, 4096
	}
	binary.LittleEndian.PutUint64(a[0:], node)
	binary.LittleEndian.PutUint64(a[8:], size)
	binary.LittleEndian.PutUint32(a[60:], mode)
	binary.LittleEndian.PutUint32(a[64:], 1) // names
	binary.LittleEndian.PutUint32(a[68:], owner)
	binary.LittleEndian.PutUint32(a[72:], owner)
	binary.LittleEndian.PutUint32(a[80:], 4096) // block
	return a
}
