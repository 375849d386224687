package egress

// ruleRows are what each kind of rule allows, and what it stops at.
var ruleRows = []row{
	{
		id: "use", tries: "a program that asks only for configured families", rules: []string{"good.example.com:443"},
		run:   []string{"sh", "-c", "getent ahostsv4 good.example.com | sed -n 's/.*STREAM.*/found/p'"},
		boxed: "found", heard: nil,
	},
	{
		id: "use", tries: "a port that is not the usual one", rules: []string{"good.example.com:8080,8443"},
		run:   []string{"curl", "-sS", "http://good.example.com:8080/", "https://good.example.com:8443/"},
		boxed: "HTTP/1.1 http good.example.com:8080 HTTP/2.0 https good.example.com:8443",
		heard: []string{"dns good.example.com", "tcp good:8080", "bytes good:8080", "tcp good:8443", "bytes good:8443"},
	},
	{
		id: "use", tries: "a network of IPv6", rules: []string{"[fd12:3456::/32]:7000"},
		run:   []string{"{probe}", "say", "tcp", "[fd12:3456::1]:7000", "six"},
		boxed: "six", heard: []string{"tcp [fd12:3456::1]:7000", "bytes [fd12:3456::1]:7000"},
	},
	{
		id: "E-3", tries: "a network with a metadata service in it", rules: []string{"169.254.0.0/16:7000"},
		run:  []string{"sh", "-c", "{probe} say tcp 169.254.7.7:7000 link; {probe} say tcp 169.254.169.254:7000 {secret}"},
		bare: "~link s", boxed: "link ECONNRESET|link EPIPE|link EOF",
		heard:   []string{"tcp 169.254.7.7:7000", "bytes 169.254.7.7:7000"},
		refused: []string{"refused tcp 169.254.169.254:7000"},
	},
	{
		id: "use", tries: "a metadata service that a rule names", rules: []string{"169.254.169.254:80"},
		run:   []string{"curl", "-sS", "http://169.254.169.254/"},
		boxed: "HTTP/1.1 http 169.254.169.254", heard: []string{"tcp 169.254.169.254:80", "bytes 169.254.169.254:80"},
	},
	{
		id: "E-6", tries: "a name below a suffix", rules: []string{"*.cdn.example.net:443"},
		run:   []string{"{probe}", "get", "https://a.b.cdn.example.net/"},
		boxed: "HTTP/2.0 https a.b.cdn.example.net", heard: https("a.b.cdn.example.net", "cdn:443"),
	},
	{
		id: "E-6", tries: "the suffix itself, one that only ends like it, and one too deep", rules: []string{"*.cdn.example.net:443"},
		run:  []string{"{probe}", "dial", "tcp", "cdn.example.net:443", "evilcdn.example.net:443", "a.b.c.d.cdn.example.net:443"},
		bare: "connected connected connected", boxed: "NXDOMAIN NXDOMAIN NXDOMAIN",
		refused: []string{"refused dns cdn.example.net allow cdn.example.net:443", "refused dns evilcdn.example.net allow evilcdn.example.net:443",
			"refused dns a.b.c.d.cdn.example.net allow a.b.c.d.cdn.example.net:443"},
	},
	{
		id: "E-11", tries: "other ports of an allowed name", rules: []string{"good.example.com:443"},
		run:  []string{"{probe}", "dial", "tcp", "good.example.com:80", "good.example.com:8080", "good.example.com:22"},
		bare: "connected connected connected", boxed: "ECONNREFUSED ECONNREFUSED ECONNREFUSED",
		refused: []string{"refused tcp good.example.com:80 allow good.example.com:80",
			"refused tcp good.example.com:8080 allow good.example.com:8080", "refused tcp good.example.com:22 allow good.example.com:22"},
	},
	{
		id: "use", tries: "ports by list and range", rules: []string{"tcp://good.example.com:22,7000-7001"},
		run:  []string{"sh", "-c", "{probe} say tcp good.example.com:22 x; {probe} say tcp good.example.com:7000 x; {probe} say tcp good.example.com:25 x"},
		bare: "welcome x welcome", boxed: "welcome x ECONNREFUSED",
		heard:   []string{"dns good.example.com", "tcp good:22", "bytes good:22", "tcp good:7000", "bytes good:7000"},
		refused: []string{"refused tcp good.example.com:25 allow good.example.com:25"},
	},
	{
		id: "use", tries: "an international name", rules: []string{"bücher.example.com:443"},
		run:   []string{"{probe}", "get", "https://xn--bcher-kva.example.com/"},
		boxed: "HTTP/2.0 https xn--bcher-kva.example.com", heard: https("xn--bcher-kva.example.com", "good:443"),
	},
	{
		id: "E14", tries: "a name that has only an IPv6 address", rules: []string{"six.example.com:443"},
		run:   []string{"curl", "-sS", "https://six.example.com/"},
		boxed: "HTTP/2.0 https six.example.com", heard: https("six.example.com", "six:443"),
	},
	{
		id: "use", tries: "an IPv6 address", rules: []string{"[" + addressSix + "]:7000"},
		run:   []string{"{probe}", "say", "tcp", "[" + addressSix + "]:7000", "six"},
		boxed: "six", heard: []string{"tcp six:7000", "bytes six:7000"},
	},
	{
		id: "use", tries: "an address that IPv6 maps", rules: []string{addressGood + ":7000"},
		run:   []string{"python3", "-c", "import socket; s = socket.socket(socket.AF_INET6); s.connect(('::ffff:" + addressGood + "', 7000)); s.sendall(b'm'); print(s.recv(9).decode())"},
		boxed: "m", heard: []string{"tcp good:7000", "bytes good:7000"},
	},
	{
		id: "use", tries: "an address, with TLS for no name", rules: []string{addressGood + ":443"},
		run:   []string{"curl", "-sSk", "https://" + addressGood + "/"},
		boxed: "HTTP/2.0 https " + addressGood, heard: []string{"tcp good:443", "bytes good:443"},
	},
	{
		id: "use", tries: "a network, and what is beside it", rules: []string{"10.20.30.0/24:7000"},
		run: []string{"sh", "-c", "{probe} say tcp 10.20.30.40:7000 in; {probe} say tcp 10.20.31.40:7000 {secret}; {probe} say tcp 10.20.30.40:22 {secret}"},
		// Where a rule has many addresses, others are accepted, and then reset.
		bare: "~in s", boxed: "in ECONNRESET ECONNREFUSED|in EPIPE ECONNREFUSED|in EOF ECONNREFUSED",
		heard:   []string{"tcp 10.20.30.40:7000", "bytes 10.20.30.40:7000"},
		refused: []string{"refused tcp 10.20.31.40:7000 allow 10.20.31.40:7000", "refused tcp 10.20.30.40:22 allow 10.20.30.40:22"},
	},
	{
		id: "use", tries: "a service on the host's loopback that a rule names", rules: []string{"127.0.0.1:8001"},
		run:   []string{"{probe}", "say", "tcp", "127.0.0.1:8001", "host"},
		boxed: "host", heard: []string{"tcp 127.0.0.1:8001", "bytes 127.0.0.1:8001"},
	},
	{
		id: "use", tries: "a service of the host's network address that a rule names", rules: []string{hostLAN + ":8002"},
		run:   []string{"{probe}", "say", "tcp", "{lan}:8002", "host"},
		boxed: "host", heard: []string{"tcp lan:8002", "bytes lan:8002"},
	},
	{
		id: "use", tries: "a private address by a name, with a rule for each", rules: []string{"private.example.com:80", "10.20.30.40:80"},
		run:   []string{"curl", "-sS", "http://private.example.com/"},
		boxed: "HTTP/1.1 http private.example.com", heard: https("private.example.com", "10.20.30.40:80"),
	},
	{
		id: "E-3", tries: "the same, where the rule for the address has another port", rules: []string{"private.example.com:80", "10.20.30.40:443"},
		run:  []string{"curl", "-sS", "http://private.example.com/{secret}"},
		bare: "HTTP/1.1 http private.example.com", boxed: cut,
		heard: []string{"dns private.example.com"}, refused: []string{"refused tcp private.example.com:80 allow 10.20.30.40:80"},
	},
	{
		id: "use", tries: "a name of the host's own file", rules: []string{"hosted.example.org:80"},
		run:   []string{"curl", "-sS", "http://hosted.example.org/"},
		boxed: "HTTP/1.1 http hosted.example.org", heard: []string{"tcp hosted:80", "bytes hosted:80"},
	},
	{
		id: "use", tries: "a name about which the host's own file knows better", rules: []string{"shadowed.example.com:80"},
		run:   []string{"curl", "-sS", "http://shadowed.example.com/"},
		boxed: "HTTP/1.1 http shadowed.example.com", heard: []string{"tcp good:80", "bytes good:80"},
	},
	{
		id: "E-3", tries: "a name that the host's own file blocks", rules: []string{"blocked.example.com:80"},
		run:  []string{"curl", "-sS", "http://blocked.example.com/{secret}"},
		bare: "HTTP/1.1 http blocked.example.com", boxed: cut,
		refused: []string{"refused tcp blocked.example.com:80 allow 127.0.0.1:80"},
	},
	{
		id: "use", tries: "a name whose first address does not answer", rules: []string{"tcp://halfdead.example.com:7777"},
		run:   []string{"{probe}", "say", "tcp", "halfdead.example.com:7777", "second"},
		boxed: "second", heard: []string{"dns halfdead.example.com", "?tcp 93.184.215.99:7777", "tcp good:7777", "bytes good:7777"},
	},
}
