package stage

import (
	"syscall"
	"unsafe"

	"github.com/mcpbox/mcpbox/sandbox/internal/process"
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

// dropElsewhere empties the sets of this process's other threads, which run
// nothing but Go's runtime, and have no way to get a capability back: no new
// privileges come with an exec, and the filter of PID 1 has none. Where the stages are
// a program with cgo, as go build makes them without make, Go cannot do this, and they
// keep theirs, under that filter.
func dropElsewhere() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])), 0)
	if errno != 0 && errno != unix.ENOTSUP { // of a program with cgo
		return errno
	}
	return nil
}

// installFilter loads a seccomp filter, as process.InstallFilter does.
func installFilter(program []byte, flags uintptr) error {
	if err := process.InstallFilter(program, flags); err != nil {
		return fail("seccomp", "", err)
	}
	return nil
}
