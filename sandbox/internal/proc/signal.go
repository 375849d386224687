package proc

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// SignalAll signals those processes of a list that belong to the box, as has says of
// each. The first one that it cannot signal ends it.
func SignalAll(list []int, sig unix.Signal, has func(pid int) (bool, error)) error {
	for _, pid := range list {
		if err := Signal(pid, sig, has); err != nil {
			return fmt.Errorf("%s to process %d of the box: %w", unix.SignalName(sig), pid, err)
		}
	}
	return nil
}

// Signal signals a process if it belongs to the box. That is asked once there is a
// descriptor of it, which cannot come to mean another process. One that has ended is no
// error.
func Signal(pid int, sig unix.Signal, has func(pid int) (bool, error)) error {
	fd, err := unix.PidfdOpen(pid, 0)
	if err == unix.ESRCH {
		return nil
	}
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	defer unix.Close(fd)
	if ok, err := has(pid); err != nil || !ok {
		return err
	}
	if err := unix.PidfdSendSignal(fd, sig, nil, 0); err != unix.ESRCH {
		return os.NewSyscallError("pidfd_send_signal", err)
	}
	return nil
}
