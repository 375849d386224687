package netfilter

import (
	"bytes"
	"crypto/tls"
	"errors"
	"strings"
	"testing"
)

func TestParseHello(t *testing.T) {
	good := record(goodParts(sni("good.test")).message())
	filler := extension(0x7777, make([]byte, 3000))
	for _, c := range []struct {
		name   string
		data   []byte
		want   hello
		reason string // part of the refusal's
	}{
		{"one name", good, hello{name: "good.test"}, ""},
		{"upper case", record(goodParts(sni("GOOD.Test")).message()), hello{name: "good.test"}, ""},
		{"trailing dot", record(goodParts(sni("good.test.")).message()), hello{name: "good.test"}, ""},
		{"A-label, underscore", record(goodParts(sni("xn--bcher-kva._a.test")).message()), hello{name: "xn--bcher-kva._a.test"}, ""},
		{"address", record(goodParts(sni("127.0.0.1")).message()), hello{name: "127.0.0.1"}, ""},
		{"name behind others", record(goodParts(filler, sni("good.test"), extension(0x2a2a, nil)).message()), hello{name: "good.test"}, ""},
		{"TLS 1.0", record(helloParts{kind: 1, version: 0x0301, suites: []byte{0, 1}, compressions: []byte{1, 0}, extensions: sni("good.test")}.message()), hello{name: "good.test"}, ""},
		{"record version of SSL 3.0", append([]byte{0x16, 3, 0}, good[3:]...), hello{name: "good.test"}, ""},
		{"record version of TLS 1.3", append([]byte{0x16, 3, 4}, good[3:]...), hello{name: "good.test"}, ""},
		{"legacy version of TLS 1.3", record(func() helloParts { p := goodParts(sni("good.test")); p.version = 0x0304; return p }().message()), hello{name: "good.test"}, ""},
		{"early data behind it", append(bytes.Clone(good), 0x14, 3, 3, 0, 1, 1, 0x17, 3, 3, 0, 1, 0), hello{name: "good.test"}, ""},
		{"records of one byte", records(1, goodParts(sni("good.test")).message()), hello{name: "good.test"}, ""},
		{"three records", records(1200, goodParts(filler, sni("good.test")).message()), hello{name: "good.test"}, ""},
		{"Go", realHello(t, &tls.Config{ServerName: "good.test"}), hello{name: "good.test"}, ""},
		{"Go, TLS 1.2", realHello(t, &tls.Config{ServerName: "good.test", MaxVersion: tls.VersionTLS12}), hello{name: "good.test"}, ""},

		{"ECH of Go", realHello(t, &tls.Config{ServerName: "secret.test", MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: echConfigs()}), hello{name: "public.test", ech: true}, ""},
		{"ECH before the name", record(goodParts(extension(0xfe0d, make([]byte, 200)), sni("good.test")).message()), hello{name: "good.test", ech: true}, ""},
		{"ECH behind the name", record(goodParts(sni("good.test"), extension(0xfe0d, nil)).message()), hello{name: "good.test", ech: true}, ""},
		{"ECH, inner", record(goodParts(sni("good.test"), extension(0xfe0d, []byte{1})).message()), hello{name: "good.test", ech: true}, ""},
		{"ECH, draft 9", record(goodParts(sni("good.test"), extension(0xfe09, nil)).message()), hello{name: "good.test", ech: true}, ""},
		{"ESNI", record(goodParts(sni("good.test"), extension(0xffce, nil)).message()), hello{name: "good.test", ech: true}, ""},
		{"ECH without a name", record(goodParts(extension(0xfe0d, nil)).message()), hello{}, "without a server name"},

		{"Go without a name", realHello(t, &tls.Config{InsecureSkipVerify: true}), hello{}, "without a server name"},
		{"no extensions", record(helloParts{kind: 1, version: 0x0303, suites: []byte{0, 1}, compressions: []byte{0}, noExtensions: true}.message()), hello{}, "without a server name"},
		{"empty extensions", record(goodParts().message()), hello{}, "without a server name"},
		{"empty list of names", record(goodParts(sni()).message()), hello{}, "without a server name"},
		{"server_name as a server sends it", record(goodParts(extension(0, nil)).message()), hello{}, "do not fit"},
		{"two names", record(goodParts(sni("good.test", "evil.test")).message()), hello{}, "several server names"},
		{"the same name twice", record(goodParts(sni("good.test", "good.test")).message()), hello{}, "several server names"},
		{"the extension twice", record(goodParts(sni("good.test"), sni("evil.test")).message()), hello{}, "extension 0 given twice"},
		{"another extension twice", record(goodParts(sni("good.test"), extension(16, nil), extension(16, nil)).message()), hello{}, "extension 16 given twice"},
		{"the highest extension twice", record(goodParts(extension(65535, nil), sni("good.test"), extension(65535, nil)).message()), hello{}, "extension 65535 given twice"},
		{"name of another type", record(goodParts(extension(0, vector(2, append([]byte{1}, vector(2, []byte("good.test"))...)))).message()), hello{}, "unknown type 1"},
		{"name of another type first", record(goodParts(extension(0, vector(2, append([]byte{9, 0, 1, 'x'}, sni("good.test")[6:]...)))).message()), hello{}, "unknown type 9"},
		{"empty name", record(goodParts(sni("")).message()), hello{}, "not a host name"},
		{"dot", record(goodParts(sni(".")).message()), hello{}, "not a host name"},
		{"two trailing dots", record(goodParts(sni("good.test..")).message()), hello{}, "not a host name"},
		{"leading dot", record(goodParts(sni(".good.test")).message()), hello{}, "not a host name"},
		{"NUL", record(goodParts(sni("good.test\x00.evil.test")).message()), hello{}, `"good.test\x00.evil.test" is not a host name`},
		{"NUL at the end", record(goodParts(sni("good.test\x00")).message()), hello{}, "not a host name"},
		{"space", record(goodParts(sni("good.test ")).message()), hello{}, "not a host name"},
		{"port", record(goodParts(sni("good.test:443")).message()), hello{}, "not a host name"},
		{"zone", record(goodParts(sni("fe80::1%lo")).message()), hello{}, "not a host name"},
		{"UTF-8", record(goodParts(sni("bücher.test")).message()), hello{}, "not a host name"},
		{"Kelvin sign", record(goodParts(sni("\u212aelvin.test")).message()), hello{}, "not a host name"},
		{"wide full stop", record(goodParts(sni("good\u3002test")).message()), hello{}, "not a host name"},
		{"wildcard", record(goodParts(sni("*.good.test")).message()), hello{}, "not a host name"},
		{"label of 64", record(goodParts(sni(strings.Repeat("a", 64) + ".test")).message()), hello{}, "not a host name"},
		{"label of 63", record(goodParts(sni(strings.Repeat("a", 63) + ".test")).message()), hello{name: strings.Repeat("a", 63) + ".test"}, ""},
		{"name of 253 and a dot", record(goodParts(sni(strings.Repeat("a.", 126) + "a.")).message()), hello{name: strings.Repeat("a.", 126) + "a"}, ""},
		{"name of 254", record(goodParts(sni(strings.Repeat("a.", 126) + "aa")).message()), hello{}, "not a host name"},
		{"long name", record(goodParts(sni(strings.Repeat("a\n", 5000))).message()), hello{}, `\na\n..." is not a host name`},

		{"name list too short", record(goodParts(extension(0, append([]byte{0, 3}, sni("good.test")[6:]...))).message()), hello{}, "do not fit"},
		{"name list too long", record(goodParts(extension(0, append([]byte{0, 99}, sni("good.test")[6:]...))).message()), hello{}, "do not fit"},
		{"name too long for its list", record(goodParts(extension(0, vector(2, []byte{0, 0, 9, 'g'}))).message()), hello{}, "do not fit"},
		{"name without length", record(goodParts(extension(0, vector(2, []byte{0, 0}))).message()), hello{}, "do not fit"},
		{"extension too long", record(goodParts(sni("good.test"), []byte{0, 16, 0, 9, 1}).message()), hello{}, "do not fit"},
		{"odd end of extensions", record(goodParts(sni("good.test"), []byte{0}).message()), hello{}, "do not fit"},
		{"bytes behind the extensions", record(func() helloParts { p := goodParts(sni("good.test")); p.after = []byte{0}; return p }().message()), hello{}, "do not fit"},
		{"a second list of extensions", record(func() helloParts {
			p := goodParts(sni("good.test"))
			p.after = vector(2, sni("evil.test"))
			return p
		}().message()), hello{}, "do not fit"},
		{"session id of 33", record(helloParts{kind: 1, version: 0x0303, session: make([]byte, 33), suites: []byte{0, 1}, compressions: []byte{0}, extensions: sni("good.test")}.message()), hello{}, "malformed"},
		{"odd cipher suites", record(helloParts{kind: 1, version: 0x0303, suites: []byte{0, 1, 2}, compressions: []byte{0}, extensions: sni("good.test")}.message()), hello{}, "malformed"},
		{"no cipher suites", record(helloParts{kind: 1, version: 0x0303, compressions: []byte{0}, extensions: sni("good.test")}.message()), hello{}, "malformed"},
		{"no compression", record(helloParts{kind: 1, version: 0x0303, suites: []byte{0, 1}, extensions: sni("good.test")}.message()), hello{}, "malformed"},
		{"SSL 3.0", record(helloParts{kind: 1, version: 0x0300, suites: []byte{0, 1}, compressions: []byte{0}, extensions: sni("good.test")}.message()), hello{}, "version 0x0300"},
		{"version of the future", record(helloParts{kind: 1, version: 0x0305, suites: []byte{0, 1}, compressions: []byte{0}, extensions: sni("good.test")}.message()), hello{}, "version 0x0305"},
		{"short body", record([]byte{1, 0, 0, 2, 3, 3}), hello{}, "do not fit"},
		{"empty body", record([]byte{1, 0, 0, 0}), hello{}, "do not fit"},

		{"a second ClientHello in the record", record(append(goodParts(sni("good.test")).message(), goodParts(sni("evil.test")).message()...)), hello{}, "goes on after"},
		{"one byte more in the record", record(append(goodParts(sni("good.test")).message(), 0)), hello{}, "goes on after"},
		{"more to come in the record", record(append(goodParts(sni("good.test")).message(), 0))[:len(good)], hello{}, "goes on after"},
		{"ServerHello", record(func() helloParts { p := goodParts(sni("good.test")); p.kind = 2; return p }().message()), hello{}, "message type 2"},
		{"alert between records", append(record(goodParts(sni("good.test")).message()[:40]), 0x15, 3, 1, 0, 2, 1, 0), hello{}, "record of type 21"},
		{"empty record", []byte{0x16, 3, 1, 0, 0}, hello{}, "record of 0 bytes"},
		{"empty record inside", append(record(goodParts(sni("good.test")).message()[:40]), 0x16, 3, 1, 0, 0), hello{}, "record of 0 bytes"},
		{"record over the limit", []byte{0x16, 3, 1, 0x40, 1}, hello{}, "record of 16385 bytes"},
		{"major version 2", []byte{0x16, 2}, hello{}, "unknown version"},
		{"minor version 5", []byte{0x16, 3, 5}, hello{}, "unknown version"},
		{"SSLv2", []byte{0x80, 0x2e, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10}, hello{}, "SSLv2"},
		{"SSLv2 that offers TLS", []byte{0x80, 0x2e, 1, 3, 1}, hello{}, "SSLv2"},
		{"HTTP", []byte("GET / HTTP/1.1\r\n"), hello{}, "record of type 71"},
		{"NUL first", []byte{0}, hello{}, "record of type 0"},
		{"length of 16 MiB", record([]byte{1, 0xff, 0xff, 0xff})[:9], hello{}, "more than 16384 bytes"},
		{"too long in many records", records(1, goodParts(filler, sni("good.test")).message()), hello{}, "more than 16384 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := parseHello(c.data)
			checkRefusal(t, err, c.reason)
			if got != c.want {
				t.Errorf("read %+v, want %+v", got, c.want)
			}
		})
	}
}

