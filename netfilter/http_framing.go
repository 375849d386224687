package netfilter

import (
	"slices"
	"strings"
)

// framing tells where the body of a request ends, or refuses one of which
// servers may differ (RFC 9112 section 6).
func framing(start requestLine, f fields) (request, error) {
	var r request
	switch te, cl := f.transferEncoding, f.contentLength; {
	case len(te) > 0 && len(cl) > 0:
		return r, refuse("HTTP request with Transfer-Encoding and Content-Length")
	case len(te) > 1, len(te) == 1 && te[0] != "chunked":
		return r, refuse("HTTP Transfer-Encoding %q", short(strings.Join(te, ", ")))
	case len(te) == 1 && start.old:
		return r, refuse("HTTP/1.0 request with Transfer-Encoding")
	case len(cl) > 1:
		return r, refuse("HTTP request with several Content-Length fields")
	case len(te) == 1:
		r.chunked = true
	case len(cl) == 1:
		n, ok := decimal(cl[0], 15) // beyond any body; below 2^53, the most that some can count to
		if !ok {
			return r, refuse("HTTP Content-Length %q", short(cl[0]))
		}
		r.length = n
	}
	switch start.method {
	case "GET", "HEAD", "DELETE":
		r.last = r.chunked || r.length > 0
	}
	if r.last && start.old {
		return r, refuse("HTTP/1.0 %s with a body, which servers read differently", start.method)
	}
	if len(f.expect) > 1 || len(f.expect) == 1 && lowerASCII(f.expect[0]) != "100-continue" {
		return r, refuse("HTTP Expect %q", short(strings.Join(f.expect, ", ")))
	}
	options, err := connection(f)
	if err != nil {
		return r, err
	}
	if len(f.upgrade) == 1 && lowerASCII(f.upgrade[0]) == "h2c" {
		r.plain = true
		return r, nil
	}
	if len(f.upgrade) == 0 {
		return r, nil
	}
	r.upgrade = true
	switch {
	case len(f.upgrade) > 1, lowerASCII(f.upgrade[0]) != "websocket":
		return r, refuse("HTTP upgrade to %q", short(strings.Join(f.upgrade, ", ")))
	case !slices.Contains(options, "upgrade"), start.old, start.method != "GET", len(f.contentLength) > 0, r.last:
		return r, refuse("malformed HTTP upgrade")
	}
	return r, nil
}

// connection reads the options of the Connection field, in lower case (RFC 9110
// section 7.6.1).
func connection(f fields) (options []string, err error) {
	for _, value := range f.connection {
		for option := range strings.SplitSeq(value, ",") {
			option = lowerASCII(strings.Trim(option, " \t"))
			switch {
			case !consists(option, isToken):
				return nil, refuse("HTTP Connection %q", short(value))
			case f.slot(likeField(option)) != nil:
				if option != "upgrade" {
					return nil, refuse("HTTP Connection that removes %q", short(option))
				}
			}
			options = append(options, option)
		}
	}
	return options, nil
}

// decimal reads one to most digits, at most 18, without sign or leading zeros:
// "010" is eight to some.
func decimal(s string, most int) (int64, bool) {
	if s == "" || len(s) > most || s[0] == '0' && s != "0" {
		return 0, false
	}
	var n int64
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int64(s[i]-'0')
	}
	return n, true
}
