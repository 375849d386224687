package netfilter

import (
	"bytes"
	"slices"
	"strings"
)

// edited is a request head that [parseHead] has let through, without an offer of
// other protocols: the fields Upgrade and HTTP2-Settings, and the options of
// Connection that go with them. If it is last, Connection says so.
func edited(head []byte, last bool) []byte {
	out := make([]byte, 0, len(head)+len("Connection: close\r\n"))
	line, rest, _ := bytes.Cut(head, crlf)
	out = append(append(out, line...), crlf...)
	var options []string
	for {
		line, after, _ := bytes.Cut(rest, crlf)
		if len(line) == 0 {
			break
		}
		rest = after
		name, value, _ := strings.Cut(string(line), ":")
		switch lowerASCII(name) {
		case "connection":
			for option := range strings.SplitSeq(value, ",") {
				options = append(options, strings.Trim(option, " \t"))
			}
		case "upgrade", "http2-settings":
		default:
			out = append(append(out, line...), crlf...)
		}
	}
	options = slices.DeleteFunc(options, func(option string) bool {
		switch lowerASCII(option) {
		case "upgrade", "http2-settings":
			return true
		case "close", "keep-alive":
			return last
		}
		return false
	})
	if last {
		options = append(options, "close")
	}
	if len(options) > 0 {
		out = append(out, "Connection: "+strings.Join(options, ", ")+"\r\n"...)
	}
	return append(out, crlf...)
}
