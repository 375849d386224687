package netfilter

import (
	"bytes"
	"strings"
)

// fields are the header fields that decide about a request, each with the
// values of all its lines.
type fields struct {
	host, contentLength, transferEncoding, upgrade, connection, expect []string
}

// slot is where the values of a field are kept; nil for a field that decides
// nothing. name is in lower case.
func (f *fields) slot(name string) *[]string {
	switch name {
	case "host":
		return &f.host
	case "content-length":
		return &f.contentLength
	case "transfer-encoding":
		return &f.transferEncoding
	case "upgrade":
		return &f.upgrade
	case "connection":
		return &f.connection
	case "expect":
		return &f.expect
	}
	return nil
}

// parseFields reads field lines to the empty one (RFC 9112 section 5).
func parseFields(lines []byte) (fields, error) {
	var f fields
	for {
		line, rest, ok := bytes.Cut(lines, crlf)
		if len(line) == 0 || !ok {
			return f, nil
		}
		lines = rest
		if line[0] == ' ' || line[0] == '\t' {
			return f, refuse("folded HTTP field %q", short(line))
		}
		raw, value, ok := bytes.Cut(line, []byte(":"))
		if !ok || !consists(raw, isToken) {
			return f, refuse("HTTP field line %q", short(line))
		}
		name := lowerASCII(string(raw))
		slot := f.slot(name)
		if slot == nil {
			if f.slot(likeField(name)) != nil {
				return f, refuse("HTTP field %q", short(raw))
			}
			continue
		}
		// Only the space that everybody puts there and everybody drops.
		text := strings.TrimPrefix(string(value), " ")
		if text == "" || strings.TrimSpace(text) != text {
			return f, refuse("HTTP field line %q", short(line))
		}
		*slot = append(*slot, text)
	}
}

// likeField is the name that a gateway makes of a field name when it can hold
// only letters, digits and one mark (RFC 3875 section 4.1.18).
func likeField(name string) string {
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' || '0' <= r && r <= '9' {
			return r
		}
		return '-'
	}, name)
}

// consists reports whether text has bytes, all of a kind.
func consists[T ~string | ~[]byte](text T, kind func(byte) bool) bool {
	for i := range len(text) {
		if !kind(text[i]) {
			return false
		}
	}
	return len(text) > 0
}

// isToken is tchar of RFC 9110 section 5.6.2.
func isToken(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0
}
