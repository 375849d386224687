package egress

// protocolRows are things that a connection has to bear, whatever it carries.
var protocolRows = []row{
	{
		id: "use", tries: "both ways at once, and the end of one before the other", rules: []string{"tcp://good.example.com:7000"}, slow: true,
		run:   []string{"{probe}", "pour", "good.example.com:7000", "33554432"},
		boxed: "came back", heard: https("good.example.com", "good:7000"),
	},
	{
		id: "use", tries: "an upload over plain HTTP", rules: []string{"good.example.com:80"}, slow: true,
		run:   []string{"{probe}", "post", "http://good.example.com/sum", "33554432"},
		boxed: "arrived", heard: https("good.example.com", "good:80"),
	},
	{
		id: "use", tries: "an upload over TLS", rules: []string{"good.example.com:443"}, slow: true,
		run:   []string{"{probe}", "post", "https://good.example.com/sum", "33554432"},
		boxed: "arrived", heard: https("good.example.com", "good:443"),
	},
	{
		id: "use", tries: "a download over TLS", rules: []string{"good.example.com:443"}, slow: true,
		run:   []string{"curl", "-sS", "-o", "/dev/null", "-w", "%{size_download}", "https://good.example.com/bytes/33554432"},
		boxed: "33554432", heard: https("good.example.com", "good:443"),
	},
	{
		id: "use", tries: "a server that speaks first", rules: []string{"tcp://good.example.com:22"},
		run:   []string{"{probe}", "say", "tcp", "good.example.com:22", ""},
		boxed: "welcome", heard: []string{"dns good.example.com", "tcp good:22"},
	},
	{
		id: "use", tries: "a server that speaks first, where only TLS and HTTP may", rules: []string{"good.example.com:22"},
		run:  []string{"python3", "-c", "import socket\ntry: print(socket.create_connection(('good.example.com', 22)).recv(99).decode())\nexcept OSError as e: print(type(e).__name__)"},
		bare: "welcome", boxed: "ConnectionResetError", heard: []string{"dns good.example.com", "tcp good:22"},
		refused: []string{"refused tcp good.example.com:22 allow tcp://good.example.com:22"},
	},
	{
		id: "use", tries: "a protocol of lines of text, where only TLS and HTTP may", rules: []string{"good.example.com:7000"},
		run:  []string{"{probe}", "say", "tcp", "good.example.com:7000", `EHLO {secret}\r\n`},
		bare: "~EHLO", boxed: reset, heard: []string{"dns good.example.com", "tcp good:7000"},
		refused: []string{"refused tcp good.example.com:7000 allow tcp://good.example.com:7000"},
	},
	{
		id: "use", tries: "a connection without a byte", rules: []string{"good.example.com:443"},
		run:   []string{"{probe}", "dial", "tcp", "good.example.com:443"},
		boxed: "connected", heard: empty("good.example.com", "good:443"),
	},
	{
		// The server, which does not ask for them in line, loses urgent bytes.
		id: "use", tries: "an urgent byte", rules: []string{"tcp://good.example.com:7000"},
		run: []string{"python3", "-c", "import socket; s = socket.create_connection(('good.example.com', 7000)); s.sendall(b'a'); s.send(b'b', socket.MSG_OOB); " +
			"s.sendall(b'c'); s.shutdown(1); print(b''.join(iter(lambda: s.recv(9), b'')).decode())"},
		bare: "ac", boxed: "abc", heard: https("good.example.com", "good:7000"),
	},
	{
		id: "use", tries: "a server that resets", rules: []string{"tcp://good.example.com:7002"},
		run:   []string{"{probe}", "say", "tcp", "good.example.com:7002", "x"},
		boxed: reset, heard: https("good.example.com", "good:7002"),
	},
	{
		id: "use", tries: "a port that nobody listens on", rules: []string{"tcp://good.example.com:7003"},
		run:  []string{"{probe}", "say", "tcp", "good.example.com:7003", "x"},
		bare: "ECONNREFUSED", boxed: reset, heard: []string{"dns good.example.com", "tcp good:7003"},
		refused: []string{"failed tcp good.example.com:7003"},
	},
	{
		id: "use", tries: "a WebSocket over plain HTTP", rules: []string{"good.example.com:80"},
		run: []string{"{probe}", "raw", "good.example.com:80",
			`GET /socket HTTP/1.1\r\nHost: good.example.com\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
			`after\n`},
		boxed: "101 after", heard: https("good.example.com", "good:80"),
	},
	{
		id: "use", tries: "pipelined requests", rules: []string{"good.example.com:80"},
		run: []string{"{probe}", "raw", "good.example.com:80",
			`GET /1 HTTP/1.1\r\nHost: good.example.com\r\n\r\nPOST /sum HTTP/1.1\r\nHost: GOOD.example.com:80\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /3 HTTP/1.1\r\nHost: good.example.com\r\nConnection: close\r\n\r\n`},
		boxed: "200 200 200", heard: https("good.example.com", "good:80"),
	},
	{
		id: "use", tries: "its own service on its own loopback", rules: nil,
		run:   []string{"sh", "-c", "{probe} serve 127.0.0.1:0 </dev/null | sed s/[0-9][0-9]*/port/"},
		bare:  "n/a: nothing leaves",
		boxed: "port ended",
	},
	{
		id: "use", tries: "its own service on every address of IPv6 and IPv4", rules: []string{"good.example.com:443"},
		run:   []string{"sh", "-c", "{probe} serve [::]:0 </dev/null | sed s/[0-9][0-9]*/port/"},
		bare:  "n/a: nothing leaves",
		boxed: "port ended",
	},
	{
		id: "E-9", tries: "QUIC first, then TLS", rules: []string{"good.example.com:443"},
		run:  []string{"sh", "-c", `{probe} say udp good.example.com:443 quic; {probe} get https://good.example.com/`},
		bare: "quic HTTP/2.0 https good.example.com", boxed: "ECONNREFUSED HTTP/2.0 https good.example.com",
		heard: https("good.example.com", "good:443"), refused: []string{"refused udp good.example.com:443"},
	},
}
