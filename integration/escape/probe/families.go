package main

import (
	"fmt"
	"strings"

	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

// familyAttacks open sockets that lead around the network namespace or deep
// into the kernel.
var familyAttacks = []attack{
	socketOf("U-6/vsock", "a socket to the hypervisor", unix.AF_VSOCK, unix.SOCK_STREAM, 0),
	socketOf("U-7/packet", "a packet socket", unix.AF_PACKET, unix.SOCK_RAW, 0),
	socketOf("U-7/raw", "a raw IP socket", unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP),
	socketOf("U-7/raw-6", "a raw IPv6 socket", unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6),
	socketOf("U-7/mptcp", "a multipath TCP socket", unix.AF_INET, unix.SOCK_STREAM, unix.IPPROTO_MPTCP),
	socketOf("U-7/netlink-uevent", "a socket for the kernel's device events", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_KOBJECT_UEVENT),
	socketOf("U-7/netlink-netfilter", "a socket to nf_tables", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER),
	socketOf("U-7/netlink-diag", "a socket that lists other programs' sockets", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_SOCK_DIAG),
	socketOf("U-7/netlink-xfrm", "a socket to IPsec", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_XFRM),
	socketOf("U-7/netlink-generic", "a socket to every generic netlink family", unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_GENERIC),
	socketOf("S-4/family-high-bits", "a socket to the hypervisor, with bits above the 32nd set", 1<<32|unix.AF_VSOCK, unix.SOCK_STREAM, 0),
	socketOf("S-4/unix-high-bits", "a UNIX socket, with bits above the 32nd set", 1<<32|unix.AF_UNIX, unix.SOCK_STREAM, 0),
	{"U-7/all-families", "opens a socket of any family but IP, netlink and UNIX", func(*escape.Scenario) outcome {
		var found []string
		errs := map[string]bool{}
		for family := range 64 {
			switch family {
			case unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK, unix.AF_UNIX:
				continue
			}
			for _, kind := range []int{unix.SOCK_STREAM, unix.SOCK_DGRAM, unix.SOCK_RAW, unix.SOCK_SEQPACKET} {
				fd, err := unix.Socket(family, kind, 0)
				if err == nil {
					unix.Close(fd)
					found = append(found, fmt.Sprint(family))
					break
				}
				errs[name(err)] = true
			}
		}
		if len(found) > 0 {
			return saw(true, "families "+strings.Join(found, " "))
		}
		o := outcome{ret: -1}
		for e := range errs {
			if o.err = e; e != "EAFNOSUPPORT" {
				break
			}
		}
		return o
	}},
}

// socketOf is the attack of opening a socket, with every bit as given.
func socketOf(id, what string, family uint64, kind, protocol int) attack {
	return attack{id, "opens " + what, func(*escape.Scenario) outcome {
		return attempted(sys(unix.SYS_SOCKET, family, kind, protocol))
	}}
}
