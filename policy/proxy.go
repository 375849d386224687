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

// parseProxy reads http://USER:PASSWORD@HOST:PORT. Errors quote nothing of what
// may be a password.
func parseProxy(s string) (*Proxy, error) {
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
	host, port, err := splitPorts(rest)
	if err != nil {
		return nil, err
	}
	if p.Port, err = parsePort(port); err != nil {
		return nil, err
	}
	addresses, err := parseAddresses(host)
	switch {
	case err != nil:
		return nil, err
	case !addresses.IsValid():
		p.Host, err = CanonicalName(host)
	case !addresses.IsSingleIP():
		err = errors.New("a proxy has one address; " + want)
	default:
		p.Host = addresses.Addr().String()
	}
	if err != nil {
		return nil, err
	}
	return p, nil
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
