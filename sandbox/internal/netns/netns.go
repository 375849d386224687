// Package netns prepares a box's network namespace from inside, with system calls
// alone: there is only lo in it, and every address is local. It is linked into the
// programs that run in boxes, and imports as little as they may.
package netns

import (
	"encoding/binary"
	"errors"
	"unsafe"

	"golang.org/x/sys/unix"
)

// LoopbackUp raises lo, the only interface there is, so that a server that
// talks to itself works. Nothing else is reachable: there is no other interface
// to route to, and the namespace belongs to somebody else than the server.
func LoopbackUp() error {
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	req, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	req.SetUint16(unix.IFF_UP)
	return unix.IoctlIfreq(s, unix.SIOCSIFFLAGS, req)
}

// loopback is the index of lo, the first interface of each namespace.
const loopback = 1

// Configure adds the routes "local 0.0.0.0/0 dev lo" and "local ::/0 dev lo",
// and the address of four bytes, if there is one. A machine without IPv6 has no addresses to route.
func Configure(address []byte) error {
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	if err := addLocalRoute(s, unix.AF_INET); err != nil {
		return err
	}
	if err := addLocalRoute(s, unix.AF_INET6); err != nil && !noIPv6(err) {
		return err
	}
	if len(address) == 4 {
		return addAddress(s, [4]byte(address))
	}
	return nil
}

func noIPv6(err error) bool {
	return errors.Is(err, unix.EAFNOSUPPORT) || errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EACCES) ||
		errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL)
}

// addLocalRoute adds the route of all addresses of a family (rtnetlink(7),
// RTM_NEWROUTE).
func addLocalRoute(s int, family byte) error {
	type message struct {
		unix.NlMsghdr
		unix.RtMsg
		unix.RtAttr
		oif uint32
	}
	m := message{
		NlMsghdr: unix.NlMsghdr{
			Len: uint32(unsafe.Sizeof(message{})), Type: unix.RTM_NEWROUTE,
			Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK | unix.NLM_F_CREATE,
		},
		RtMsg: unix.RtMsg{
			Family: family, Table: unix.RT_TABLE_LOCAL, Protocol: unix.RTPROT_STATIC,
			Scope: unix.RT_SCOPE_HOST, Type: unix.RTN_LOCAL,
		},
		RtAttr: unix.RtAttr{Len: unix.SizeofRtAttr + 4, Type: unix.RTA_OIF},
		oif:    loopback,
	}
	return request(s, unsafe.Slice((*byte)(unsafe.Pointer(&m)), unsafe.Sizeof(m)))
}

// addAddress gives lo one more address (rtnetlink(7), RTM_NEWADDR).
func addAddress(s int, address [4]byte) error {
	type message struct {
		unix.NlMsghdr
		unix.IfAddrmsg
		unix.RtAttr
		local [4]byte
	}
	m := message{
		NlMsghdr: unix.NlMsghdr{
			Len: uint32(unsafe.Sizeof(message{})), Type: unix.RTM_NEWADDR,
			Flags: unix.NLM_F_REQUEST | unix.NLM_F_ACK | unix.NLM_F_CREATE,
		},
		IfAddrmsg: unix.IfAddrmsg{Family: unix.AF_INET, Prefixlen: 32, Scope: unix.RT_SCOPE_UNIVERSE, Index: loopback},
		RtAttr:    unix.RtAttr{Len: unix.SizeofRtAttr + 4, Type: unix.IFA_LOCAL},
		local:     address,
	}
	return request(s, unsafe.Slice((*byte)(unsafe.Pointer(&m)), unsafe.Sizeof(m)))
}

// request sends a message, and waits for the kernel's answer.
func request(s int, raw []byte) error {
	if err := unix.Sendto(s, raw, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	var reply [512]byte
	n, _, err := unix.Recvfrom(s, reply[:], 0)
	if err != nil {
		return err
	}
	// struct nlmsghdr, then struct nlmsgerr: a negative errno, 0 for success.
	if n < unix.SizeofNlMsghdr+4 || binary.NativeEndian.Uint16(reply[4:]) != unix.NLMSG_ERROR {
		return errors.New("unknown answer of rtnetlink")
	}
	if errno := int32(binary.NativeEndian.Uint32(reply[unix.SizeofNlMsghdr:])); errno != 0 {
		return unix.Errno(-errno)
	}
	return nil
}
