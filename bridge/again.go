package bridge

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// again says whether a read or write failed only because somebody who shares
// the open file description, such as a program on the same terminal, has set
// O_NONBLOCK on it after we opened it. It then has waited until end, which is
// what was read or written, is ready for events.
func again(err error, end any, events int16) bool {
	file, ok := end.(*os.File)
	if !ok || !errors.Is(err, unix.EAGAIN) {
		return false
	}
	return onFD(file, func(fd int) error {
		for {
			_, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: events}}, -1)
			if err != unix.EINTR {
				return err
			}
		}
	}) == nil
}
