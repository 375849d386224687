package main

import (
	"unsafe"

	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

// word is what reaches a listener that should hear nothing.
const word = "probe was here\n"

// unixSocketAttacks reach programs of the host through UNIX sockets. A
// read-only mount does not stop them.
var unixSocketAttacks = []attack{
	{"U-1/stream", "connects to a socket in a writable directory", func(s *escape.Scenario) outcome {
		return dialled(unix.SOCK_STREAM, s.In("project/host.sock"))
	}},
	{"U-1/stream-read-only", "connects to a socket in a read-only directory", func(s *escape.Scenario) outcome {
		return dialled(unix.SOCK_STREAM, s.In("docs/host.sock"))
	}},
	{"U-1/stream-late", "connects to a socket that the host made after the start", func(s *escape.Scenario) outcome {
		return dialled(unix.SOCK_STREAM, s.In("project/late.sock"))
	}},
	{"U-1/seqpacket", "connects to a sequenced-packet socket", func(s *escape.Scenario) outcome {
		return dialled(unix.SOCK_SEQPACKET, s.In("project/host.seq"))
	}},
	{"U-1/datagram", "sends to a datagram socket in a writable directory", func(s *escape.Scenario) outcome {
		return sent(s.In("project/host.dgram"))
	}},
	{"U-1/datagram-read-only", "sends to a datagram socket in a read-only directory", func(s *escape.Scenario) outcome {
		return sent(s.In("docs/host.dgram"))
	}},
	{"U-1/pair-sendto", "sends to a path from one half of a datagram pair", func(s *escape.Scenario) outcome {
		return paired(unix.SOCK_DGRAM, s.In("project/late.dgram"), false)
	}},
	{"U-1/pair-connect", "connects one half of a datagram pair to a path", func(s *escape.Scenario) outcome {
		return paired(unix.SOCK_DGRAM, s.In("project/late.dgram"), true)
	}},
	{"U-1/pair-raw", "does the same with type raw, which is another name for datagram", func(s *escape.Scenario) outcome {
		return paired(unix.SOCK_RAW, s.In("project/late.dgram"), false)
	}},
	{"U-1/pair-high-bits", "hides the datagram type under bits above the 32nd", func(s *escape.Scenario) outcome {
		return paired(1<<32|unix.SOCK_DGRAM, s.In("project/late.dgram"), false)
	}},
	{"U-1/pair-cloexec", "hides the datagram type under the close-on-exec flag", func(s *escape.Scenario) outcome {
		return paired(unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, s.In("project/late.dgram"), false)
	}},
	{"I03/sendmmsg", "sends to a path with sendmmsg", func(s *escape.Scenario) outcome {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
		if err != nil {
			return by(err)
		}
		sa, n := address(s.In("project/host.dgram"))
		b := []byte(word)
		msg := &struct {
			hdr unix.Msghdr
			n   uint32
			_   uint32
		}{}
		msg.hdr.Name, msg.hdr.Namelen = (*byte)(unsafe.Pointer(sa)), n
		msg.hdr.Iov = &unix.Iovec{Base: &b[0], Len: uint64(len(b))}
		msg.hdr.Iovlen = 1
		_, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(fd), uintptr(unsafe.Pointer(msg)), 1, 0, 0, 0)
		if errno != 0 {
			return by(errno)
		}
		return by(nil)
	}},
	{"U-2/abstract", "connects to an abstract socket of the host", func(s *escape.Scenario) outcome {
		return dialled(unix.SOCK_STREAM, "@"+s.Abstract)
	}},
	{"U-2/abstract-datagram", "sends to an abstract socket of the host", func(s *escape.Scenario) outcome {
		return sent("@" + s.AbstractDgram)
	}},
	{"U-5/bind", "waits under the name of a socket for a program of the host", func(s *escape.Scenario) outcome {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			return by(err)
		}
		path := s.In("out/editor.sock")
		defer unix.Unlink(path)
		return by(unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	}},
	{"U-4/fifo", "writes into a FIFO in a writable directory that a program of the host reads", func(s *escape.Scenario) outcome {
		return spoken(s.In("project/host.fifo"))
	}},
	{"U-4/fifo-read-only", "writes into a FIFO in a read-only directory", func(s *escape.Scenario) outcome {
		return spoken(s.In("docs/host.fifo"))
	}},
}

// dialled is the outcome of connecting and saying the word.
func dialled(kind int, name string) outcome {
	fd, err := unix.Socket(unix.AF_UNIX, kind|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return by(err)
	}
	defer unix.Close(fd)
	if err := unix.Connect(fd, &unix.SockaddrUnix{Name: name}); err != nil {
		return by(err)
	}
	return by(unix.Send(fd, []byte(word), 0))
}

// sent is the outcome of a datagram to name.
func sent(name string) outcome {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return by(err)
	}
	defer unix.Close(fd)
	return by(unix.Sendto(fd, []byte(word), 0, &unix.SockaddrUnix{Name: name}))
}

// paired is the outcome of leaving through one half of a socket pair. The calls
// are raw, so that all bits of kind arrive.
func paired(kind uint64, name string, connect bool) outcome {
	var fds [2]int32
	if _, _, errno := unix.Syscall6(unix.SYS_SOCKETPAIR, unix.AF_UNIX, uintptr(kind), 0, uintptr(unsafe.Pointer(&fds)), 0, 0); errno != 0 {
		return by(errno)
	}
	defer unix.Close(int(fds[0]))
	defer unix.Close(int(fds[1]))
	to := &unix.SockaddrUnix{Name: name}
	if !connect {
		return by(unix.Sendto(int(fds[0]), []byte(word), 0, to))
	}
	if err := unix.Connect(int(fds[0]), to); err != nil {
		return by(err)
	}
	_, err := unix.Write(int(fds[0]), []byte(word))
	return by(err)
}

// spoken is the outcome of writing into a FIFO that has a reader.
func spoken(path string) outcome {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return by(err)
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return by(err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFIFO {
		return saw(false, "masked")
	}
	_, err = unix.Write(fd, []byte(word))
	return by(err)
}

// address is the raw form of a path, and its length.
func address(path string) (*unix.RawSockaddrUnix, uint32) {
	sa := &unix.RawSockaddrUnix{Family: unix.AF_UNIX}
	for i := range len(path) {
		sa.Path[i] = int8(path[i])
	}
	return sa, uint32(2 + len(path) + 1)
}
