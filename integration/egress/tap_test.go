package egress

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/net/bpf"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// interesting keeps of TCP only what asks for a connection, and everything of
// other protocols. It sees packets from the IP header on.
var interesting = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 0, Size: 1},
	bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 4},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: 6, SkipTrue: 5},
	bpf.LoadAbsolute{Off: 9, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_TCP, SkipTrue: 8},
	bpf.LoadMemShift{Off: 0},
	bpf.LoadIndirect{Off: 13, Size: 1},
	bpf.Jump{Skip: 3},
	// IPv6. Behind extension headers nothing is looked at: the packet counts.
	bpf.LoadAbsolute{Off: 6, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: unix.IPPROTO_TCP, SkipTrue: 3},
	bpf.LoadAbsolute{Off: 40 + 13, Size: 1},
	// SYN without ACK.
	bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 0x12},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0x02, SkipTrue: 1},
	bpf.RetConstant{Val: 2048},
	bpf.RetConstant{Val: 0},
}

// tap writes down what arrives at an interface of the calling thread's network
// namespace from now on.
func (w *watch) tap(name string) error {
	dev, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("packet socket: %w", err)
	}
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 64<<20) // ordinary users have less
	raw, err := bpf.Assemble(interesting)
	if err != nil {
		return err
	}
	filter := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		filter[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}); err != nil {
		return fmt.Errorf("filter: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: ethernet(unix.ETH_P_ALL), Ifindex: dev.Index}); err != nil {
		return fmt.Errorf("bind to %s: %w", name, err)
	}
	go func() {
		for b := make([]byte, 2048); ; {
			n, from, err := unix.Recvfrom(fd, b, 0)
			if err != nil {
				panic(fmt.Sprintf("tap %s: %v", name, err)) // a deaf watch would call anything silent
			}
			at := from.(*unix.SockaddrLinklayer)
			if at.Pkttype != unix.PACKET_OUTGOING && at.Protocol != ethernet(unix.ETH_P_ARP) {
				w.packet(b[:n])
			}
		}
	}()
	return nil
}

// ethernet is the number of a protocol as packet sockets have it (packet(7)).
func ethernet(proto uint16) uint16 { return proto<<8 | proto>>8 }

// packet writes down what an IP packet is.
func (w *watch) packet(b []byte) {
	var to netip.Addr
	var proto byte
	switch {
	case len(b) >= 40 && b[0]>>4 == 6:
		to, _ = netip.AddrFromSlice(b[24:40])
		proto, b = b[6], b[40:]
	case len(b) >= 20 && b[0]>>4 == 4:
		to, _ = netip.AddrFromSlice(b[16:20])
		proto, b = b[9], b[min(int(b[0]&15)*4, len(b)):]
	default:
		w.note(fmt.Sprintf("packet %x", b))
		return
	}
	port := uint16(0)
	if len(b) >= 4 {
		port = binary.BigEndian.Uint16(b[2:])
	}
	switch {
	case proto == unix.IPPROTO_TCP:
		w.note("tcp " + called(to, port))
	case proto == unix.IPPROTO_UDP && len(b) >= 8:
		w.datagram(to, port, b[8:])
	case proto == unix.IPPROTO_ICMP && len(b) > 0 && b[0] != 8,
		proto == unix.IPPROTO_ICMPV6 && len(b) > 0 && b[0] != 128,
		proto == 0 && to.IsLinkLocalMulticast():
		// Errors, and neighbours who look for each other.
	case proto == unix.IPPROTO_ICMP, proto == unix.IPPROTO_ICMPV6:
		w.note("ping " + called(to, 0))
	default:
		w.note(fmt.Sprintf("protocol %d %s", proto, to))
	}
}

// datagram writes down a UDP packet: of a question to the host's name server
// only the name, since the host asks in several ways.
func (w *watch) datagram(to netip.Addr, port uint16, payload []byte) {
	if port == barrierPort {
		w.passed(string(payload))
		return
	}
	w.said(w.hear(), payload)
	if port != 53 {
		w.note("udp " + called(to, port))
		return
	}
	var p dnsmessage.Parser
	name := "?"
	if _, err := p.Start(payload); err == nil {
		if q, err := p.Question(); err == nil {
			name = q.Name.String()
			name = name[:max(len(name)-1, 0)]
		}
	}
	if to.String() == nameServer {
		w.note("dns " + name)
	} else {
		w.note("dns " + name + " of " + to.String())
	}
}
