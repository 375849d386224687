package netfilter

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/dns/dnsmessage"
)

// dnsVerdict says what the resolver makes of a name. The zero value denies.
type dnsVerdict int

const (
	dnsUnknown dnsVerdict = iota // NXDOMAIN: no such name
	dnsFound                     // the name exists: it has the address, and no other record
	dnsBusy                      // SERVFAIL: it may work later
	dnsRefused                   // REFUSED
)

const (
	dnsTTL    = 60   // seconds; a virtual address is good for the life of the box
	dnsUDP    = 1232 // the largest UDP message of the DNS flag day 2020; nothing of ours comes near it
	dnsHeader = 12
	maxReply  = 512 // RFC 1035 section 4.2.1
)

// Header bits of RFC 1035 section 4.1.1 and RFC 4035 section 3.2.2.
const (
	dnsQR     = 1 << 15
	dnsOpcode = 15 << 11
	dnsTC     = 1 << 9
	dnsRD     = 1 << 8
	dnsRA     = 1 << 7
	dnsCD     = 1 << 4
)

// answer makes the reply to query, one DNS message (RFC 1035) without the
// length that TCP puts before it. The reply has at most 512 bytes and holds the
// question as it was asked, letter case included, since some clients compare.
//
// lookup is asked at most once, and only for a question of class IN for
// ordinary records, with the canonical name (lower case, no trailing dot, never
// empty). Its address is given to a question of type A alone; whatever else is
// asked of a name that exists gets an answer without records, as if the name had
// none of that type: with no HTTPS record no client learns a key for ECH, and
// with no AAAA record every client takes the A. Names that no host can have, such
// as those with a dot or a NUL in a label, do not exist, and lookup does not hear
// of them.
//
// ok is false for what must not be answered: less than a header, and messages
// that are themselves replies, or two resolvers could be set on each other.
func answer(query []byte, lookup func(name string, qtype dnsmessage.Type) (netip.Addr, dnsVerdict)) (reply []byte, ok bool) {
	if len(query) < dnsHeader || binary.BigEndian.Uint16(query[2:])&dnsQR != 0 {
		return nil, false
	}
	q, code := parseQuery(query)
	var addr netip.Addr
	if code == dnsmessage.RCodeSuccess && q.name != "" {
		code, addr = decide(q, lookup)
	}
	return q.reply(code, addr), true
}

// decide asks lookup and turns its verdict into a code, and an address if the
// reply has one.
func decide(q query, lookup func(string, dnsmessage.Type) (netip.Addr, dnsVerdict)) (dnsmessage.RCode, netip.Addr) {
	addr, verdict := lookup(q.name, q.qtype)
	switch verdict {
	case dnsFound:
		if q.qtype != dnsmessage.TypeA {
			return dnsmessage.RCodeSuccess, netip.Addr{}
		}
		if addr = addr.Unmap(); addr.Is4() {
			return dnsmessage.RCodeSuccess, addr
		}
		return dnsmessage.RCodeServerFailure, netip.Addr{}
	case dnsBusy:
		return dnsmessage.RCodeServerFailure, netip.Addr{}
	case dnsRefused:
		return dnsmessage.RCodeRefused, netip.Addr{}
	default:
		return dnsmessage.RCodeNameError, netip.Addr{}
	}
}

// reply assembles the message: header, question if one was read, address if
// there is one, and OPT if the query had one (RFC 6891 section 7).
func (q query) reply(code dnsmessage.RCode, addr netip.Addr) []byte {
	b := make([]byte, dnsHeader, maxReply)
	binary.BigEndian.PutUint16(b[0:], q.id)
	// RA is set because stubs take a reply without records, without RA and
	// without AA for one of a server that knows nothing, and ask elsewhere.
	binary.BigEndian.PutUint16(b[2:], dnsQR|dnsRA|q.bits&(dnsOpcode|dnsRD|dnsCD)|uint16(code&15))
	if len(q.question) > 0 {
		binary.BigEndian.PutUint16(b[4:], 1)
		b = append(b, q.question...)
	}
	if addr.Is4() {
		binary.BigEndian.PutUint16(b[6:], 1)
		b = append(b, 0xc0, dnsHeader) // the name of the question
		b = binary.BigEndian.AppendUint16(b, uint16(dnsmessage.TypeA))
		b = binary.BigEndian.AppendUint16(b, uint16(dnsmessage.ClassINET))
		b = binary.BigEndian.AppendUint32(b, dnsTTL)
		b = binary.BigEndian.AppendUint16(b, 4)
		b = append(b, addr.AsSlice()...)
	}
	if q.edns {
		binary.BigEndian.PutUint16(b[10:], 1)
		b = append(b, 0) // the root
		b = binary.BigEndian.AppendUint16(b, uint16(dnsmessage.TypeOPT))
		b = binary.BigEndian.AppendUint16(b, dnsUDP)
		b = append(b, byte(code>>4), 0, 0, 0) // rest of the code, version, flags
		b = append(b, 0, 0)                   // no options
	}
	return b
}
