package stage

import (
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// securebits(7): uid 0 means nothing, and no program can change that.
const (
	secureNoRoot         = 1 << 0
	secureNoRootLocked   = 1 << 1
	secureNoFixup        = 1 << 2
	secureNoFixupLocked  = 1 << 3
	secureKeepCapsLocked = 1 << 5
	secureNoAmbient      = 1 << 6
	secureNoAmbientLock  = 1 << 7

	secureAll = secureNoRoot | secureNoRootLocked | secureNoFixup | secureNoFixupLocked |
		secureKeepCapsLocked | secureNoAmbient | secureNoAmbientLock
)

// dropCapabilities empties all five sets for this thread and locks them. The
// bounding set goes first: emptying it takes CAP_SETPCAP.
func dropCapabilities() error {
	for c := 0; c <= 63; c++ {
		err := prctl1(unix.PR_CAPBSET_DROP, uintptr(c))
		if err == unix.EINVAL {
			break // past the kernel's last capability
		}
		if err != nil {
			return fail("prctl", "PR_CAPBSET_DROP", err)
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fail("prctl", "PR_CAP_AMBIENT_CLEAR_ALL", err)
	}
	if err := prctl1(unix.PR_SET_SECUREBITS, secureAll); err != nil {
		return fail("prctl", "PR_SET_SECUREBITS", err)
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	if err := unix.Capset(&header, &none[0]); err != nil {
		return fail("capset", "", err)
	}
	return nil
}

// installFilter loads a seccomp filter for this thread, or with
// SECCOMP_FILTER_FLAG_TSYNC for the whole process.
func installFilter(program []byte, flags uintptr) error {
	fprog, err := sockFprog(program)
	if err != nil {
		return fail("seccomp", "", err)
	}
	n, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(fprog)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return fail("seccomp", "", errno)
	}
	if n != 0 {
		return fail("seccomp", "", errors.New("a thread could not be synchronised"))
	}
	return nil
}

// sockFprog points a struct sock_fprog at a raw array of struct sock_filter.
func sockFprog(program []byte) (*unix.SockFprog, error) {
	const size = int(unsafe.Sizeof(unix.SockFilter{}))
	if len(program) == 0 || len(program)%size != 0 || len(program)/size > unix.BPF_MAXINSNS {
		return nil, errors.New("malformed filter")
	}
	return &unix.SockFprog{
		Len:    uint16(len(program) / size),
		Filter: (*unix.SockFilter)(unsafe.Pointer(&program[0])),
	}, nil
}
