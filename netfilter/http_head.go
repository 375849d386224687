package netfilter

import (
	"bytes"
	"strings"
)

// request is what of a request head decides where its body ends and what
// follows it.
type request struct {
	length  int64 // of the body, if not chunked
	chunked bool
	upgrade bool // it asks for WebSocket
	// plain means that it offers to go on with HTTP/2, which must not come
	// about: who asks for that has to do without (RFC 9113 section 3.1).
	plain bool
	// last means that nothing may follow it: a server that does not look for a
	// body there would take that for the next request.
	last bool
}

// parseHead judges a whole request head for the host name at port: lines that
// end with CR LF, of the bytes that [headScan] lets through, and an empty one. A
// *refusal is the only error.
//
// Refused, besides what names another host: HTTP/0.9, HTTP/2 without TLS, CONNECT, TRACE; folded fields, space before a colon, names
// that some server might read as the name of a framing field (Content_Length);
// Content-Length twice, as a list, beside Transfer-Encoding, or other than
// plain decimal digits; Transfer-Encoding twice, in HTTP/1.0, or other than
// "chunked"; a body of GET, HEAD and DELETE in HTTP/1.0; Expect other than "100-continue"; Connection that names one of
// the fields above, which a proxy at the origin would remove.
func parseHead(head []byte, name string, port uint16) (request, error) {
	line, fields, _ := bytes.Cut(head, crlf)
	start, err := parseRequestLine(line)
	if err != nil {
		return request{}, err
	}
	f, err := parseFields(fields)
	if err != nil {
		return request{}, err
	}
	if err := checkHost(start.target, f, name, port); err != nil {
		return request{}, err
	}
	return framing(start, f)
}

var crlf = []byte("\r\n")

type requestLine struct {
	method, target string
	old            bool // HTTP/1.0
}

// parseRequestLine reads a request line without its end (RFC 9112 section 3).
func parseRequestLine(line []byte) (requestLine, error) {
	foreign := func(err error) (requestLine, error) {
		err.(*refusal).foreign = true
		return requestLine{}, err
	}
	method, rest, ok := strings.Cut(string(line), " ")
	target, version, ok2 := strings.Cut(rest, " ")
	switch {
	case strings.HasPrefix(string(line), "PRI * HTTP/2"):
		return foreign(refuse("HTTP/2 without TLS"))
	case !ok, !ok2, len(method) > maxMethod, !consists(method, isMethodByte), target == "":
		return foreign(refuse("%q is not the first line of an HTTP/1 request", short(line)))
	case !strings.HasPrefix(version, "HTTP/"):
		return foreign(refuse("HTTP version %q", short(version)))
	case version != "HTTP/1.1" && version != "HTTP/1.0":
		return requestLine{}, refuse("HTTP version %q", short(version))
	case method == "CONNECT", method == "TRACE":
		return requestLine{}, refuse("HTTP method %s", method)
	case strings.ContainsAny(target, "\t#"):
		return requestLine{}, refuse("HTTP request target %q", short(target))
	case target[0] == '/', target == "*" && method == "OPTIONS":
	case len(target) >= len(absolute) && lowerASCII(target[:len(absolute)]) == absolute:
	default:
		return requestLine{}, refuse("HTTP request target %q", short(target))
	}
	return requestLine{method, target, version == "HTTP/1.0"}, nil
}

// absolute is how a target in absolute form begins (RFC 9112 section 3.2.2).
const absolute = "http://"
