// Package landlock puts landlock(7) in force for a box, by path: a second layer over
// what mounts allow. It is linked into the programs that run in boxes.
package landlock

import (
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Policy is what is allowed, by in-box path.
type Policy struct {
	Rules []Rule
	// UnixSockets allows sockets to be made and resolved below writable rules.
	UnixSockets bool
}

// Rule grants access to Path and all below it.
type Rule struct {
	Path string
	// Access is one of
	//   list     directories may be listed
	//   read     and files read and executed
	//   write    and changed, created, removed, renamed
	//   private  and FIFOs made: a file system of the box's own, with nothing
	//            of the host below it, as rights reach across mount points
	//   device   device nodes may be read, written and controlled
	//   proc     may be read
	//   socket   one UNIX socket may be connected to
	//   stream   a FIFO may be opened, for either end
	Access string
}

// Error is a call that has failed.
type Error struct {
	Call, Path string
	Err        error
}

func (e *Error) Error() string { return e.Call + " " + e.Path + ": " + e.Err.Error() }

// Unwrap lets errors.As see the kernel's answer.
func (e *Error) Unwrap() error { return e.Err }

// accessResolveUnix is LANDLOCK_ACCESS_FS_RESOLVE_UNIX, of ABI 9.
const accessResolveUnix = 1 << 16

// fsAccess is every file system right of an ABI, by ABI (landlock(7), and the
// kernel's include/uapi/linux/landlock.h).
func fsAccess(abi int) uint64 {
	rights := uint64(1<<13 - 1) // execute to make_sym
	if abi >= 2 {
		rights |= unix.LANDLOCK_ACCESS_FS_REFER
	}
	if abi >= 3 {
		rights |= unix.LANDLOCK_ACCESS_FS_TRUNCATE
	}
	if abi >= 5 {
		rights |= unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	}
	if abi >= 9 {
		rights |= accessResolveUnix
	}
	return rights
}

const (
	listAccess = unix.LANDLOCK_ACCESS_FS_READ_DIR
	readAccess = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	devAccess  = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV
	// Not even its own oom_score_adj, which would put the host's programs
	// before it, or that of PID 1, which has the same owner.
	procAccess = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_READ_DIR
	// No device nodes, no sockets. FIFOs are for those who may make sockets.
	writeAccess = readAccess | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | unix.LANDLOCK_ACCESS_FS_TRUNCATE |
		unix.LANDLOCK_ACCESS_FS_REMOVE_DIR | unix.LANDLOCK_ACCESS_FS_REMOVE_FILE | unix.LANDLOCK_ACCESS_FS_MAKE_DIR |
		unix.LANDLOCK_ACCESS_FS_MAKE_REG | unix.LANDLOCK_ACCESS_FS_MAKE_SYM | unix.LANDLOCK_ACCESS_FS_REFER
	unixAccess = unix.LANDLOCK_ACCESS_FS_MAKE_SOCK | accessResolveUnix
	// fileAccess are the rights that mean something for what is no directory.
	fileAccess = unix.LANDLOCK_ACCESS_FS_EXECUTE | unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE |
		unix.LANDLOCK_ACCESS_FS_TRUNCATE | unix.LANDLOCK_ACCESS_FS_IOCTL_DEV | accessResolveUnix
)

// ABI asks the kernel itself: securityfs may not show it.
func ABI() int {
	abi, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, 0, 0, unix.LANDLOCK_CREATE_RULESET_VERSION)
	if errno != 0 {
		return 0
	}
	return int(abi)
}

// Restrict confines this thread to the rules, and returns the ABI that it
// did so with: 0 where the kernel has no Landlock, and where its ABI 1 would
// forbid every rename between directories of a writable tree.
func Restrict(l Policy) (int, error) {
	abi := ABI()
	writable := false
	for _, r := range l.Rules {
		writable = writable || r.Access == "write"
	}
	if abi == 0 || (abi == 1 && writable) {
		return 0, nil
	}
	handled := fsAccess(abi)
	// The kernel refuses a structure longer than it knows, if what it does not
	// know is not zero; older ones, by length alone.
	attr := unix.LandlockRulesetAttr{Handled_access_fs: handled}
	size := unsafe.Offsetof(attr.Handled_access_net)
	if abi >= 4 {
		size = unsafe.Offsetof(attr.Scoped)
	}
	if abi >= 6 {
		attr.Scoped = unix.LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET | unix.LANDLOCK_SCOPE_SIGNAL
		size = unsafe.Offsetof(attr.Quiet_access_fs)
	}
	rs, _, errno := unix.Syscall(unix.SYS_LANDLOCK_CREATE_RULESET, uintptr(unsafe.Pointer(&attr)), size, 0)
	if errno != 0 {
		return 0, &Error{"landlock_create_ruleset", "", errno}
	}
	defer unix.Close(int(rs))
	for _, r := range l.Rules {
		if err := addPathRule(int(rs), r, handled, l.UnixSockets); err != nil {
			return 0, &Error{"landlock_add_rule", r.Path, err}
		}
	}
	if _, _, errno := unix.Syscall(unix.SYS_LANDLOCK_RESTRICT_SELF, rs, 0, 0); errno != 0 {
		return 0, &Error{"landlock_restrict_self", "", errno}
	}
	return abi, nil
}

func addPathRule(rs int, r Rule, handled uint64, sockets bool) error {
	fd, err := unix.Open(r.Path, unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	var access uint64
	switch r.Access {
	case "list":
		access = listAccess
	case "read":
		access = readAccess
	case "device":
		access = devAccess
	case "proc":
		access = procAccess
	case "write":
		access = writeAccess
		if sockets {
			access |= unixAccess
		}
	case "private":
		// No host program listens there.
		access = writeAccess | unix.LANDLOCK_ACCESS_FS_MAKE_FIFO
		if sockets {
			access |= unixAccess
		}
	case "stream":
		access = unix.LANDLOCK_ACCESS_FS_READ_FILE | unix.LANDLOCK_ACCESS_FS_WRITE_FILE
	case "socket":
		access = readAccess | unix.LANDLOCK_ACCESS_FS_WRITE_FILE | accessResolveUnix
	default:
		return errors.New("unknown access")
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		access &= fileAccess
	}
	access &= handled
	if access == 0 {
		return nil
	}
	rule := unix.LandlockPathBeneathAttr{Allowed_access: access, Parent_fd: int32(fd)}
	_, _, errno := unix.Syscall6(unix.SYS_LANDLOCK_ADD_RULE, uintptr(rs), unix.LANDLOCK_RULE_PATH_BENEATH, uintptr(unsafe.Pointer(&rule)), 0, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}
