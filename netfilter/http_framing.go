package netfilter

import "strings"

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
		if r.chunked || r.length > 0 {
			return r, refuse("HTTP %s with a body, which servers read differently", start.method)
		}
	}
	if len(f.expect) > 1 || len(f.expect) == 1 && lowerASCII(f.expect[0]) != "100-continue" {
		return r, refuse("HTTP Expect %q", short(strings.Join(f.expect, ", ")))
	}
	upgradable, err := connection(f)
	if err != nil || len(f.upgrade) == 0 {
		return r, err
	}
	r.upgrade = true
	switch {
	case len(f.upgrade) > 1, lowerASCII(f.upgrade[0]) != "websocket":
		return r, refuse("HTTP upgrade to %q", short(strings.Join(f.upgrade, ", ")))
	case !upgradable, start.old, start.method != "GET", len(f.contentLength) > 0:
		return r, refuse("malformed HTTP upgrade")
	}
	return r, nil
}

// connection reads the options of the Connection field and reports whether
// they have "upgrade" (RFC 9110 section 7.6.1, 7.8).
func connection(f fields) (upgrade bool, err error) {
	for _, value := range f.connection {
		for option := range strings.SplitSeq(value, ",") {
			option = lowerASCII(strings.Trim(option, " \t"))
			switch {
			case !consists(option, isToken):
				return false, refuse("HTTP Connection %q", short(value))
			case option == "upgrade":
				upgrade = true
			case f.slot(likeField(option)) != nil:
				return false, refuse("HTTP Connection that removes %q", short(option))
			}
		}
	}
	return upgrade, nil
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
