// Package process holds what the programs that run in boxes do alike: what becomes
// of signals, where a program is found, and how orphans are reaped. Like them it
// imports the standard library and x/sys alone.
package process

import (
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sigaction is the kernel's struct sigaction with an empty mask of 64 signals.
type sigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

// Dispositions, and the last signal that can have one (signal(7)).
const (
	Default    = 0
	Ignore     = 1
	LastSignal = 64
)

// SetSignal is rt_sigaction(2) past the Go runtime, which keeps some signals
// for itself.
func SetSignal(sig int, handler uintptr) error {
	sa := sigaction{handler: handler}
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(sig), uintptr(unsafe.Pointer(&sa)), 0, 8, 0, 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// DefaultSignals gives this thread the dispositions and the mask of a fresh
// process, whatever its parent had ignored or blocked.
func DefaultSignals() error {
	for sig := 1; sig <= LastSignal; sig++ {
		if s := unix.Signal(sig); s == unix.SIGKILL || s == unix.SIGSTOP {
			continue
		}
		if err := SetSignal(sig, Default); err != nil {
			return err
		}
	}
	var none unix.Sigset_t
	return unix.PthreadSigmask(unix.SIG_SETMASK, &none, nil)
}

// Reap waits for every child until main has ended, and returns its status.
func Reap(main int) (unix.WaitStatus, error) {
	for {
		var ws unix.WaitStatus
		pid, err := unix.Wait4(-1, &ws, 0, nil)
		if pid == main && (ws.Exited() || ws.Signaled()) {
			return ws, nil
		}
		if err == unix.ECHILD {
			return 0, err
		}
	}
}

// LookPath finds the program name as a shell with the environment env would.
func LookPath(name string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, executable(name)
	}
	var search string
	for _, kv := range env {
		if v, ok := strings.CutPrefix(kv, "PATH="); ok {
			search = v
		}
	}
	var last error = unix.ENOENT
	for _, dir := range strings.Split(search, ":") {
		if !strings.HasPrefix(dir, "/") {
			continue // a relative entry would follow the working directory
		}
		path := dir + "/" + name
		err := executable(path)
		if err == nil {
			return path, nil
		}
		if err == unix.EACCES {
			last = err
		}
	}
	return "", last
}

func executable(path string) error {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFREG {
		return unix.EACCES
	}
	return unix.Access(path, unix.X_OK)
}
