package boxspec

import (
	"errors"

	"golang.org/x/sys/unix"
)

// OpenSource opens path without following a link anywhere in it. The policy
// has resolved them; one that is there now was put there since.
func OpenSource(path string) (int, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, path, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err == unix.ELOOP {
		err = errors.New("source changed while the box was being built: there is a symbolic link in it now")
	}
	return fd, err
}

// PlainDevice knows the five devices that hold nothing of the host
// (devices.txt of the kernel). A mask that is said to be /dev/null must be it
// (CVE-2025-31133).
func PlainDevice(rdev uint64) bool {
	switch rdev {
	case unix.Mkdev(1, 3), unix.Mkdev(1, 5), unix.Mkdev(1, 7), unix.Mkdev(1, 8), unix.Mkdev(1, 9):
		return true
	}
	return false
}
