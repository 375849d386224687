package netfilter

import (
	"encoding/binary"

	"golang.org/x/net/dns/dnsmessage"
)

// query is what a DNS message asks.
type query struct {
	id       uint16
	bits     uint16 // of the header
	question []byte // its bytes; empty if they cannot be read
	name     string // canonical; empty if no name needs to be looked up
	qtype    dnsmessage.Type
	edns     bool
}

// Codes and types that package dnsmessage has no names for.
const (
	rcodeBadVersion dnsmessage.RCode = 16  // RFC 6891 section 6.1.3
	typeANY         dnsmessage.Type  = 255 // RFC 8482
	typeMetaFirst   dnsmessage.Type  = 128 // RFC 6895 section 3.1: "QTYPEs and Meta-TYPEs"
	typeMetaLast    dnsmessage.Type  = 255
)

// parseQuery reads msg, of at least a header. A code other than success is the
// answer; with success and no name the answer is that there are no records.
//
// It is stricter than dnsmessage: the name of the question may not be
// compressed, as there is nothing before it to point to, so no pointer is ever
// followed; and nothing may stand in the message but the question and one OPT.
func parseQuery(msg []byte) (query, dnsmessage.RCode) {
	q := query{id: binary.BigEndian.Uint16(msg), bits: binary.BigEndian.Uint16(msg[2:])}
	if q.bits&dnsOpcode != 0 {
		return q, dnsmessage.RCodeNotImplemented
	}
	count := func(section int) uint16 { return binary.BigEndian.Uint16(msg[4+2*section:]) }
	if q.bits&dnsTC != 0 || count(0) != 1 || count(1) != 0 || count(2) != 0 || count(3) > 1 {
		return q, dnsmessage.RCodeFormatError
	}
	m := reader{rest: msg[dnsHeader:]}
	name, isHost := takeName(&m)
	q.qtype = dnsmessage.Type(m.uint16())
	class := dnsmessage.Class(m.uint16())
	if m.bad {
		return q, dnsmessage.RCodeFormatError
	}
	question := msg[dnsHeader : len(msg)-len(m.rest)]
	hasOPT := count(3) == 1
	version := byte(0)
	if hasOPT {
		version = takeOPT(&m)
	}
	if m.bad || len(m.rest) != 0 || q.qtype == dnsmessage.TypeOPT {
		return q, dnsmessage.RCodeFormatError
	}
	q.edns = hasOPT
	q.question = question
	switch {
	case version != 0:
		return q, rcodeBadVersion
	case class != dnsmessage.ClassINET:
		return q, dnsmessage.RCodeRefused
	case q.qtype != typeANY && q.qtype >= typeMetaFirst && q.qtype <= typeMetaLast: // zone transfers and the like
		return q, dnsmessage.RCodeRefused
	case !isHost:
		return q, dnsmessage.RCodeNameError
	}
	q.name = name
	return q, dnsmessage.RCodeSuccess
}

// takeName takes an uncompressed name. It is canonical if isHost; the root has
// the empty name, which is one, since it exists.
func takeName(m *reader) (name string, isHost bool) {
	text := make([]byte, 0, 255)
	isHost = true
	for {
		length := m.take(1)
		switch {
		case m.bad:
			return "", false
		case length[0] == 0:
			if len(text) == 0 {
				return "", isHost
			}
			name, ok := wireName(text)
			return name, ok && isHost
		case length[0] > 63: // a pointer, or a kind of label that was never used
			m.bad = true
			return "", false
		}
		for _, c := range m.take(int(length[0])) {
			// A dot inside a label must not become one between labels.
			isHost = isHost && isLabelByte(c)
			text = append(text, c)
		}
		if text = append(text, '.'); len(text) > 254 { // 255 with the root, RFC 1035 section 2.3.4
			m.bad = true
			return "", false
		}
	}
}

// takeOPT takes an OPT record (RFC 6891 section 6.1.2) and returns its version.
// Its options are for others, and skipped.
func takeOPT(m *reader) (version byte) {
	root := m.take(1)
	kind := dnsmessage.Type(m.uint16())
	m.uint16() // size of UDP messages that the client takes; ours fit any
	ttl := m.take(4)
	m.vector16()
	if m.bad || root[0] != 0 || kind != dnsmessage.TypeOPT {
		m.bad = true
		return 0
	}
	return ttl[1]
}
