package netfilter

import (
	"encoding/binary"
	"errors"
)

// errShort says that the bytes so far are the proper beginning of something,
// and that more of them are needed to judge it.
var errShort = errors.New("more bytes are needed")

// maxHello is how many bytes of a connection a ClientHello may take, with the
// headers of its records. The largest in use, with post-quantum key shares,
// take two or three thousand; a server need not read more than 16 KiB either.
const maxHello = 16 << 10

// hello is what a TLS ClientHello says about where it wants to go.
type hello struct {
	name string // server_name: lower case, no trailing dot, never empty
	ech  bool   // it has an encrypted_client_hello, which may hold another name
}

// parseHello reads the TLS ClientHello that data, the first bytes of a
// connection, begins with, however it is cut into records (RFC 8446 section
// 4.1.2 and 5.1, RFC 6066 section 3). Bytes after it do not matter, unless they
// stand in its last record.
//
// errShort means that data is the proper beginning of a ClientHello. Every
// other error is a *refusal: of what is no ClientHello, of a ClientHello
// without a name or with more than one, and of what the servers of this world
// may read differently: an extension given twice, lengths that do not fit, an
// SSLv2 hello. A hello that does not end within maxHello
// bytes is refused too. A refusal is found as early as its bytes are there.
//
// What parseHello cannot see: a server that asks for a second ClientHello
// (RFC 8446 section 4.1.4) might believe the name in that one. Like a Host
// inside the encryption that differs from the name outside, this leads to
// other tenants of a server that was allowed, and nowhere else.
func parseHello(data []byte) (hello, error) {
	if err := refuseSSL2(data); err != nil {
		return hello{}, err
	}
	msg, err := joinRecords(data[:min(len(data), maxHello)])
	if err != nil {
		return hello{}, err
	}
	return parseClientHello(msg)
}

const (
	recordHandshake = 22
	maxRecord       = 1 << 14 // of a plaintext record, RFC 8446 section 5.1
	typeClientHello = 1
	handshakeHeader = 4
	recordHeader    = 5
	oldestHello     = 0x0301 // TLS 1.0, the first that can carry a name
	newestHello     = 0x0304 // TLS 1.3; RFC 8446 has clients say 0x0303
	newestMinor     = newestHello & 0xff
)

// looksTLS reports whether the first bytes of a connection begin a handshake
// record of TLS.
func looksTLS(data []byte) bool { return len(data) > 0 && data[0] == recordHandshake }

// joinRecords returns the handshake message, header included, that the records
// in data hold from their beginning. It is asked again for every segment, so it
// puts nothing together before all of it is there.
func joinRecords(data []byte) ([]byte, error) {
	var header [handshakeHeader]byte
	have := 0 // bytes of the message
	rest := data
	for {
		switch {
		case len(rest) > 0 && rest[0] != recordHandshake:
			return nil, refuse("it begins like no TLS: record of type %d", rest[0])
		case len(rest) > 1 && rest[1] != 3, len(rest) > 2 && rest[2] > newestMinor:
			return nil, refuse("TLS record of an unknown version")
		case len(rest) < recordHeader:
			return nil, tooLong(data)
		}
		length := int(binary.BigEndian.Uint16(rest[3:]))
		if length == 0 || length > maxRecord { // "MUST NOT send zero-length fragments of Handshake types"
			return nil, refuse("TLS handshake record of %d bytes", length)
		}
		rest = rest[recordHeader:]
		part := rest[:min(length, len(rest))]
		if have < handshakeHeader {
			copy(header[have:], part)
		}
		have += len(part)
		want, err := helloLength(header[:min(have, handshakeHeader)])
		switch {
		case err != nil:
			return nil, err
		case want > 0 && have > want, want > 0 && have == want && length > len(part):
			return nil, refuse("TLS record that goes on after the ClientHello")
		case want > 0 && have == want:
			return payload(data, want), nil
		case length >= len(rest):
			return nil, tooLong(data)
		}
		rest = rest[length:]
	}
}

// payload returns the first n bytes that the records in data hold.
func payload(data []byte, n int) []byte {
	b := make([]byte, 0, n)
	for len(b) < n {
		end := recordHeader + int(binary.BigEndian.Uint16(data[3:]))
		b = append(b, data[recordHeader:end]...)
		data = data[end:]
	}
	return b
}

// tooLong is the verdict on data that ends before the hello does.
func tooLong(data []byte) error {
	if len(data) >= maxHello {
		return refuse("TLS ClientHello of more than %d bytes", maxHello)
	}
	return errShort
}

// helloLength is the length of the ClientHello with that header, header
// included; zero if too little of it is there.
func helloLength(header []byte) (int, error) {
	if len(header) > 0 && header[0] != typeClientHello {
		return 0, refuse("TLS handshake begins with message type %d, not a ClientHello", header[0])
	}
	if len(header) < handshakeHeader {
		return 0, nil
	}
	length := handshakeHeader + int(header[1])<<16 + int(header[2])<<8 + int(header[3])
	if length > maxHello-recordHeader {
		return 0, refuse("TLS ClientHello of more than %d bytes", maxHello)
	}
	return length, nil
}

// refuseSSL2 refuses a hello in the format of SSL 2.0, which old servers still
// take for the beginning of TLS, and which has no place for a name (RFC 5246
// appendix E.2): two bytes of length with the top bit set, message type 1.
func refuseSSL2(data []byte) error {
	if len(data) >= 3 && data[0]&0x80 != 0 && data[2] == typeClientHello {
		return refuse("SSLv2 hello, which carries no server name")
	}
	return nil
}
