package netfilter

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// delivery says why the kernel would not send what is meant for an address out
// of this machine to one other, in words that follow "which is"; "" if it would.
// Routes tell more than interfaces do: a machine may be told to take any address
// for its own (ip-route(8), type local), as load balancers and transparent
// proxies are.
//
// It asks the routing tables as a connection of this user's does, rules for
// ports and users included (rtnetlink(7), RTM_GETROUTE); anybody may. That there
// is no route is left to connect(2) to say.
func delivery(at netip.AddrPort) (string, error) {
	kind, err := routeType(at)
	switch {
	case err != nil:
		return "", fmt.Errorf("the kernel does not say where %s leads: %w", at.Addr(), err)
	case kind == unix.RTN_LOCAL:
		return "an address of this machine, by a route", nil
	case kind == unix.RTN_BROADCAST:
		return "a broadcast address, by a route", nil
	case kind == unix.RTN_ANYCAST:
		return "an anycast address of this link, by a route", nil
	case kind == unix.RTN_MULTICAST:
		return "a multicast address, by a route", nil
	}
	return "", nil
}

// routeType is the type of the route to an address, of [unix.RTN_UNICAST] and
// the others; RTN_UNREACHABLE if there is none.
func routeType(at netip.AddrPort) (uint8, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return 0, os.NewSyscallError("socket", err)
	}
	defer unix.Close(fd)
	if err := unix.Sendto(fd, routeQuestion(at), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return 0, os.NewSyscallError("sendto", err)
	}
	buf := make([]byte, 4096)
	var n int
	var from unix.Sockaddr
	_, err = ignoringEINTR(func() (int, error) {
		var err error
		n, from, err = unix.Recvfrom(fd, buf, 0) // the kernel has answered by now
		return n, err
	})
	if err != nil {
		return 0, os.NewSyscallError("recvfrom", err)
	}
	if k, ok := from.(*unix.SockaddrNetlink); !ok || k.Pid != 0 {
		return 0, errors.New("somebody else answered")
	}
	return readRoute(buf[:n])
}

// routeQuestion is RTM_GETROUTE for one address and port.
func routeQuestion(at netip.AddrPort) []byte {
	a := at.Addr().Unmap()
	order := binary.NativeEndian
	m := make([]byte, unix.SizeofNlMsghdr+unix.SizeofRtMsg)
	order.PutUint16(m[4:], unix.RTM_GETROUTE)
	order.PutUint16(m[6:], unix.NLM_F_REQUEST)
	order.PutUint32(m[8:], routeSequence)
	m[unix.SizeofNlMsghdr] = unix.AF_INET
	if a.Is6() {
		m[unix.SizeofNlMsghdr] = unix.AF_INET6
	}
	m[unix.SizeofNlMsghdr+1] = byte(a.BitLen())
	for _, attribute := range []struct {
		kind  uint16
		value []byte
	}{
		{unix.RTA_DST, a.AsSlice()},
		{unix.RTA_IP_PROTO, []byte{unix.IPPROTO_TCP}},
		{unix.RTA_DPORT, binary.BigEndian.AppendUint16(nil, at.Port())},
	} {
		m = order.AppendUint16(m, uint16(unix.SizeofRtAttr+len(attribute.value)))
		m = order.AppendUint16(m, attribute.kind)
		m = append(m, attribute.value...)
		for len(m)%unix.RTA_ALIGNTO != 0 {
			m = append(m, 0)
		}
	}
	order.PutUint32(m, uint32(len(m)))
	return m
}

// routeSequence is any number that the answer has to repeat.
const routeSequence = 1

// readRoute reads the answer.
func readRoute(m []byte) (uint8, error) {
	order := binary.NativeEndian
	if len(m) < unix.SizeofNlMsghdr+4 || order.Uint32(m[8:]) != routeSequence {
		return 0, fmt.Errorf("an answer of %d bytes that is none", len(m))
	}
	body := m[unix.SizeofNlMsghdr:]
	switch order.Uint16(m[4:]) {
	case unix.RTM_NEWROUTE:
		if len(body) < unix.SizeofRtMsg {
			return 0, fmt.Errorf("an answer of %d bytes that is none", len(m))
		}
		return body[7], nil // rtm_type
	case unix.NLMSG_ERROR:
		switch err := unix.Errno(-int32(order.Uint32(body))); err {
		case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EACCES: // of the types unreachable and prohibit
			return unix.RTN_UNREACHABLE, nil
		default:
			return 0, err
		}
	}
	return 0, fmt.Errorf("an answer of type %d", order.Uint16(m[4:]))
}
