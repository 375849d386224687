package netfilter

import (
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// What is refused, why, and that none of it reaches the origin: neither as the
// first request of a connection nor behind others.
func TestRefuseRequests(t *testing.T) {
	for _, c := range []struct{ name, in, reason string }{
		{"another host", "GET / HTTP/1.1\r\nHost: evil.test\r\n\r\n", `Host "evil.test" is not "good.test"`},
		{"a name below", "GET / HTTP/1.1\r\nHost: a.good.test\r\n\r\n", "is not"},
		{"a name above", "GET / HTTP/1.1\r\nHost: test\r\n\r\n", "is not"},
		{"a longer name", "GET / HTTP/1.1\r\nHost: good.test.evil.test\r\n\r\n", "is not"},
		{"an address", "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", "is not"},
		{"an address of version 6", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", "not a host name"},
		{"another port", "GET / HTTP/1.1\r\nHost: good.test:80\r\n\r\n", "not of port 8080"},
		{"no port behind the colon", "GET / HTTP/1.1\r\nHost: good.test:\r\n\r\n", "not of port 8080"},
		{"port with a zero", "GET / HTTP/1.1\r\nHost: good.test:08080\r\n\r\n", "not of port 8080"},
		{"port that overflows", "GET / HTTP/1.1\r\nHost: good.test:73616\r\n\r\n", "not of port 8080"},
		{"port with a sign", "GET / HTTP/1.1\r\nHost: good.test:+8080\r\n\r\n", "not of port 8080"},
		{"two ports", "GET / HTTP/1.1\r\nHost: good.test:8080:8080\r\n\r\n", "not of port 8080"},
		{"user", "GET / HTTP/1.1\r\nHost: good.test@evil.test\r\n\r\n", "not a host name"},
		{"user and password", "GET / HTTP/1.1\r\nHost: good.test:8080@evil.test\r\n\r\n", "not of port 8080"},
		{"list of hosts", "GET / HTTP/1.1\r\nHost: good.test, evil.test\r\n\r\n", "not a host name"},
		{"two hosts by a space", "GET / HTTP/1.1\r\nHost: good.test evil.test\r\n\r\n", "not a host name"},
		{"host with a path", "GET / HTTP/1.1\r\nHost: good.test/evil.test\r\n\r\n", "not a host name"},
		{"two trailing dots", "GET / HTTP/1.1\r\nHost: good.test..\r\n\r\n", "not a host name"},
		{"percent", "GET / HTTP/1.1\r\nHost: good%2etest\r\n\r\n", "not a host name"},
		{"no Host", "GET / HTTP/1.1\r\nAccept: */*\r\n\r\n", "without a Host"},
		{"no Host in HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", "without a Host"},
		{"no Host but an absolute form", "GET http://good.test/ HTTP/1.1\r\n\r\n", "without a Host"},
		{"empty Host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", "field line"},
		{"Host of a space", "GET / HTTP/1.1\r\nHost: \r\n\r\n", "field line"},
		{"Host twice", with("Host: evil.test"), "several Host"},
		{"the same Host twice", with("Host: good.test"), "several Host"},
		{"Host twice, in other case", with("hOST: evil.test"), "several Host"},
		{"evil Host first", "GET / HTTP/1.1\r\nHost: evil.test\r\nHost: good.test\r\n\r\n", "several Host"},
		{"space before the colon", with("Host : evil.test"), "field line"},
		{"tab before the colon", with("Host\t: evil.test"), "field line"},
		{"tab behind the colon", "GET / HTTP/1.1\r\nHost:\tgood.test\r\n\r\n", "field line"},
		{"space behind Host", "GET / HTTP/1.1\r\nHost: good.test \r\n\r\n", "field line"},
		{"folded", with("X: a", " Host: evil.test"), "folded"},
		{"folded by a tab", with("X: a", "\tb"), "folded"},
		{"folded Host", "GET / HTTP/1.1\r\nHost:\r\n good.test\r\n\r\n", "field line"},
		{"folded first field", "GET / HTTP/1.1\r\n Host: evil.test\r\nHost: good.test\r\n\r\n", "folded"},
		{"no colon", with("Nonsense"), "field line"},
		{"no name", with(": x"), "field line"},
		{"name with a space", with("X Y: z"), "field line"},
		{"name in quotes", with(`"Host": evil.test`), "field line"},
		{"name with a slash", with("X/Y: z"), "field line"},

		{"absolute form, another host", "GET http://evil.test/ HTTP/1.1\r\nHost: good.test\r\n\r\n", `Host "evil.test" is not "good.test"`},
		{"absolute form, another Host", "GET http://good.test/ HTTP/1.1\r\nHost: evil.test\r\n\r\n", `Host "evil.test" is not "good.test"`},
		{"absolute form, another port", "GET http://good.test:80/ HTTP/1.1\r\nHost: good.test\r\n\r\n", "not of port"},
		{"absolute form, port in one", "GET http://good.test:8080/ HTTP/1.1\r\nHost: good.test\r\n\r\n", "with Host"},
		{"absolute form with user", "GET http://good.test@evil.test/ HTTP/1.1\r\nHost: good.test\r\n\r\n", "not a host name"},
		{"absolute form with user and port", "GET http://good.test:8080@evil.test/ HTTP/1.1\r\nHost: good.test:8080\r\n\r\n", "not of port"},
		{"absolute form, backslash", `GET http://good.test\@evil.test/ HTTP/1.1` + "\r\nHost: good.test\r\n\r\n", "not a host name"},
		{"absolute form, query", "GET http://good.test?@evil.test/ HTTP/1.1\r\nHost: good.test\r\n\r\n", "not a host name"},
		{"absolute form, no authority", "GET http:///evil.test/ HTTP/1.1\r\nHost: good.test\r\n\r\n", "not a host name"},
		{"https", "GET https://good.test/ HTTP/1.1\r\nHost: good.test\r\n\r\n", "target"},
		{"other scheme", "GET ftp://good.test/ HTTP/1.1\r\nHost: good.test\r\n\r\n", "target"},
		{"scheme without slashes", "GET http:good.test HTTP/1.1\r\nHost: good.test\r\n\r\n", "target"},
		{"target without slash", "GET good.test HTTP/1.1\r\nHost: good.test\r\n\r\n", "target"},
		{"asterisk of GET", "GET * HTTP/1.1\r\nHost: good.test\r\n\r\n", "target"},
		{"fragment", "GET /#@evil.test HTTP/1.1\r\nHost: good.test\r\n\r\n", "target"},
		{"tab in the target", "GET /\tHTTP/1.1 HTTP/1.1\r\nHost: good.test\r\n\r\n", "target"},
		{"CONNECT", "CONNECT evil.test:443 HTTP/1.1\r\nHost: good.test\r\n\r\n", "method CONNECT"},
		{"CONNECT to the host itself", "CONNECT good.test:8080 HTTP/1.1\r\nHost: good.test:8080\r\n\r\n", "method CONNECT"},
		{"TRACE", "TRACE / HTTP/1.1\r\nHost: good.test\r\n\r\n", "method TRACE"},

		{"HTTP/0.9", "GET /\r\n", "first line"},
		{"HTTP/0.9 with a space", "GET / \r\n", "HTTP version"},
		{"HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2 without TLS"},
		{"HTTP/1.2", "GET / HTTP/1.2\r\nHost: good.test\r\n\r\n", "version"},
		{"HTTP/01.1", "GET / HTTP/01.1\r\nHost: good.test\r\n\r\n", "version"},
		{"http/1.1", "GET / http/1.1\r\nHost: good.test\r\n\r\n", "version"},
		{"version and more", "GET / HTTP/1.1 HTTP/1.1\r\nHost: good.test\r\n\r\n", "version"},
		{"two spaces", "GET  / HTTP/1.1\r\nHost: good.test\r\n\r\n", "first line"},
		{"space at the end", "GET / HTTP/1.1 \r\nHost: good.test\r\n\r\n", "version"},
		{"tab for space", "GET\t/ HTTP/1.1\r\nHost: good.test\r\n\r\n", "first line"},
		{"lower case method", "get / HTTP/1.1\r\nHost: good.test\r\n\r\n", "first line"},
		{"long method", strings.Repeat("A", 25) + " / HTTP/1.1\r\nHost: good.test\r\n\r\n", "first line"},
		{"empty line first", "\r\nGET / HTTP/1.1\r\nHost: good.test\r\n\r\n", "empty line"},
		{"a reply", "HTTP/1.1 200 OK\r\n\r\n", "first line"},

		{"LF for CR LF", "GET / HTTP/1.1\nHost: good.test\n\n", "LF without CR"},
		{"LF behind a field", with("X: a\nHost: evil.test"), "LF without CR"},
		{"LF at the end", "GET / HTTP/1.1\r\nHost: good.test\r\n\n", "LF without CR"},
		{"CR alone", with("X: a\rHost: evil.test"), "CR without LF"},
		{"CR CR LF", "GET / HTTP/1.1\r\nHost: good.test\r\r\n\r\n", "CR without LF"},
		{"CR at the end", "GET / HTTP/1.1\r\nHost: good.test\r\n\r\r\n", "CR without LF"},
		{"NUL in the target", "GET /\x00 HTTP/1.1\r\nHost: good.test\r\n\r\n", "byte 0x00"},
		{"NUL in Host", "GET / HTTP/1.1\r\nHost: good.test\x00.evil.test\r\n\r\n", "byte 0x00"},
		{"NUL in a field", with("X: \x00"), "byte 0x00"},
		{"vertical tab", with("X: a\x0bHost: evil.test"), "byte 0x0b"},
		{"form feed", with("X: a\x0cHost: evil.test"), "byte 0x0c"},
		{"escape", with("X: \x1b[2J"), "byte 0x1b"},
		{"DEL", with("X: \x7f"), "byte 0x7f"},
		{"next line", with("X: a\x85Host: evil.test"), "byte 0x85"},
		{"no-break space", with("Host\xa0: evil.test"), "byte 0xa0"},
		{"UTF-8", "GET /ü HTTP/1.1\r\nHost: good.test\r\n\r\n", "byte 0xc3"},

		{"both lengths", postWith("Content-Length: 5\r\nTransfer-Encoding: chunked") + "0\r\n\r\n", "Transfer-Encoding and Content-Length"},
		{"both lengths, otherwise round", postWith("Transfer-Encoding: chunked\r\nContent-Length: 5") + "0\r\n\r\n", "Transfer-Encoding and Content-Length"},
		{"both lengths, other case", postWith("content-length: 5\r\ntransfer-encoding: chunked") + "0\r\n\r\n", "Transfer-Encoding and Content-Length"},
		{"length twice", postWith("Content-Length: 5\r\nContent-Length: 6") + "hello", "several Content-Length"},
		{"the same length twice", postWith("Content-Length: 5\r\nContent-Length: 5") + "hello", "several Content-Length"},
		{"list of lengths", postWith("Content-Length: 5, 5") + "hello", "Content-Length"},
		{"length with a sign", postWith("Content-Length: +5") + "hello", "Content-Length"},
		{"negative length", postWith("Content-Length: -1") + "hello", "Content-Length"},
		{"hexadecimal length", postWith("Content-Length: 0x5") + "hello", "Content-Length"},
		{"octal length", postWith("Content-Length: 010") + "0123456789", "Content-Length"},
		{"length of zeros", postWith("Content-Length: 00"), "Content-Length"},
		{"length with a point", postWith("Content-Length: 5.0") + "hello", "Content-Length"},
		{"length with an underscore", postWith("Content-Length: 1_0") + "0123456789", "Content-Length"},
		{"length with space inside", postWith("Content-Length: 1 0") + "0123456789", "Content-Length"},
		{"length with space behind", postWith("Content-Length: 5 ") + "hello", "field line"},
		{"length with a tab before", postWith("Content-Length:\t5") + "hello", "field line"},
		{"length with two spaces before", postWith("Content-Length:  5") + "hello", "field line"},
		{"empty length", postWith("Content-Length:") + "", "field line"},
		{"length beyond 64 bits", postWith("Content-Length: 18446744073709551621") + "hello", "Content-Length"},
		{"length of 16 digits", postWith("Content-Length: 1000000000000000") + "hello", "Content-Length"},
		{"length by another name, with digits", postWith("content-length0: 5\r\nContent-Length9: 5\r\nContent{Length: 5") + "hello", "field line"},
		{"length by another name", postWith("Content_Length: 5") + "hello", `field "Content_Length"`},
		{"length by a third name", postWith("Content.Length: 5") + "hello", `field "Content.Length"`},
		{"space before the colon of the length", postWith("Content-Length : 5") + "hello", "field line"},

		{"coding twice", postWith("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked") + "0\r\n\r\n", "Transfer-Encoding"},
		{"coding twice, one unknown", postWith("Transfer-Encoding: chunked\r\nTransfer-Encoding: cow") + "0\r\n\r\n", "Transfer-Encoding"},
		{"identity", postWith("Transfer-Encoding: identity") + "0\r\n\r\n", "Transfer-Encoding"},
		{"gzip and chunked", postWith("Transfer-Encoding: gzip, chunked") + "0\r\n\r\n", "Transfer-Encoding"},
		{"chunked, twice in a list", postWith("Transfer-Encoding: chunked, chunked") + "0\r\n\r\n", "Transfer-Encoding"},
		{"Chunked", postWith("Transfer-Encoding: Chunked") + "0\r\n\r\n", "Transfer-Encoding"},
		{"xchunked", postWith("Transfer-Encoding: xchunked") + "0\r\n\r\n", "Transfer-Encoding"},
		{"chunked with a parameter", postWith("Transfer-Encoding: chunked;a=b") + "0\r\n\r\n", "Transfer-Encoding"},
		{"chunked in quotes", postWith(`Transfer-Encoding: "chunked"`) + "0\r\n\r\n", "Transfer-Encoding"},
		{"chunked with a comma", postWith("Transfer-Encoding: chunked,") + "0\r\n\r\n", "Transfer-Encoding"},
		{"chunked with space behind", postWith("Transfer-Encoding: chunked ") + "0\r\n\r\n", "field line"},
		{"chunked with a tab", postWith("Transfer-Encoding:\tchunked") + "0\r\n\r\n", "field line"},
		{"empty coding", postWith("Transfer-Encoding:") + "0\r\n\r\n", "field line"},
		{"coding by another name", postWith("Transfer_Encoding: chunked") + "0\r\n\r\n", `field "Transfer_Encoding"`},
		{"coding and a space", postWith("Transfer-Encoding : chunked") + "0\r\n\r\n", "field line"},
		{"coding in HTTP/1.0", "POST / HTTP/1.0\r\nHost: good.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.0 request with Transfer-Encoding"},
		{"coding folded", postWith("Transfer-Encoding:\r\n chunked") + "0\r\n\r\n", "field line"},

		{"GET of HTTP/1.0 with a body", strings.Replace(strings.Replace(post("x"), "POST", "GET", 1), "1.1", "1.0", 1), "HTTP/1.0 GET with a body"},
		{"odd Expect", postWith("Expect: y 100-continue\r\nContent-Length: 0"), "Expect"},
		{"Expect twice", postWith("Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 0"), "Expect"},
		{"Connection: Host", with("Connection: close, hOST"), `removes "host"`},
		{"Connection: Content-Length", postWith("Content-Length: 1\r\nConnection: Content-Length") + "x", `removes "content-length"`},
		{"Connection: Transfer_Encoding", with("Connection: Transfer_Encoding"), "removes"},
		{"Connection with an empty option", with("Connection: close,,x"), "Connection"},
		{"Connection with a space", with("Connection: close x"), "Connection"},

		{"upgrade to h2c or websocket", with("Connection: Upgrade", "Upgrade: h2c, websocket"), "upgrade to"},
		{"upgrade twice", with("Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c"), "upgrade to"},
		{"upgrade to TLS", with("Connection: Upgrade", "Upgrade: TLS/1.0"), "upgrade to"},
		{"websocket/13", with("Connection: Upgrade", "Upgrade: websocket/13"), "upgrade to"},
		{"upgrade without the option", with("Upgrade: websocket"), "malformed HTTP upgrade"},
		{"upgrade by POST", strings.Replace(with("Connection: upgrade", "Upgrade: websocket"), "GET", "POST", 1), "malformed HTTP upgrade"},
		{"upgrade with a length", with("Connection: upgrade", "Upgrade: websocket", "Content-Length: 0"), "malformed HTTP upgrade"},
		{"upgrade with a body", with("Connection: upgrade", "Upgrade: websocket", "Content-Length: 3"), "malformed HTTP upgrade"},
		{"upgrade in HTTP/1.0", strings.Replace(with("Connection: upgrade", "Upgrade: websocket"), "HTTP/1.1", "HTTP/1.0", 1), "malformed HTTP upgrade"},

		{"a head of 64 KiB and one byte", headOf(maxHead + 1), "more than 65536 bytes"},
		{"an endless head", "GET / HTTP/1.1\r\nX: " + strings.Repeat("x", 1<<20), "more than 65536 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for before, name := range map[string]string{"": "alone", get: "second", post("hello"): "behind a body", chunked("1\r\nx\r\n0\r\n\r\n"): "behind chunks"} {
				for _, way := range ways {
					out, err := forwardAll(way.of(before+c.in+get), never)
					if checkRefusal(t, err, c.reason); out != before || t.Failed() {
						t.Fatalf("%s, %s: forwarded %s, error %v", name, way.name, excerpt(out), err)
					}
				}
			}
		})
	}
}

// A request is refused by what is there already: who sent it may wait for the
// answer, and never send the rest.
func TestRefuseEarly(t *testing.T) {
	for _, in := range []string{"GET /\r\n", "PRI * HTTP/2.0\r\n", "CONNECT evil.test:443 HTTP/1.1\r\n", "GET / HTTP/1.1\n", get + "\x00"} {
		_, err := forwardAll(io.MultiReader(strings.NewReader(in), iotest.ErrReader(errors.New("it read on"))), never)
		var r *refusal
		if !errors.As(err, &r) {
			t.Errorf("%q: %v", in, err)
		}
	}
}
