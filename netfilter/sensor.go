package netfilter

import (
	"encoding/binary"
	"net/netip"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// The sensor hears what the kernel refuses by itself, because nobody listens: a
// RST that answers a SYN, an ICMP message "port unreachable" that answers a UDP
// packet. It only reports. Without it everything is refused all the same.

// suspects selects what may be one, among all packets of lo, which has no other
// header before that of IP: everything with RST, and ICMP. Each packet passes
// twice, once leaving and once arriving.
func suspects() ([]bpf.RawInstruction, error) {
	const (
		rst  = 0x04 // RFC 9293, 3.1
		keep = 128  // bytes: an ICMP message quotes the headers of what it answers

		isV6, drop, found = 11, 16, 17 // instructions
	)
	skip := func(from, to int) uint8 { return uint8(to - from - 1) }
	return bpf.Assemble([]bpf.Instruction{
		0: bpf.LoadExtension{Num: bpf.ExtType},
		1: bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.PACKET_HOST, SkipTrue: skip(1, drop)},
		2: bpf.LoadAbsolute{Off: 0, Size: 1}, // version and, in IPv4, length
		3: bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0xf0},
		4: bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0x60, SkipTrue: skip(4, isV6)},

		5:  bpf.LoadAbsolute{Off: 9, Size: 1},
		6:  bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMP, SkipTrue: skip(6, found)},
		7:  bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_TCP, SkipTrue: skip(7, drop)},
		8:  bpf.LoadMemShift{Off: 0}, // X = length of the header
		9:  bpf.LoadIndirect{Off: 13, Size: 1},
		10: bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: rst, SkipTrue: skip(10, found), SkipFalse: skip(10, drop)},

		isV6: bpf.LoadAbsolute{Off: 6, Size: 1},
		12:   bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_ICMPV6, SkipTrue: skip(12, found)},
		13:   bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_TCP, SkipTrue: skip(13, drop)},
		14:   bpf.LoadAbsolute{Off: 40 + 13, Size: 1},
		15:   bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: rst, SkipTrue: skip(15, found), SkipFalse: skip(15, drop)},

		drop:  bpf.RetConstant{},
		found: bpf.RetConstant{Val: keep},
	})
}

// startSensor filters first and binds then, so that nothing else is ever queued.
func (f *Filter) startSensor(file *os.File) error {
	defer file.Close()
	raw, err := suspects()
	if err != nil {
		return err
	}
	program := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		program[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("fcntl", err)
	}
	// Non-blocking, so that Close wakes who reads.
	err = unix.SetNonblock(fd, true)
	if err == nil {
		err = unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	}
	if err == nil {
		const loopback = 1 // the index of lo, the first interface of each namespace
		all := uint16(unix.ETH_P_ALL)
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all<<8 | all>>8, Ifindex: loopback})
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	s := os.NewFile(uintptr(fd), "sensor")
	f.keep(s)
	go f.hear(s)
	return nil
}

func (f *Filter) hear(s *os.File) {
	buf := make([]byte, 256)
	for {
		n, err := s.Read(buf)
		if err != nil {
			return
		}
		if proto, at, ok := readRefusal(buf[:n]); ok {
			f.report(f.unheard(proto, at))
		}
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
func readRefusal(p []byte) (proto string, at netip.AddrPort, ok bool) {
	ip, ok := readIP(p)
	if !ok || len(ip.body) < 20 {
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
		// Port unreachable (RFC 792; RFC 4443, 3.1).
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
