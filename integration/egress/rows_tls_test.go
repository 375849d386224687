package egress

// hello is a row that begins TLS with good.example.com in a way that is not for
// it, or might be read in two ways.
func hello(id, tries, variant string) row {
	return row{
		id: id, tries: "TLS with " + tries, rules: []string{"good.example.com:443", "other.example.com:443"},
		run:  []string{"{probe}", "hello", "good.example.com:443", variant},
		bare: "handshake|alert|EOF|ECONNRESET", boxed: reset,
		heard:   empty("good.example.com", "good:443"),
		refused: []string{"refused tcp good.example.com:443|refused tcp good.example.com:443 allow tcp://good.example.com:443"},
	}
}

// fine is a row with an unusual beginning that is for the name.
func fine(tries, variant string) row {
	return row{
		id: "E-7", tries: "TLS with " + tries, rules: []string{"good.example.com:443"},
		run:   []string{"{probe}", "hello", "good.example.com:443", variant},
		boxed: "handshake", heard: https("good.example.com", "good:443"),
	}
}

var tlsRows = []row{
	fine("the usual beginning", "plain"),
	fine("capitals", "upper"),
	fine("each byte in a record of its own", "records"),
	fine("each byte in a packet of its own", "segments"),
	fine("two packets", "halves"),
	fine("a name that comes late", "late-name"),
	hello("E10", "another server name", "plain:{secret}.evil.test"),
	hello("E10", "another allowed server name", "plain:other.example.com"),
	hello("E-7", "no server name", "none"),
	hello("E-7", "an empty server name extension", "empty"),
	hello("E-7", "two names, the second the right one", "two:{secret}.evil.test"),
	hello("E-7", "two names, the first the right one", "two-other:{secret}.evil.test"),
	hello("E-7", "two extensions with names", "twice:{secret}.evil.test"),
	hello("E-7", "a name of another kind", "kind"),
	hello("E-7", "a name with a zero byte", "nul"),
	hello("E-7", "a name with a space", "space"),
	hello("E-7", "an address as a name", "plain:93.184.215.14"),
	hello("E-7", "more bytes than any beginning has", "huge"),
	hello("E-7", "no TLS at all", "garbage:{secret}"),
	hello("E-7", "the form of SSL 2", "sslv2"),
	hello("E-7", "an alert first", "alert"),
	hello("E-7", "another record first", "ccs-first"),
	hello("E-8", "an encrypted server name", "ech"),
	{
		id: "E-7", tries: "plain HTTP on the port of TLS, for the right name", rules: []string{"good.example.com:443"},
		run:  []string{"{probe}", "raw", "good.example.com:443", `GET / HTTP/1.1\r\nHost: good.example.com\r\nConnection: close\r\n\r\n`},
		bare: "400", boxed: "400|ECONNRESET", heard: append(empty("good.example.com", "good:443"), "?bytes good:443"),
		refused: []string{"?refused tcp good.example.com:443"},
	},
	{
		id: "E-8", tries: "an encrypted server name, where the policy lets it", rules: []string{"good.example.com:443"}, policy: "[network]\nech = \"allow\"\n",
		run:  []string{"{probe}", "hello", "good.example.com:443", "ech"},
		bare: "handshake|alert", boxed: "handshake|alert", heard: https("good.example.com", "good:443"),
	},
}
