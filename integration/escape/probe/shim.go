package main

import (
	"fmt"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// withoutNamespaces executes args under a filter that refuses new user
// namespaces with an error, as kernels and containers do that do not want them.
func withoutNamespaces(errno int, args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("no command")
	}
	const (
		load, equal, anyBit, ret = 0x20, 0x15, 0x45, 0x06
		number, argument         = 0, 16 // offsets in struct seccomp_data
		allow, refuse            = 0x7fff0000, 0x00050000
	)
	filter := []unix.SockFilter{
		{Code: load, K: number},
		{Code: equal, K: unix.SYS_CLONE3, Jt: 6},
		{Code: equal, K: unix.SYS_CLONE, Jt: 1},
		{Code: equal, K: unix.SYS_UNSHARE, Jf: 2},
		{Code: load, K: argument},
		{Code: anyBit, K: unix.CLONE_NEWUSER, Jt: 1},
		{Code: ret, K: allow},
		{Code: ret, K: refuse | uint32(errno)},
		// The C library goes on to clone.
		{Code: ret, K: refuse | uint32(unix.ENOSYS)},
	}
	program := &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	runtime.LockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, uintptr(unsafe.Pointer(program))); errno != 0 {
		return errno
	}
	return syscall.Exec(args[0], args, os.Environ())
}
