package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// admin tries to change the network of the namespace, as somebody who has
// CAP_NET_ADMIN in it could.
func admin(args []string) (string, error) {
	if len(args) != 1 {
		return "", errUsage
	}
	switch args[0] {
	case "route": // out by way of the loopback's own network
		body := append([]byte{unix.AF_INET, 32, 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_BOOT, unix.RT_SCOPE_LINK, unix.RTN_UNICAST, 0, 0, 0, 0},
			attribute(unix.RTA_DST, []byte{1, 2, 3, 4})...)
		body = append(body, attribute(unix.RTA_OIF, []byte{1, 0, 0, 0})...)
		return name(netlink(unix.NETLINK_ROUTE, unix.RTM_NEWROUTE, body)), nil
	case "unroute": // takes away the route by which everything arrives
		body := []byte{unix.AF_INET, 0, 0, 0, unix.RT_TABLE_LOCAL, unix.RTPROT_UNSPEC, unix.RT_SCOPE_NOWHERE, unix.RTN_LOCAL, 0, 0, 0, 0}
		return name(netlink(unix.NETLINK_ROUTE, unix.RTM_DELROUTE, body)), nil
	case "link":
		body := append(make([]byte, 16), attribute(unix.IFLA_IFNAME, []byte("d0\x00"))...)
		body = append(body, attribute(unix.IFLA_LINKINFO, attribute(unix.IFLA_INFO_KIND, []byte("veth")))...)
		return name(netlink(unix.NETLINK_ROUTE, unix.RTM_NEWLINK, body)), nil
	case "nft":
		return name(netlink(unix.NETLINK_NETFILTER, unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_GETGEN, []byte{0, 0, 0, 0})), nil
	case "tun":
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			return name(err), nil
		}
		request := make([]byte, 40)
		copy(request, "tun9")
		binary.NativeEndian.PutUint16(request[16:], unix.IFF_TUN|unix.IFF_NO_PI)
		_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.TUNSETIFF, uintptr(unsafe.Pointer(&request[0])))
		if errno != 0 {
			return name(errno), nil
		}
		return "done", nil
	case "sysctl":
		return name(os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0)), nil
	case "ping":
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.IPPROTO_ICMP)
		if err != nil {
			return name(err), nil
		}
		echo := []byte{8, 0, 0, 0, 0, 0, 0, 1}
		return name(unix.Sendto(fd, echo, 0, &unix.SockaddrInet4{Addr: [4]byte{1, 1, 1, 1}})), nil
	}
	return "", errUsage
}

// netlink sends one request and returns the error of its acknowledgement.
func netlink(family int, kind uint16, body []byte) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, family)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	var b bytes.Buffer
	flags := uint16(unix.NLM_F_REQUEST | unix.NLM_F_ACK)
	if kind == unix.RTM_NEWROUTE || kind == unix.RTM_NEWLINK {
		flags |= unix.NLM_F_CREATE
	}
	_ = binary.Write(&b, binary.NativeEndian, unix.NlMsghdr{Len: uint32(16 + len(body)), Type: kind, Flags: flags, Seq: 1})
	b.Write(body)
	if err := unix.Sendto(fd, b.Bytes(), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, answer, 0)
	if err != nil {
		return err
	}
	if n >= 20 && binary.NativeEndian.Uint16(answer[4:]) == unix.NLMSG_ERROR {
		if errno := int32(binary.NativeEndian.Uint32(answer[16:])); errno != 0 {
			return unix.Errno(-errno)
		}
	}
	return nil
}

func attribute(kind uint16, b []byte) []byte {
	out := binary.NativeEndian.AppendUint16(nil, uint16(4+len(b)))
	out = binary.NativeEndian.AppendUint16(out, kind)
	out = append(out, b...)
	return append(out, make([]byte, (4-len(b)%4)%4)...)
}

// facts is what the network looks like: interfaces, addresses, how many routes
// and sockets there are.
func facts([]string) (string, error) {
	var words []string
	list, err := net.Interfaces()
	if err != nil {
		return "", err
	}
	for _, i := range list {
		words = append(words, i.Name)
		addresses, err := i.Addrs()
		if err != nil {
			return "", err
		}
		for _, a := range addresses {
			words = append(words, a.String())
		}
	}
	for _, table := range []string{"route", "tcp", "tcp6", "udp", "unix", "arp"} {
		b, err := os.ReadFile("/proc/net/" + table)
		if err != nil {
			words = append(words, table+"="+name(err))
			continue
		}
		words = append(words, fmt.Sprintf("%s=%d", table, max(0, strings.Count(string(b), "\n")-1)))
	}
	return strings.Join(words, " "), nil
}
