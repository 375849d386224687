package main

import (
	"context"
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

// networkAttacks reach for the host and past it.
var networkAttacks = []attack{
	{"E-5/loopback", "connects to a service on the host's 127.0.0.1", func(s *escape.Scenario) outcome {
		return called("tcp", s.TCPLoopback)
	}},
	{"E-5/any-address", "connects to the same service by way of 0.0.0.0", func(s *escape.Scenario) outcome {
		_, port, _ := strings.Cut(s.TCPLoopback, ":")
		return called("tcp", "0.0.0.0:"+port)
	}},
	{"E-5/lan", "connects to a service on the host's network address", func(s *escape.Scenario) outcome {
		return called("tcp", s.TCPLAN)
	}},
	{"E-5/lan-6", "connects to the same over IPv6", func(s *escape.Scenario) outcome {
		return called("tcp", s.TCPLAN6)
	}},
	{"E02/udp-loopback", "sends a datagram to the host's 127.0.0.1", func(s *escape.Scenario) outcome {
		return called("udp", s.UDPLoopback)
	}},
	{"E02/udp-lan", "sends a datagram, as a name lookup would be, to the network", func(s *escape.Scenario) outcome {
		return called("udp", s.UDPLAN)
	}},
	{"E-16/interfaces", "finds a network interface besides lo", func(*escape.Scenario) outcome {
		list, err := net.Interfaces()
		if err != nil {
			return by(unwrapped(err))
		}
		var names []string
		for _, i := range list {
			if i.Name != "lo" {
				names = append(names, i.Name)
			}
		}
		return saw(len(names) > 0, strings.Join(names, " "))
	}},
	{"E-16/routes", "finds a way to other machines in the routing table", func(*escape.Scenario) outcome {
		return secondLine("/proc/net/route")
	}},
	{"E-1/interface-down", "takes the loopback interface down", func(*escape.Scenario) outcome {
		req := make([]byte, 40) // struct ifreq with flags 0
		copy(req, "lo")
		return privileged(unix.CLONE_NEWNET,
			sys(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM, 0),
			sys(unix.SYS_IOCTL, result(1), unix.SIOCSIFFLAGS, req),
		)
	}},
	{"E-1/address", "gives the loopback interface another address", func(*escape.Scenario) outcome {
		req := make([]byte, 40) // struct ifreq with a sockaddr_in
		copy(req, "lo")
		copy(req[16:], []byte{unix.AF_INET, 0, 0, 0, 10, 1, 2, 3})
		return privileged(unix.CLONE_NEWNET,
			sys(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM, 0),
			sys(unix.SYS_IOCTL, result(1), unix.SIOCSIFADDR, req),
		)
	}},
	{"E02/ping", "sends an echo request", func(*escape.Scenario) outcome {
		return attempted(sys(unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_DGRAM, unix.IPPROTO_ICMP))
	}},
	{"E-1/bind-device", "binds a socket to the network card", func(*escape.Scenario) outcome {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			return by(err)
		}
		defer unix.Close(fd)
		var last error = unix.ENODEV
		for _, name := range []string{"eth0", "ens3", "ens5", "enp0s3", "wlan0"} {
			if last = unix.BindToDevice(fd, name); last == nil {
				return saw(true, name)
			}
		}
		return by(last)
	}},
}

// called is the outcome of saying the word to address. A datagram counts as
// said when it could be sent: the harness knows whether it arrived.
func called(network, address string) outcome {
	if address == "" {
		return outcome{err: "nowhere"}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return by(unwrapped(err))
	}
	defer c.Close()
	if _, err := c.Write([]byte(word)); err != nil {
		return by(unwrapped(err))
	}
	if network != "udp" {
		return by(nil)
	}
	// A refusal comes back as an error of the next call.
	answer := make([]byte, 16)
	_ = c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
	if _, err := c.Read(answer); err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		return by(unwrapped(err))
	}
	return by(nil)
}

// unwrapped is the errno inside err, or err.
func unwrapped(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded) {
		return unix.ETIMEDOUT
	}
	return err
}
