package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"unicode"
)

// Proxy is an HTTP proxy of the host's, through which connections are made with
// CONNECT (RFC 9110, 9.3.6). No way of printing it shows the password.
type Proxy struct {
	Host           string // a canonical name, or an address without brackets
	Port           uint16
	User, Password string // of Basic authentication (RFC 7617); both "" for none
}

// String is the proxy's URL, without the password.
func (p Proxy) String() string {
	host := p.Host
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if p.User != "" {
		host = url.User(p.User).String() + "@" + host
	}
	return "http://" + host + ":" + strconv.Itoa(int(p.Port))
}

// GoString is String, for the formats of package fmt that would go round it.
func (p Proxy) GoString() string { return p.String() }

// MarshalJSON writes what String says.
func (p Proxy) MarshalJSON() ([]byte, error) { return json.Marshal(p.String()) }

// ParseProxy reads http://USER:PASSWORD@HOST:PORT. Errors quote nothing of what
// may be a password.
func ParseProxy(s string) (*Proxy, error) {
	const want = "write http://HOST:PORT or http://USER:PASSWORD@HOST:PORT"
	rest, ok := strings.CutPrefix(s, "http://")
	if !ok {
		if scheme, _, ok := strings.Cut(s, "://"); ok && strings.Trim(scheme, "abcdefghijklmnopqrstuvwxyz0123456789") == "" {
			return nil, fmt.Errorf("a proxy is spoken to in plain HTTP, and not by %s; %s", scheme, want)
		}
		return nil, errors.New("it has to start with http://; " + want)
	}
	p := &Proxy{}
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		if err := p.credentials(rest[:i]); err != nil {
			return nil, err
		}
		rest = rest[i+1:]
	}
	rest = strings.TrimSuffix(rest, "/")
	if strings.ContainsAny(rest, `/?#\%`) {
		return nil, errors.New("a proxy has no path; where one of these stands in a password, write it as %2F, %3F, %23, %5C or %25; " + want)
	}
	if err := p.address(rest); err != nil {
		readAgain := func(s string) error { _, err := ParseProxy(s); return err }
		return nil, rewritten(err, readAgain, func(form string) string { return "http://" + form })
	}
	return p, nil
}

// address reads host and port.
func (p *Proxy) address(s string) error {
	const usual = "3128"
	host, port, err := splitPorts(s, usual)
	if err != nil {
		return err
	}
	if p.Port, err = parsePort(port, "one number from 1 to 65535, such as "+usual); err != nil {
		return err
	}
	addresses, err := parseAddresses(host, port)
	switch {
	case err != nil:
		return err
	case addresses.IsValid() && !addresses.IsSingleIP():
		return &advice{why: "a proxy has one address", forms: []string{"HOST:" + port}}
	case addresses.IsValid():
		p.Host = addresses.Addr().String()
		return nil
	}
	p.Host, err = CanonicalName(host)
	return adviseAddress(err, port)
}

// credentials reads user and password, with percent encoding.
func (p *Proxy) credentials(s string) error {
	user, password, _ := strings.Cut(s, ":")
	var err error
	for _, part := range []struct {
		to   *string
		text string
	}{{&p.User, user}, {&p.Password, password}} {
		if *part.to, err = url.PathUnescape(part.text); err != nil {
			return errors.New("user or password of the proxy: a % that starts no percent encoding; write it as %25")
		}
		if strings.ContainsFunc(*part.to, unicode.IsControl) {
			return errors.New("user or password of the proxy: a control character")
		}
	}
	if p.User == "" || strings.Contains(p.User, ":") {
		return errors.New("the user of the proxy is empty or has a colon in it, which HTTP cannot say (RFC 7617)")
	}
	return nil
}