// checkRefusal fails unless err is nil, with an empty reason, or a refusal with
// that text in it that fits a journal record.
func checkRefusal(t *testing.T, err error, reason string) {
	t.Helper()
	var r *refusal
	switch {
	case reason == "" && err == nil:
	case !errors.As(err, &r):
		t.Errorf("error %v, want %q", err, reason)
	case reason == "" || !strings.Contains(r.reason, reason):
		t.Errorf("refused with %q, want %q", r.reason, reason)
	case len(r.reason) > 500 || strings.ContainsFunc(r.reason, func(c rune) bool { return c < ' ' || c == 0x7f }):
		t.Errorf("a reason unfit for the journal: %q", r.reason)
	}
}

// Wherever segments end, the hello is read once it is whole, and not before.
func TestParseHelloAtEveryBoundary(t *testing.T) {
	for _, config := range []*tls.Config{{ServerName: "good.test"}, {ServerName: "good.test", MaxVersion: tls.VersionTLS12}} {
		whole := realHello(t, config)
		msg := whole[recordHeader:]
		for size := range len(msg) {
			if size == 0 {
				continue
			}
			data := records(size, msg)
			if len(data) > maxHello {
				continue
			}
			got, err := parseHello(data)
			if err != nil || got.name != "good.test" {
				t.Fatalf("records of %d bytes: %+v, %v", size, got, err)
			}
			step := 1 + len(data)/300 // all beginnings of the usual, some of the rest
			if size >= len(msg)-1 || size == 7 {
				step = 1
			}
			for n := 0; n < len(data); n += step {
				if got, err := parseHello(data[:n]); err != errShort {
					t.Fatalf("%d of %d bytes in records of %d: %+v, %v", n, len(data), size, got, err)
				}
			}
		}
		for first := 1; first < len(msg); first++ { // two records
			data := append(record(msg[:first]), record(msg[first:])...)
			if got, err := parseHello(data); err != nil || got.name != "good.test" {
				t.Fatalf("record boundary at %d: %+v, %v", first, got, err)
			}
		}
	}
}

