package bridge

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// Hangup returns a channel that is closed once the other end of f, a pipe,
// socket or terminal, has been closed for writing, even while bytes wait to be
// read. For a file of another kind, which has no other end, gone is nil. stop
// ends the watch; f itself is neither read, changed nor closed.
//
// It uses an epoll instance of its own, so that f keeps its flags: O_NONBLOCK
// belongs to the open file description, which f shares with the host.
func Hangup(f *os.File) (gone <-chan struct{}, stop func(), err error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, nil, os.NewSyscallError("epoll_create1", err)
	}
	err = onFD(f, func(fd int) error {
		// EPOLLHUP and EPOLLERR are always reported. See epoll_ctl(2).
		return unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLRDHUP})
	})
	if err == nil {
		err = unix.SetNonblock(ep, true) // so that the runtime's poller waits, and no thread
	}
	if err != nil {
		_ = unix.Close(ep)
		if errors.Is(err, unix.EPERM) { // "does not support epoll": a regular file, /dev/null
			return nil, func() {}, nil
		}
		return nil, nil, os.NewSyscallError("epoll_ctl", err)
	}
	poll := os.NewFile(uintptr(ep), "hangup")
	conn, err := poll.SyscallConn()
	if err != nil {
		_ = poll.Close()
		return nil, nil, err
	}
	ch := make(chan struct{})
	go func() {
		hungUp := false
		_ = conn.Read(func(fd uintptr) bool { // fails when stop has closed poll
			n, err := unix.EpollWait(int(fd), make([]unix.EpollEvent, 1), 0)
			hungUp = err == nil && n > 0
			return hungUp
		})
		if hungUp {
			close(ch)
		}
	}()
	return ch, func() { _ = poll.Close() }, nil
}

// onFD calls fn with f's descriptor. Unlike [os.File.Fd] it leaves the
// descriptor's mode alone.
func onFD(f *os.File, fn func(int) error) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	if err := conn.Control(func(fd uintptr) { ferr = fn(int(fd)) }); err != nil {
		return err
	}
	return ferr
}
