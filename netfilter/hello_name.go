package netfilter

import "strings"

// wireName returns the canonical form of a host name as it stands in a
// ClientHello, a Host field or, joined by dots, a DNS question: lower case,
// without the one trailing dot it may have. It is false for everything that is
// not made of letters, digits, '-' and '_' of ASCII in labels of 1 to 63 bytes,
// 253 in all: names beyond ASCII have an A-label (RFC 5890), which clients put
// on the wire, and other bytes are read differently by different servers.
//
// An address in dotted form passes. It equals no name of a rule.
func wireName[T ~string | ~[]byte](raw T) (string, bool) {
	if len(raw) > 254 {
		return "", false
	}
	name := strings.TrimSuffix(string(raw), ".")
	if len(name) > 253 {
		return "", false
	}
	label := 0
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '.':
			if label == 0 {
				return "", false
			}
			label = 0
			continue
		case !isLabelByte(c):
			return "", false
		}
		label++
		if label > 63 {
			return "", false
		}
	}
	if label == 0 {
		return "", false
	}
	return lowerASCII(name), true
}

func isLabelByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// lowerASCII turns A to Z to lower case. Unlike strings.ToLower it knows no
// other alphabet: U+212A, the Kelvin sign, must not become a k.
func lowerASCII(s string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, s)
}