// A verdict does not depend on how much more has arrived: what is refused or
// read by its beginning stays so.
func TestParseHelloIsFinal(t *testing.T) {
	data := record(goodParts(sni("good.test"), sni("evil.test")).message())
	decided := -1
	for n := range len(data) + 1 {
		_, err := parseHello(data[:n])
		if err != errShort && decided < 0 {
			decided = n
		}
		if decided >= 0 {
			checkRefusal(t, err, "given twice")
		}
	}
	if decided < 0 {
		t.Error("it was never refused")
	}
}

func TestParseHelloLimit(t *testing.T) {
	fits := func(total int) []byte {
		n := total - len(record(goodParts(sni("good.test"), extension(0x7777, nil)).message()))
		return record(goodParts(sni("good.test"), extension(0x7777, make([]byte, n))).message())
	}
	data := fits(maxHello)
	if len(data) != maxHello {
		t.Fatalf("the test made %d bytes", len(data))
	}
	if got, err := parseHello(data); err != nil || got.name != "good.test" {
		t.Errorf("a hello of exactly the limit: %+v, %v", got, err)
	}
	_, err := parseHello(fits(maxHello + 1))
	checkRefusal(t, err, "more than 16384")
	for _, short := range [][]byte{{0x16, 3, 1, 0x40, 0}, {0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xf7}, record(goodParts(sni("good.test")).message()[:40])} {
		if got, err := parseHello(short); err != errShort {
			t.Errorf("%x: %+v, %v", short, got, err)
		}
	}
}

