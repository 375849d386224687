package netfilter

import "encoding/binary"

const extServerName = 0

// isECH reports whether a ClientHello extension hides another ClientHello:
// encrypted_client_hello (RFC 9849), its drafts, and the encrypted_server_name
// that came before it.
func isECH(ext uint16) bool {
	switch ext {
	case 0xfe0d, 0xfe0c, 0xfe0b, 0xfe0a, 0xfe09, 0xfe08, 0xff03, 0xff02, 0xffce:
		return true
	}
	return false
}

// parseClientHello reads a whole handshake message, header included.
func parseClientHello(msg []byte) (hello, error) {
	m := reader{rest: msg[handshakeHeader:]}
	version := m.uint16()
	m.take(32) // random
	session := m.vector8()
	suites := m.vector16()
	compressions := m.vector8()
	switch {
	case m.bad:
		return hello{}, refuse("TLS ClientHello with lengths that do not fit")
	case version < oldestHello || version > newestHello:
		return hello{}, refuse("TLS ClientHello of version %#04x", version)
	case len(session) > 32, len(suites) == 0, len(suites)%2 != 0, len(compressions) == 0:
		return hello{}, refuse("malformed TLS ClientHello")
	case len(m.rest) == 0:
		return hello{}, errNoName()
	}
	exts := reader{rest: m.vector16()}
	if m.bad || len(m.rest) != 0 {
		return hello{}, refuse("TLS ClientHello with lengths that do not fit")
	}
	return parseExtensions(exts)
}

func errNoName() error { return refuse("TLS ClientHello without a server name") }

func parseExtensions(exts reader) (hello, error) {
	var h hello
	var seen [1 << 16 / 64]uint64
	for len(exts.rest) > 0 {
		ext := exts.uint16()
		body := exts.vector16()
		if exts.bad {
			return hello{}, refuse("TLS extensions with lengths that do not fit")
		}
		// "There MUST NOT be more than one extension of the same type":
		// of two names a server may believe either.
		word, bit := ext/64, uint64(1)<<(ext%64)
		if seen[word]&bit != 0 {
			return hello{}, refuse("TLS ClientHello with extension %d given twice", ext)
		}
		seen[word] |= bit
		h.ech = h.ech || isECH(ext)
		if ext == extServerName {
			name, err := parseServerName(body)
			if err != nil {
				return hello{}, err
			}
			h.name = name
		}
	}
	if h.name == "" {
		return hello{}, errNoName()
	}
	return h, nil
}

// parseServerName reads the server_name extension of RFC 6066 section 3. Only
// one name of the only type there is, host_name, is taken.
func parseServerName(body []byte) (string, error) {
	b := reader{rest: body}
	list := reader{rest: b.vector16()}
	if b.bad || len(b.rest) != 0 {
		return "", refuse("TLS server name with lengths that do not fit")
	}
	if len(list.rest) == 0 {
		return "", errNoName()
	}
	kind := list.take(1)
	raw := list.vector16()
	switch {
	case list.bad:
		return "", refuse("TLS server name with lengths that do not fit")
	case kind[0] != 0:
		return "", refuse("TLS server name of unknown type %d", kind[0])
	case len(list.rest) != 0:
		return "", refuse("TLS ClientHello with several server names")
	}
	name, ok := wireName(raw)
	if !ok {
		return "", refuse("TLS server name %q is not a host name", short(raw))
	}
	return name, nil
}

// reader takes fields from the front of rest. Once a field has not fit, bad is
// set and every further field is empty.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.rest) {
		r.bad, r.rest = true, nil
		return nil
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) uint16() uint16 {
	if b := r.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// vector8 and vector16 take a field with its length, of one or two bytes,
// before it.
func (r *reader) vector8() []byte {
	if b := r.take(1); b != nil {
		return r.take(int(b[0]))
	}
	return nil
}

func (r *reader) vector16() []byte { return r.take(int(r.uint16())) }
