package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// rawScheme stands before a rule that lets any protocol pass.
const rawScheme = "tcp://"

// maxRule bounds the text of a rule: a name, and ports in plenty.
const maxRule = 1024

// ParseRule reads a rule:
//
//	api.github.com:443            a name
//	*.example.com:443,8443        the names below one
//	tcp://db.example.com:5432     any protocol, not only TLS and HTTP
//	10.0.0.5:5432                 an address
//	[2001:db8::1]:443
//	10.1.0.0/16:8000-8010,9000    a range of addresses
//	[2001:db8::/48]:443
//
// Names may be in any script; see [CanonicalName]. What reads in two ways is
// refused, and so is what would open more than it seems to: suffixes below which
// names belong to different people (publicsuffix.org, both sections), ranges
// wider than /8 or, of IPv6, /32, and port 53.
//
// Errors are [*Error] values.
func ParseRule(text string, o Origin) (Rule, error) {
	r, err := parseRule(text)
	if err != nil {
		return Rule{}, &Error{o, fmt.Sprintf("network rule %q: %v", shorten(text), err)}
	}
	r.Text, r.Origin = text, o
	return r, nil
}

// shorten keeps an error readable.
func shorten(s string) string {
	if len(s) > 100 {
		return s[:100] + "…"
	}
	return s
}

func parseRule(text string) (Rule, error) {
	rest, raw, err := plain(text)
	if err != nil {
		return Rule{}, err
	}
	r, err := parseTarget(rest, raw)
	if err != nil && raw {
		err = rewritten(err, nil, func(form string) string { return rawScheme + form })
	}
	return r, err
}

// parseTarget reads a rule without its scheme.
func parseTarget(text string, raw bool) (Rule, error) {
	usual := "443"
	if raw {
		usual = "PORT"
	}
	host, ports, err := splitPorts(text, usual)
	if err != nil {
		return Rule{}, err
	}
	r := Rule{Raw: raw}
	known := portsOr(ports, "PORT")
	if r.Prefix, err = parseAddresses(host, known); err != nil {
		return Rule{}, err
	}
	if r.Prefix.IsValid() {
		r.Raw = true
	} else if r.Name, r.Suffix, err = parseHost(host, known); err != nil {
		return Rule{}, err
	}
	if r.Ports, err = parsePorts(ports); err != nil {
		return Rule{}, err
	}
	return r, nil
}

// plain takes the scheme off, and refuses what belongs to URLs.
func plain(text string) (rest string, raw bool, err error) {
	if len(text) > maxRule {
		return "", false, fmt.Errorf("it is longer than %d bytes; split it", maxRule)
	}
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }) {
		return "", false, errors.New("it holds a space, a control character or no valid UTF-8; write HOST:PORT without any")
	}
	rest, raw = strings.CutPrefix(text, rawScheme)
	if scheme, after, ok := strings.Cut(rest, "://"); ok {
		return "", false, badScheme(scheme, after)
	}
	switch i := strings.IndexAny(rest, `@%?#\`); {
	case i < 0:
		return rest, raw, nil
	case rest[i] == '@':
		return "", false, errors.New("a rule holds no user name or password; write HOST:PORT alone")
	case rest[i] == '%':
		return "", false, errors.New("a rule holds no zone of an address and no percent encoding; write HOST:PORT alone")
	default:
		return "", false, errors.New("a rule is about a host and its ports, not about pages on it; write HOST:PORT alone")
	}
}

// badScheme names the rule that was probably meant.
func badScheme(scheme, after string) error {
	port := map[string]string{"https": "443", "wss": "443", "http": "80", "ws": "80"}[strings.ToLower(scheme)]
	switch {
	case strings.EqualFold(scheme, "udp"):
		return errors.New("UDP does not leave a box; write HOST:PORT for TCP")
	case port == "":
		return errors.New(`it has to start with the host, or with tcp:// for any protocol; write HOST:PORT or tcp://HOST:PORT`)
	}
	host, _, _ := strings.Cut(after, "/")
	if strings.LastIndexByte(host, ':') <= strings.LastIndexByte(host, ']') {
		host += ":" + port
	}
	return &advice{why: "a rule has no scheme", forms: []string{host}}
}

// splitPorts cuts a rule into its host, with brackets, and its ports. usual are
// those to advise where there are none.
func splitPorts(s, usual string) (host, ports string, err error) {
	i := strings.LastIndexByte(s, ':')
	if end := strings.LastIndexByte(s, ']'); i < end {
		i = -1 // a colon of the address
	}
	host = s
	if i >= 0 {
		host, ports = s[:i], s[i+1:]
	}
	switch {
	case host == "", i < 0 && strings.Trim(host, "0123456789,-") == "":
		return "", "", &advice{why: "there is no host", forms: []string{"HOST:PORT"}}
	case host[0] != '[' && strings.Contains(host, ":"):
		const why = "an IPv6 address stands in brackets, before a port"
		if a, err := netip.ParseAddr(host); err == nil { // rather than an address alone, as which some also read
			return "", "", &advice{why: why, forms: []string{"[" + a.String() + "]:" + portsOr(ports, usual)}}
		} else if a, err := netip.ParseAddr(s); err == nil {
			return "", "", &advice{why: why, forms: []string{"[" + a.String() + "]:" + usual}}
		}
		return "", "", &advice{why: "it has more than one colon, and no IPv6 address in brackets", forms: []string{"HOST:PORT", "[ADDRESS]:PORT"}}
	case i < 0:
		return "", "", &advice{why: "there is no port", forms: []string{s + ":" + usual}}
	case strings.Contains(ports, "/"):
		return "", "", &advice{why: "a path or a prefix length cannot follow the port", forms: []string{"HOST:PORT", "ADDRESS/BITS:PORT"}}
	}
	return host, ports, nil
}

// parseHost reads a name or, after "*.", a suffix. ports are those to advise.
func parseHost(host, ports string) (name string, suffix bool, err error) {
	if strings.Contains(host, "/") {
		return "", false, errors.New("a rule is about a host and its ports, not about pages on it; write HOST:PORT alone")
	}
	host, suffix = strings.CutPrefix(host, "*.")
	if strings.Contains(host, "*") {
		return "", false, errors.New(`"*" can only stand for whole labels at the beginning, before a suffix, such as *.example.com:443; to allow every host is not possible`)
	}
	if name, err = CanonicalName(host); err != nil {
		return "", false, adviseAddress(err, ports)
	}
	if isLocalhost(name) {
		return "", false, &advice{why: "in a box, localhost is the box itself, and services of this machine have an address", forms: []string{"127.0.0.1:" + ports, "[::1]:" + ports}}
	}
	if suffix {
		err = checkSuffix(name)
	}
	return name, suffix, err
}

// adviseAddress adds to the error of a name that is an address in disguise how to
// write that.
func adviseAddress(err error, ports string) error {
	if n := (*notationError)(nil); errors.As(err, &n) {
		return &advice{why: err.Error(), forms: []string{n.address.String() + ":" + ports}}
	}
	return err
}

// isLocalhost reports whether a name means the machine itself wherever it is
// asked (RFC 6761, 6.3, and the names that distributions put into /etc/hosts).
func isLocalhost(name string) bool {
	switch name {
	case "localhost", "localhost.localdomain", "localhost4", "localhost6", "localhost4.localdomain4",
		"localhost6.localdomain6", "ip6-localhost", "ip6-loopback":
		return true
	}
	return strings.HasSuffix(name, ".localhost")
}
