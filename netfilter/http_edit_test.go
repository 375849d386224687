package netfilter

import (
	"strings"
	"testing"
)

// What is edited, and how. Nothing else of a connection changes.
func TestForwardEdited(t *testing.T) {
	const h2c = "Upgrade: h2c\r\n"
	settings := "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"
	method := func(m, request string) string { return strings.Replace(request, "POST", m, 1) }
	closing := func(request string) string {
		head, body, _ := strings.Cut(request, "\r\n\r\n")
		return head + "\r\nConnection: close\r\n\r\n" + body
	}
	for _, c := range []struct{ name, in, out string }{
		{"offer of curl", with("User-Agent: curl", "Accept: */*", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", settings),
			with("User-Agent: curl", "Accept: */*")},
		{"offer of Java", "GET /x HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nContent-Length: 0\r\nHost: good.test:8080\r\n" + settings + "\r\n" + h2c + "User-Agent: Java\r\n\r\n",
			"GET /x HTTP/1.1\r\nContent-Length: 0\r\nHost: good.test:8080\r\nUser-Agent: Java\r\n\r\n"},
		{"offer with a body", postWith("Content-Length: 5\r\n"+h2c+"Connection: upgrade,http2-settings\r\n"+settings) + "hello", post("hello")[:5] + strings.TrimPrefix(postWith("Content-Length: 5")+"hello", "POST ")},
		{"offer that Connection does not know", with("Upgrade: H2C", "X: y"), with("X: y")},
		{"other options stay", with("connection: TE, upgrade", "upgrade: h2c", "TE: trailers", "Connection: keep-alive"), with("TE: trailers", "Connection: TE, keep-alive")},
		{"GET with a body", method("GET", post("hello")), closing(method("GET", post("hello")))},
		{"DELETE with a body", method("DELETE", post("hello")), closing(method("DELETE", post("hello")))},
		{"HEAD with a body", method("HEAD", post("x")), closing(method("HEAD", post("x")))},
		{"GET with chunks", method("GET", chunked("5\r\nhello\r\n0\r\n\r\n")), closing(method("GET", chunked("5\r\nhello\r\n0\r\n\r\n")))},
		{"GET with a long body", method("GET", post(strings.Repeat("x", 2*directCopy))), closing(method("GET", post(strings.Repeat("x", 2*directCopy))))},
		{"that would go on", strings.Replace(method("GET", post("hello")), "Host", "Connection: keep-alive, TE\r\nHost", 1),
			strings.Replace(method("GET", post("hello")), "\r\n\r\n", "\r\nConnection: TE, close\r\n\r\n", 1)},
		{"both", strings.Replace(method("GET", post("hello")), "Host", h2c+"Connection: Upgrade\r\nHost", 1), closing(method("GET", post("hello")))},
	} {
		last := strings.Contains(c.out, "close\r\n")
		for _, before := range []string{"", get, post("hello")} {
			for _, way := range ways {
				out, err := forwardAll(way.of(before+c.in), never)
				if err != nil || out != before+c.out {
					t.Errorf("%s, %s: forwarded %q, error %v\nwant %q", c.name, way.name, out, err, before+c.out)
				}
				// What follows passes, or never reaches the origin.
				out, err = forwardAll(way.of(before+c.in+get), never)
				if last {
					checkRefusal(t, err, "after one of GET, HEAD or DELETE with a body")
				} else if err != nil {
					t.Errorf("%s, %s, and more: %v", c.name, way.name, err)
				}
				want := before + c.out
				if !last {
					want += get
				}
				if out != want {
					t.Errorf("%s, %s, and more: forwarded %q\nwant %q", c.name, way.name, out, want)
				}
			}
		}
		checkReadAlike(t, c.out)
	}
}
