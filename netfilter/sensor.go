package netfilter

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// The sensors hear what the kernel refuses by itself, because nobody listens: a
// RST that answers a SYN, an ICMP message "port unreachable" that answers a UDP
// packet. They only report. Without them everything is refused all the same.
//
// They are raw sockets (raw(7)) rather than one packet socket: the kernel takes
// five to ten milliseconds to close one of those, and the end of each run would
// wait for it.
var sensors = [...]Socket{
	{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_TCP, true},
	{unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_ICMP, true},
	{unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_TCP, true},
	{unix.AF_INET6, unix.SOCK_RAW, unix.IPPROTO_ICMPV6, true},
}

// suspects has the kernel drop what cannot be a refusal, which is nearly
// everything. A packet begins with its IP header for IPv4, and after it for
// IPv6 (ipv6(7)).
func suspects(s Socket) ([]bpf.RawInstruction, error) {
	const (
		rst  = 0x04 // RFC 9293, 3.1
		keep = 128  // bytes: an ICMP message quotes the headers of what it answers
	)
	var load bpf.Instruction
	test := bpf.JumpIf{SkipFalse: 1}
	offset, size := uint32(0), 2
	if s.Protocol == unix.IPPROTO_TCP {
		offset, size = 13, 1
		test.Cond, test.Val = bpf.JumpBitsSet, rst
	} else {
		// Type and code of port unreachable: RFC 792; RFC 4443, 3.1.
		test.Cond, test.Val = bpf.JumpEqual, 0x0303
		if s.Domain == unix.AF_INET6 {
			test.Val = 0x0104
		}
	}
	load = bpf.LoadIndirect{Off: offset, Size: size}
	if s.Domain == unix.AF_INET6 {
		load = bpf.LoadAbsolute{Off: offset, Size: size}
	}
	return bpf.Assemble([]bpf.Instruction{
		bpf.LoadMemShift{Off: 0}, // X = length of the IPv4 header
		load, test,
		bpf.RetConstant{Val: keep},
		bpf.RetConstant{},
	})
}

// startSensor filters before there is anything to hear.
func (f *Filter) startSensor(file *os.File, kind Socket) error {
	defer file.Close()
	raw, err := suspects(kind)
	if err != nil {
		return err
	}
	program := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		program[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	err = unix.SetsockoptSockFprog(int(file.Fd()), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	if err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	c, err := net.FilePacketConn(file)
	if err != nil {
		return err
	}
	s := &sensor{conn: c.(*net.IPConn), kind: kind, filter: f}
	s.listening.Go(s.hear)
	f.keep(s)
	return nil
}

// sensor is one that listens.
type sensor struct {
	conn      *net.IPConn
	kind      Socket
	filter    *Filter
	listening sync.WaitGroup
}

func (s *sensor) hear() {
	buf := make([]byte, 256)
	for {
		n, _, _, from, err := s.conn.ReadMsgIP(buf, nil) // with the IPv4 header, unlike ReadFromIP
		switch {
		case err == nil:
			var a netip.Addr
			if from != nil {
				a, _ = netip.AddrFromSlice(from.IP)
			}
			s.tell(buf[:n], a)
		case errors.Is(err, net.ErrClosed), errors.Is(err, os.ErrDeadlineExceeded):
			return
		}
	}
}

// Close reports what has been heard already, too: it tells what a server tried
// last, and often why it ended.
func (s *sensor) Close() error {
	s.conn.SetReadDeadline(time.Unix(1, 0))
	s.listening.Wait()
	const most = 4096 // packets; the queue holds a few hundred
	raw, err := s.conn.SyscallConn()
	if err == nil {
		buf := make([]byte, 256)
		raw.Control(func(fd uintptr) {
			for range most {
				n, from, err := unix.Recvfrom(int(fd), buf, unix.MSG_DONTWAIT)
				if err != nil {
					return
				}
				var a netip.Addr
				if six, ok := from.(*unix.SockaddrInet6); ok {
					a = netip.AddrFrom16(six.Addr)
				}
				s.tell(buf[:n], a)
			}
		})
	}
	return s.conn.Close()
}

// tell reports the packet data, if it is a refusal. from is who sent it, which
// the packet says itself only for IPv4.
func (s *sensor) tell(data []byte, from netip.Addr) {
	p, ok := packet{proto: byte(s.kind.Protocol), from: from, body: data}, true
	if s.kind.Domain == unix.AF_INET {
		p, ok = readIP(data)
	}
	if proto, at, found := readRefusal(p); ok && found {
		s.filter.report(s.filter.unheard(proto, at))
	}
}

// unheard is the event of what the kernel refused.
func (f *Filter) unheard(proto string, at netip.AddrPort) Event {
	v := verdict{to: f.names.at(at.Addr()), reason: errUnknownName.Error()}
	if f.isCut.Load() {
		v.reason = reasonCut
	}
	e := v.refused(at)
	e.Proto = proto
	if proto == "udp" {
		e.Allow, e.Reason = "", "no UDP leaves a box"
	}
	return e
}

// readRefusal says what a packet refuses: its sender, for a RST, and the
// destination that it quotes, for an ICMP message.
func readRefusal(ip packet) (proto string, at netip.AddrPort, ok bool) {
	if len(ip.body) < 20 {
		return "", at, false
	}
	switch ip.proto {
	case unix.IPPROTO_TCP:
		// Only the answer to a SYN has ACK, too, and sequence number 0 (RFC
		// 9293, 3.5.2): others end connections that were there.
		const ack = 0x10
		if ip.body[13]&ack == 0 || binary.BigEndian.Uint32(ip.body[4:]) != 0 {
			return "", at, false
		}
		return "tcp", netip.AddrPortFrom(ip.from, binary.BigEndian.Uint16(ip.body)), true
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		if kind := [2]byte(ip.body); kind != [2]byte{3, 3} && kind != [2]byte{1, 4} {
			return "", at, false
		}
		quoted, ok := readIP(ip.body[8:])
		if !ok || quoted.proto != unix.IPPROTO_UDP || len(quoted.body) < 4 {
			return "", at, false
		}
		return "udp", netip.AddrPortFrom(quoted.to, binary.BigEndian.Uint16(quoted.body[2:])), true
	}
	return "", at, false
}

// packet is one with its IP header taken off.
type packet struct {
	proto    byte
	from, to netip.Addr
	body     []byte
}

// readIP takes an IP header off (RFC 791, RFC 8200). Extension headers of IPv6
// do not occur in the kernel's own answers.
func readIP(p []byte) (packet, bool) {
	switch {
	case len(p) >= 20 && p[0]>>4 == 4:
		header := int(p[0]&0xf) * 4
		if header < 20 || len(p) < header {
			return packet{}, false
		}
		return packet{p[9], netip.AddrFrom4([4]byte(p[12:16])), netip.AddrFrom4([4]byte(p[16:20])), p[header:]}, true
	case len(p) >= 40 && p[0]>>4 == 6:
		return packet{p[6], netip.AddrFrom16([16]byte(p[8:24])), netip.AddrFrom16([16]byte(p[24:40])), p[40:]}, true
	}
	return packet{}, false
}
