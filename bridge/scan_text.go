package bridge

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
)

// Patterns of eight equal bytes.
const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// script says how a string is written.
type script uint8

const (
	escaped script = 1 << iota // with backslashes
	wide                       // with characters beyond ASCII
	plain   script = 0
)

// text scans a string from behind its quote, and returns where the closing one
// is.
func (s *scanner) text(i int) (end int, how script) {
	line := s.line
	for {
		// Eight bytes at a time, as long as none of them is a quote, a
		// backslash, a control character or beyond ASCII. Subtraction may
		// carry into higher bytes, so only the lowest hit counts.
		for i+8 <= len(line) {
			w := binary.LittleEndian.Uint64(line[i:])
			quote, slash := w^(ones*'"'), w^(ones*'\\')
			hit := (w - ones*' ' | w | (quote-ones)&^quote | (slash-ones)&^slash) & highs
			if hit == 0 {
				i += 8
				continue
			}
			i += bits.TrailingZeros64(hit) >> 3
			break
		}
		if i >= len(line) {
			return s.fail(ruleSyntax, len(line), "the message ends within a string"), how
		}
		switch c := line[i]; {
		case c == '"':
			return i, how
		case c == '\\':
			how |= escaped
			if i = s.escape(i); i < 0 {
				return -1, how
			}
		case c == '\r':
			return s.fail(ruleControl, i, "a carriage return within a string"), how
		case c < ' ':
			return s.fail(ruleControl, i, "a control character within a string"), how
		case c < utf8.RuneSelf:
			i++
		default:
			how |= wide
			if i = s.runes(i); i < 0 {
				return -1, how
			}
		}
	}
}

// runes scans characters beyond ASCII.
func (s *scanner) runes(i int) int {
	line := s.line
	tail := func(at int) bool { return at < len(line) && line[at]&0xc0 == 0x80 }
	for i < len(line) && line[i] >= utf8.RuneSelf {
		c := line[i]
		switch {
		case c >= 0xc2 && c < 0xe0 && tail(i+1):
			i += 2
		case c >= 0xe0 && c < 0xf0 && tail(i+1) && tail(i+2) &&
			(c != 0xe0 || line[i+1] >= 0xa0) && // overlong
			(c != 0xed || line[i+1] < 0xa0): // a surrogate
			i += 3
		case c >= 0xf0 && c < 0xf5 && tail(i+1) && tail(i+2) && tail(i+3) &&
			(c != 0xf0 || line[i+1] >= 0x90) && // overlong
			(c != 0xf4 || line[i+1] < 0x90): // above U+10FFFF
			i += 4
		default:
			return s.fail(ruleUTF8, i, "a string is not UTF-8")
		}
	}
	return i
}

// escape scans an escape from its backslash.
func (s *scanner) escape(i int) int {
	line := s.line
	if i+1 >= len(line) {
		return s.fail(ruleSyntax, len(line), "the message ends within a string")
	}
	switch line[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		r := hex4(line, i+2)
		switch {
		case r < 0:
			return s.fail(ruleSyntax, i, "an escape is not four hexadecimal digits")
		case !utf16.IsSurrogate(r):
			return i + 6
		case r < 0xdc00 && i+7 < len(line) && line[i+6] == '\\' && line[i+7] == 'u':
			if low := hex4(line, i+8); low >= 0xdc00 && low < 0xe000 {
				return i + 12
			}
		}
		return s.fail(ruleSurrogate, i, "an escape is half of a surrogate pair")
	}
	return s.fail(ruleSyntax, i, "there is no such escape")
}

// hex4 is the value of four hexadecimal digits at i, or -1.
func hex4(b []byte, i int) rune {
	if i+4 > len(b) {
		return -1
	}
	var r rune
	for _, c := range b[i : i+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return -1
		}
		r = r<<4 | rune(c)
	}
	return r
}

// appendText appends what a string that was scanned stands for.
func appendText(out, raw []byte) []byte {
	for i := 0; i < len(raw); {
		if raw[i] != '\\' {
			out = append(out, raw[i])
			i++
			continue
		}
		c := raw[i+1]
		i += 2
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			r := hex4(raw, i)
			i += 4
			if utf16.IsSurrogate(r) {
				r = utf16.DecodeRune(r, hex4(raw, i+2))
				i += 6
			}
			out = utf8.AppendRune(out, r)
			continue
		}
		out = append(out, c)
	}
	return out
}
