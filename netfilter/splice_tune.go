package netfilter

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// queueSize is what a socket of a nearby program may hold; the kernel
	// doubles it, and allows as much without any setting (tcp(7), rmem_max).
	queueSize = 208 << 10
	// nearby is the round trip, in µs, in which such a queue carries as much as
	// any network does.
	nearby = 200
)

// tune keeps queues short. Two connections in a row have twice the queues of
// one, and left alone they grow to many megabytes: then every byte has left the
// processor's caches by the time that it is read, and throughput drops by a
// third. What is far away needs long queues to be fast at all, and keeps them.
func tune(box, world *net.TCPConn) {
	for _, c := range []*net.TCPConn{box, world} {
		if c == box || isNearby(c) {
			c.SetReadBuffer(queueSize)
			c.SetWriteBuffer(queueSize)
		}
	}
}

// inline has urgent data (tcp(7), MSG_OOB) stay among the rest, where its sender
// put it: otherwise each urgent byte is lost to whoever reads on. That it was
// urgent is not passed on, as RFC 6093 advises. It has to be set before the first
// byte may come; what a listener accepts has it from there.
func inline(fd int) error {
	return os.NewSyscallError("setsockopt", unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_OOBINLINE, 1))
}

// isNearby goes by the shortest round trip so far, which the kernel has known
// since the handshake.
func isNearby(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	rtt := uint32(0)
	raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			rtt = info.Min_rtt
		}
	})
	return 0 < rtt && rtt <= nearby
}
