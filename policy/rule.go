package policy

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
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
	// its bits. IPv4 is never in its IPv6 form.
	Prefix netip.Prefix
	Ports  []PortRange // sorted, merged, at least one
}

// PortRange is the ports from First to Last, both included.
type PortRange struct{ First, Last uint16 }

// maxBelow is how many labels a name may have in front of a suffix. Names below
// are of the program's choosing, and so a way to tell the suffix's name servers
// something.
const maxBelow = 3

// ParseRule reads a rule. Errors are [*Error] values.
func ParseRule(text string, o Origin) (Rule, error) {
	r := Rule{Text: text, Origin: o}
	host, raw := strings.CutPrefix(text, "tcp://")
	i := strings.LastIndexByte(host, ':')
	if i < 0 {
		return Rule{}, &Error{o, "no port"}
	}
	host, ports := host[:i], host[i+1:]
	n, err := strconv.ParseUint(ports, 10, 16)
	if err != nil {
		return Rule{}, &Error{o, "bad port"}
	}
	r.Raw, r.Ports = raw, []PortRange{{uint16(n), uint16(n)}}
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		r.Raw, r.Prefix = true, netip.PrefixFrom(a, a.BitLen())
		return r, nil
	}
	host, r.Suffix = strings.CutPrefix(host, "*.")
	if r.Name, err = CanonicalName(host); err != nil {
		return Rule{}, &Error{o, err.Error()}
	}
	return r, nil
}

// CanonicalName returns the one form of a name that rules, questions and server
// names are compared in.
func CanonicalName(s string) (string, error) {
	s = strings.ToLower(strings.TrimSuffix(s, "."))
	if s == "" {
		return "", errors.New("the name is empty")
	}
	return s, nil
}

// HasPort reports whether r covers a port.
func (r Rule) HasPort(port uint16) bool {
	return slices.ContainsFunc(r.Ports, func(p PortRange) bool { return p.First <= port && port <= p.Last })
}

// MatchName reports whether r covers a name, which has to be canonical.
func (r Rule) MatchName(name string) bool {
	if !r.Suffix {
		return r.Name != "" && r.Name == name
	}
	below, ok := strings.CutSuffix(name, "."+r.Name)
	return ok && below != "" && strings.Count(below, ".") < maxBelow
}

// String writes r in the one way that all rules of the same meaning have.
func (r Rule) String() string { return r.Text }
