package netfilter

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// The resolver answers on port 53 of every address, so that it does not matter
// which name server a program believes in.
const (
	dnsPort      = 53
	maxDNS       = 4096 // bytes of a question; real ones have some 60
	dnsIdle      = 10 * time.Second
	maxDNSTCP    = 16  // connections at once
	maxDNSPerTCP = 100 // questions on one connection
)

// startResolver serves one family; its sockets are nil where the machine lacks
// it.
func (f *Filter) startResolver(udp, tcp *os.File, family netip.Addr) error {
	at := netip.AddrPortFrom(family, dnsPort)
	if udp != nil {
		c, err := listenUDP(udp, at)
		if err != nil {
			return err
		}
		f.keep(c)
		go f.serveUDP(c)
	}
	if tcp != nil {
		l, err := listenTCP(tcp, at)
		if err != nil {
			return err
		}
		f.keep(l)
		slots := make(chan struct{}, maxDNSTCP)
		go accept(l, func(c *net.TCPConn) {
			select {
			case slots <- struct{}{}:
				go func() {
					defer func() { <-slots }()
					f.serveTCP(c)
				}()
			default:
				reset(c)
			}
		})
	}
	return nil
}

// listenUDP binds a socket that says at which address each packet arrived: the
// reply has to come from there.
func listenUDP(file *os.File, at netip.AddrPort) (*net.UDPConn, error) {
	defer file.Close()
	fd := int(file.Fd())
	level, option := unix.IPPROTO_IP, unix.IP_PKTINFO
	if at.Addr().Is6() {
		level, option = unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO
	}
	if err := unix.SetsockoptInt(fd, level, option, 1); err != nil {
		return nil, os.NewSyscallError("setsockopt", err)
	}
	if err := bind(fd, at); err != nil {
		return nil, err
	}
	c, err := net.FilePacketConn(file)
	if err != nil {
		return nil, err
	}
	return c.(*net.UDPConn), nil
}

func (f *Filter) serveUDP(c *net.UDPConn) {
	buf, oob := make([]byte, maxDNS), make([]byte, 128)
	for {
		n, oobn, flags, from, err := c.ReadMsgUDPAddrPort(buf, oob)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil || flags&unix.MSG_TRUNC != 0:
			continue
		}
		if reply, ok := answer(buf[:n], f.lookup); ok {
			c.WriteMsgUDPAddrPort(reply, source(oob[:oobn]), from) // or it is lost, as packets are
		}
	}
}

// source makes the control message that has a reply come from where the question
// went: ip(7), IP_PKTINFO; ipv6(7), IPV6_PKTINFO. The kernel's own is almost it.
func source(oob []byte) []byte {
	list, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil
	}
	for _, m := range list {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			info := &unix.Inet4Pktinfo{Spec_dst: [4]byte(m.Data[8:12])} // ipi_addr: of the packet's header
			return unix.PktInfo4(info)
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			return unix.PktInfo6(&unix.Inet6Pktinfo{Addr: [16]byte(m.Data[:16])})
		}
	}
	return nil
}

// serveTCP answers questions with a length before them (RFC 1035, 4.2.2).
func (f *Filter) serveTCP(c *net.TCPConn) {
	defer c.Close()
	var length [2]byte
	buf := make([]byte, maxDNS)
	for range maxDNSPerTCP {
		c.SetDeadline(time.Now().Add(dnsIdle))
		if _, err := io.ReadFull(c, length[:]); err != nil {
			return
		}
		n := int(binary.BigEndian.Uint16(length[:]))
		if n > len(buf) {
			return
		}
		if _, err := io.ReadFull(c, buf[:n]); err != nil {
			return
		}
		reply, ok := answer(buf[:n], f.lookup)
		if !ok {
			return
		}
		if _, err := c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

// listenFor begins to accept connections to a name that has just become known.
func (f *Filter) listenFor(name string, file *os.File, at netip.AddrPort) {
	err := f.listen(file, at)
	if err == nil {
		return
	}
	e := Event{Kind: Failed, Proto: "tcp", Name: name, Port: at.Port(), Reason: err.Error()}
	if errors.Is(err, unix.EADDRINUSE) {
		e.Reason = "a program in the box listens at that port itself, and gets what is sent there"
	}
	f.report(e)
}

// lookup says what a name stands for. It asks nobody.
func (f *Filter) lookup(name string, kind dnsmessage.Type) (netip.Addr, dnsVerdict) {
	if f.isCut.Load() {
		return netip.Addr{}, dnsBusy
	}
	// Known names cost nobody anything, and are not to suffer from others.
	if d := f.names.known(name); d != nil {
		return d.virtual, dnsFound
	}
	if !f.queries.take() {
		return netip.Addr{}, dnsBusy
	}
	d, err := f.names.find(name, func(file *os.File, at netip.AddrPort) { f.listenFor(name, file, at) })
	if err == nil {
		return d.virtual, dnsFound
	}
	if strings.HasSuffix(name, ".arpa") {
		return netip.Addr{}, dnsUnknown // which name an address has is asked for decoration
	}
	e := Event{Kind: Refused, Proto: "dns", Name: name, Reason: err.Error()}
	if errors.Is(err, errUnknownName) {
		e.Allow = allowing(name, netip.Addr{}, 0)
	}
	f.report(e)
	if errors.Is(err, errTooMany) {
		return netip.Addr{}, dnsBusy
	}
	return netip.Addr{}, dnsUnknown
}
