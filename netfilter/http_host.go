package netfilter

import "strings"

// checkHost refuses a request for another host than name at port.
func checkHost(target string, f fields, name string, port uint16) error {
	switch {
	case len(f.host) == 0:
		return refuse("HTTP request without a Host")
	case len(f.host) > 1:
		return refuse("HTTP request with several Host fields")
	}
	if err := checkAuthority(f.host[0], name, port); err != nil {
		return err
	}
	if target[0] == '/' || target == "*" {
		return nil
	}
	// "When a proxy receives a request with an absolute-form of
	// request-target, the proxy MUST ignore the received Host header field",
	// and what is no proxy may believe either. A query right after the
	// authority is refused with it: some look for an @ beyond the "?".
	authority, _, _ := strings.Cut(target[len(absolute):], "/")
	if err := checkAuthority(authority, name, port); err != nil {
		return err
	}
	if lowerASCII(authority) != lowerASCII(f.host[0]) {
		return refuse("HTTP request for %q with Host %q", short(authority), short(f.host[0]))
	}
	return nil
}

// checkAuthority refuses an authority, host[:port], that is not name at port.
// Without a port it means whatever port it was sent to, as servers take it.
func checkAuthority(authority, name string, port uint16) error {
	host, digits, hasPort := strings.Cut(authority, ":")
	got, ok := wireName(host)
	switch {
	case !ok:
		return refuse("HTTP Host %q is not a host name", short(authority))
	case got != name:
		return refuse("HTTP Host %q is not %q", short(got), name)
	case !hasPort:
		return nil
	}
	if n, ok := decimal(digits, 5); !ok || n != int64(port) {
		return refuse("HTTP Host %q is not of port %d", short(authority), port)
	}
	return nil
}