func TestSniff(t *testing.T) {
	for _, c := range []struct {
		data   string
		want   proto
		err    error
		reason string
	}{
		{data: "", err: errShort},
		{data: "\x16", want: protoTLS},
		{data: "\x16\x03\x01\x02\x00\x01", want: protoTLS},
		{data: "GET / HTTP/1.1\r\n", want: protoHTTP},
		{data: "GET ", want: protoHTTP},
		{data: "GET", err: errShort},
		{data: "M-SEARCH * HTTP/1.1", want: protoHTTP},
		{data: "UPDATEREDIRECTREF /", want: protoHTTP},
		{data: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", want: protoHTTP},
		{data: "get / HTTP/1.1\r\n", want: protoOther},
		{data: " GET / HTTP/1.1\r\n", want: protoOther},
		{data: "\r\nGET / HTTP/1.1\r\n", want: protoOther},
		{data: "PING\r\n", want: protoOther},
		{data: "*1\r\n$4\r\nPING\r\n", want: protoOther},
		{data: "SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n", want: protoOther},
		{data: "\x00\x00\x00\x08\x04\xd2\x16\x2f", want: protoOther},
		{data: strings.Repeat("A", 24), err: errShort},
		{data: strings.Repeat("A", 24) + " ", want: protoHTTP},
		{data: strings.Repeat("A", 25), want: protoOther},
		{data: "\x80", err: errShort},
		{data: "\x80\x2e", err: errShort},
		{data: "\x80\x2e\x01", reason: "SSLv2"},
		{data: "\xc1\x2e\x01\x03\x01", reason: "SSLv2"},
		{data: "\x80\x2e\x02", want: protoOther},
		{data: "\x14\x03\x01", want: protoOther},
	} {
		got, err := sniff([]byte(c.data))
		if c.err != nil {
			if err != c.err {
				t.Errorf("%q: error %v", c.data, err)
			}
		} else {
			checkRefusal(t, err, c.reason)
		}
		if got != c.want {
			t.Errorf("%q is of protocol %d, want %d", c.data, got, c.want)
		}
	}
}
