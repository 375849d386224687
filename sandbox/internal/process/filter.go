package process

import (
	"errors"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// InstallFilter loads a seccomp filter, a raw array of struct sock_filter, for this
// thread, or with SECCOMP_FILTER_FLAG_TSYNC for the whole process.
func InstallFilter(program []byte, flags uintptr) error {
	fprog, err := sockFprog(program)
	if err != nil {
		return err
	}
	n, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(fprog)))
	runtime.KeepAlive(program)
	if errno != 0 {
		return errno
	}
	if n != 0 {
		return errors.New("a thread could not be synchronised")
	}
	return nil
}

// sockFprog points a struct sock_fprog at the array.
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
