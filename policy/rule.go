package policy

import (
	"net/netip"
	"slices"
	"strings"
)

// Rule allows connections to a name or to addresses, at some ports, as
// [ParseRule] reads it.
type Rule struct {
	Text   string // as written
	Origin Origin
	// Raw lets any protocol pass. Without it, a connection has to say by TLS
	// or HTTP that it is for the name. Address rules are always raw.
	Raw bool
	// Name is the canonical name, see [CanonicalName]; "" for an address rule.
	Name string
	// Suffix means the names below Name, at most three labels longer, and not
	// Name itself.
	Suffix bool
	// Prefix is what an address rule covers, masked; a single address has all
	// its bits. IPv4 is never in its IPv6 form. It is zero in a rule for a name.
	Prefix netip.Prefix
	Ports  []PortRange // sorted, merged, at least one
}

// maxBelow is how many labels a name may have in front of a suffix. Names below
// are of the program's choosing, and so a way to tell the suffix's name servers
// something.
const maxBelow = 3

// HasPort reports whether r covers a port.
func (r Rule) HasPort(port uint16) bool {
	return slices.ContainsFunc(r.Ports, func(p PortRange) bool { return p.First <= port && port <= p.Last })
}

// MatchName reports whether r covers a name, which has to be canonical: it is
// compared byte by byte, a suffix at the boundary of a label.
func (r Rule) MatchName(name string) bool {
	if !r.Suffix || r.Name == "" {
		return r.Name != "" && r.Name == name
	}
	below, ok := strings.CutSuffix(name, "."+r.Name)
	return ok && strings.Count(below, ".") < maxBelow &&
		below != "" && below[0] != '.' && below[len(below)-1] != '.' && !strings.Contains(below, "..")
}

// MatchAddr reports whether r covers an address, IPv4 not in its IPv6 form. The
// metadata services of clouds are covered by rules for them alone, and by no
// range.
func (r Rule) MatchAddr(a netip.Addr) bool {
	return r.Prefix.Contains(a) && (r.Prefix.IsSingleIP() || !IsMetadata(a))
}

// String writes r in the one way that all rules of the same meaning have.
// [ParseRule] reads it back to the same.
func (r Rule) String() string {
	var b strings.Builder
	switch {
	case r.Name == "" && r.Prefix.IsSingleIP():
		b.WriteString(bracketed(r.Prefix.Addr(), r.Prefix.Addr().String()))
	case r.Name == "":
		b.WriteString(bracketed(r.Prefix.Addr(), r.Prefix.String()))
	default:
		if r.Raw {
			b.WriteString(rawScheme)
		}
		if r.Suffix {
			b.WriteString("*.")
		}
		b.WriteString(r.Name)
	}
	for i, p := range r.Ports {
		b.WriteByte(":,"[min(i, 1)])
		b.WriteString(p.String())
	}
	return b.String()
}

// bracketed is how an address stands before a port.
func bracketed(a netip.Addr, text string) string {
	if a.Is6() {
		return "[" + text + "]"
	}
	return text
}
