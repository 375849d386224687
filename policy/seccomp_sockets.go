package policy

import "golang.org/x/sys/unix"

// sockets writes the rules on socket and socketpair.
//
// A program gets TCP and UDP over IPv4 and IPv6, and the one netlink protocol
// that lists interfaces. Of unix sockets, mode none leaves connected stream
// pairs: a datagram pair could still send to a path, through a read-only mount,
// and reach a socket of the host. Everything else is an address family that
// this kernel does not know, an answer that programs expect.
func (r *ruleSet) sockets(mode SocketMode) {
	const (
		family, kind, protocol = 0, 1, 2 // arguments
		kinds                  = 0xf     // the kind without SOCK_CLOEXEC and SOCK_NONBLOCK
		// AF_INET (2) and AF_INET6 (10) differ in one bit. All others are
		// compared, so that a family of more than 32 bits is not taken for one.
		inet = ^uint64(unix.AF_INET ^ unix.AF_INET6)
	)
	call := []string{"socket"}
	ip := masked(family, inet, unix.AF_INET)
	protocols := []uint64{unix.IPPROTO_IP, unix.IPPROTO_TCP, unix.IPPROTO_UDP}
	for _, k := range []uint64{unix.SOCK_STREAM, unix.SOCK_DGRAM} {
		for _, p := range protocols {
			r.allow(call, ip, masked(kind, kinds, k), equal(protocol, p))
		}
		// Most of all MPTCP, SCTP and ICMP. Callers fall back to TCP.
		for _, b := range outside(protocols, 5) {
			r.deny(uint(unix.EPROTONOSUPPORT), call, ip, masked(kind, kinds, k), masked(protocol, ^uint64(0x1f)|b.mask, b.value))
		}
		r.deny(uint(unix.EPROTONOSUPPORT), call, ip, masked(kind, kinds, k), greater(protocol, 0x1f))
	}
	for _, b := range outside([]uint64{unix.SOCK_STREAM, unix.SOCK_DGRAM}, 4) { // raw and the exotic
		r.deny(uint(unix.EPERM), call, ip, masked(kind, kinds&b.mask, b.value))
	}

	netlink := equal(family, unix.AF_NETLINK)
	r.allow(call, netlink, equal(protocol, unix.NETLINK_ROUTE))
	r.deny(uint(unix.EAFNOSUPPORT), call, netlink, notEqual(protocol, unix.NETLINK_ROUTE))

	known := []uint64{unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}
	if mode != SocketsNone {
		known = append(known, unix.AF_UNIX)
		r.allow(call, equal(family, unix.AF_UNIX))
	}
	for _, b := range outside(known, 5) {
		r.deny(uint(unix.EAFNOSUPPORT), call, masked(family, ^uint64(0x1f)|b.mask, b.value))
	}
	r.deny(uint(unix.EAFNOSUPPORT), call, greater(family, 0x1f))

	pair := []string{"socketpair"}
	r.deny(uint(unix.EAFNOSUPPORT), pair, notEqual(family, unix.AF_UNIX))
	if mode != SocketsNone {
		r.allow(pair, equal(family, unix.AF_UNIX))
		return
	}
	// SOCK_STREAM (1) and SOCK_SEQPACKET (5) differ in one bit.
	const stream = kinds &^ (unix.SOCK_STREAM ^ unix.SOCK_SEQPACKET)
	r.allow(pair, equal(family, unix.AF_UNIX), masked(kind, stream, unix.SOCK_STREAM))
	for _, b := range differs(stream, unix.SOCK_STREAM) {
		r.deny(uint(unix.EPERM), pair, equal(family, unix.AF_UNIX), masked(kind, b.mask, b.value))
	}
}
