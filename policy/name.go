package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/net/idna"
)

// CanonicalName returns the one form of a name that rules, questions and server
// names are compared in: lower case, without a dot at the end, labels of other
// scripts as A-labels (RFC 5891 by way of UTS 46, without transitional
// processing).
//
// It refuses what is no name of a host: anything but letters, digits, "-" and
// "_" (which names inside companies have), labels that are empty or longer than
// 63 bytes, more than 253 bytes in all, and every notation of an address that
// some program takes for one, such as 2130706433, 0x7f.1 or 010.0.0.1.
func CanonicalName(s string) (string, error) {
	name := strings.TrimSuffix(s, ".")
	if name == "" {
		return "", errors.New("the name is empty")
	}
	if len(s) > maxRule { // what IDNA does to a long name takes time
		return "", errors.New("the name is too long")
	}
	if a, err := netip.ParseAddr(strings.Trim(name, "[]")); err == nil {
		return "", fmt.Errorf("%s is an address and no name", a)
	}
	name, needsIDNA := lowerASCII(name)
	if needsIDNA {
		ascii, err := idna.Lookup.ToASCII(name)
		if err != nil {
			return "", fmt.Errorf("%q is no name: %w", name, err)
		}
		name = strings.TrimSuffix(ascii, ".") // some scripts have dots of their own
	}
	if len(name) > 253 {
		return "", fmt.Errorf("the name has %d bytes; there is none of more than 253", len(name))
	}
	last := ""
	for label := range strings.SplitSeq(name, ".") {
		if err := checkLabel(label); err != nil {
			return "", err
		}
		last = label
	}
	if isNumber(last) {
		if a, ok := anyNotation(name); ok {
			return "", &notationError{s, a}
		}
		return "", fmt.Errorf("%q ends in a number, as only addresses do; write four numbers from 0 to 255, without zeros in front", s)
	}
	return name, nil
}

// notationError says that a name is an address to some programs.
type notationError struct {
	text    string
	address netip.Addr
}

func (e *notationError) Error() string {
	return fmt.Sprintf("%q is a way of writing the address %s", e.text, e.address)
}

// lowerASCII lowers the letters of ASCII, and reports whether there is more to
// do: most names never need the tables of Unicode.
func lowerASCII(s string) (lower string, needsIDNA bool) {
	lower = strings.Map(func(c rune) rune {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		}
		needsIDNA = needsIDNA || c >= 0x80
		return c
	}, s)
	return lower, needsIDNA || strings.HasPrefix(lower, "xn--") || strings.Contains(lower, ".xn--")
}

func checkLabel(label string) error {
	switch {
	case label == "":
		return errors.New("the name has an empty label: two dots in a row, or one in front")
	case len(label) > 63:
		return fmt.Errorf("the label %q is longer than 63 bytes", shorten(label))
	case label[0] == '-' || label[len(label)-1] == '-':
		return fmt.Errorf(`the label %q starts or ends with "-"`, label)
	}
	for _, c := range []byte(label) {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return fmt.Errorf("%q cannot stand in a name", string(rune(c)))
		}
	}
	return nil
}

// isNumber reports whether a program may take a label for a number, so that the
// name that ends with it is an address to it (URL Standard, "ends in a number").
// No top-level domain looks like that.
func isNumber(label string) bool {
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		return strings.Trim(hex, "0123456789abcdef") == ""
	}
	return strings.Trim(label, "0123456789") == ""
}

// anyNotation reads an address as inet_aton(3) does: one to four numbers,
// decimal, octal or hexadecimal, of which the last fills what is left.
func anyNotation(s string) (netip.Addr, bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var sum uint64
	for i, part := range parts {
		base := 10
		if hex, ok := strings.CutPrefix(part, "0x"); ok {
			part, base = "0"+hex, 16
		} else if part[0] == '0' {
			base = 8
		}
		bits := 8
		if i == len(parts)-1 {
			bits = 32 - 8*i
		}
		n, err := strconv.ParseUint(part, base, bits)
		if err != nil {
			return netip.Addr{}, false
		}
		sum = sum<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}), true
}
