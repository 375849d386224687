package policy

import (
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

// mustRule parses a rule that a test takes for granted.
func mustRule(text string) Rule {
	r, err := ParseRule(text, Origin{})
	if err != nil {
		panic(err)
	}
	return r
}

func TestParseRule(t *testing.T) {
	ports := func(p ...uint16) (list []PortRange) {
		for i := 0; i < len(p); i += 2 {
			list = append(list, PortRange{p[i], p[i+1]})
		}
		return list
	}
	https := ports(443, 443)
	for _, c := range []struct {
		text, canonical string // "" if the same
		want            Rule
	}{
		{"api.github.com:443", "", Rule{Name: "api.github.com", Ports: https}},
		{"API.GitHub.COM.:443", "api.github.com:443", Rule{Name: "api.github.com", Ports: https}},
		{"*.example.com:443", "", Rule{Name: "example.com", Suffix: true, Ports: https}},
		{"*.Example.co.UK:443", "*.example.co.uk:443", Rule{Name: "example.co.uk", Suffix: true, Ports: https}},
		{"*.www.ck:443", "", Rule{Name: "www.ck", Suffix: true, Ports: https}}, // an exception of the list
		{"*.corp.internal:443", "", Rule{Name: "corp.internal", Suffix: true, Ports: https}},
		{"github.io:443", "", Rule{Name: "github.io", Ports: https}}, // itself, and none below
		{"tcp://db.example.com:5432", "", Rule{Name: "db.example.com", Raw: true, Ports: ports(5432, 5432)}},
		{"tcp://*.db.example.com:5432", "", Rule{Name: "db.example.com", Raw: true, Suffix: true, Ports: ports(5432, 5432)}},
		{"db:5432", "", Rule{Name: "db", Ports: ports(5432, 5432)}},
		{"my_db.internal:5432", "", Rule{Name: "my_db.internal", Ports: ports(5432, 5432)}},
		{"r3---sn-x.example.com:443", "", Rule{Name: "r3---sn-x.example.com", Ports: https}},
		{"1.2.3.4.example.com:443", "", Rule{Name: "1.2.3.4.example.com", Ports: https}},
		{"0x7f.example:443", "", Rule{Name: "0x7f.example", Ports: https}},
		{"bücher.example:443", "xn--bcher-kva.example:443", Rule{Name: "xn--bcher-kva.example", Ports: https}},
		{"BU\u0308CHER。example:443", "xn--bcher-kva.example:443", Rule{Name: "xn--bcher-kva.example", Ports: https}},
		{"XN--BCHER-KVA.example:443", "xn--bcher-kva.example:443", Rule{Name: "xn--bcher-kva.example", Ports: https}},
		{"faß.example:443", "xn--fa-hia.example:443", Rule{Name: "xn--fa-hia.example", Ports: https}}, // and not fass.example
		{"ｅｘａｍｐｌｅ.com:443", "example.com:443", Rule{Name: "example.com", Ports: https}},

		{"10.0.0.5:5432", "", Rule{Raw: true, Prefix: netip.MustParsePrefix("10.0.0.5/32"), Ports: ports(5432, 5432)}},
		{"tcp://10.0.0.5:5432", "10.0.0.5:5432", Rule{Raw: true, Prefix: netip.MustParsePrefix("10.0.0.5/32"), Ports: ports(5432, 5432)}},
		{"10.0.0.5/32:5432", "10.0.0.5:5432", Rule{Raw: true, Prefix: netip.MustParsePrefix("10.0.0.5/32"), Ports: ports(5432, 5432)}},
		{"127.0.0.1:80", "", Rule{Raw: true, Prefix: netip.MustParsePrefix("127.0.0.1/32"), Ports: ports(80, 80)}},
		{"169.254.169.254:80", "", Rule{Raw: true, Prefix: netip.MustParsePrefix("169.254.169.254/32"), Ports: ports(80, 80)}},
		{"10.0.0.0/8:80", "", Rule{Raw: true, Prefix: netip.MustParsePrefix("10.0.0.0/8"), Ports: ports(80, 80)}},
		{"[::1]:80", "", Rule{Raw: true, Prefix: netip.MustParsePrefix("::1/128"), Ports: ports(80, 80)}},
		{"[2001:DB8:0:0::0001]:443", "[2001:db8::1]:443", Rule{Raw: true, Prefix: netip.MustParsePrefix("2001:db8::1/128"), Ports: https}},
		{"[2001:db8::1.2.3.4]:443", "[2001:db8::102:304]:443", Rule{Raw: true, Prefix: netip.MustParsePrefix("2001:db8::102:304/128"), Ports: https}},
		{"[2001:db8::/32]:443", "", Rule{Raw: true, Prefix: netip.MustParsePrefix("2001:db8::/32"), Ports: https}},
		{"[fd00:ec2::254]:80", "", Rule{Raw: true, Prefix: netip.MustParsePrefix("fd00:ec2::254/128"), Ports: ports(80, 80)}},

		{"10.1.0.0/16:8000-8010,9000", "", Rule{Raw: true, Prefix: netip.MustParsePrefix("10.1.0.0/16"), Ports: ports(8000, 8010, 9000, 9000)}},
		{"a.example:9000,81,80,82-90,85-100,443,443", "a.example:80-100,443,9000", Rule{Name: "a.example", Ports: ports(80, 100, 443, 443, 9000, 9000)}},
		{"a.example:443-443", "a.example:443", Rule{Name: "a.example", Ports: https}},
		{"a.example:1-52,54,65535", "", Rule{Name: "a.example", Ports: ports(1, 52, 54, 54, 65535, 65535)}},
		{"a.example:65534,65535,1", "a.example:1,65534-65535", Rule{Name: "a.example", Ports: ports(1, 1, 65534, 65535)}},
	} {
		o := Origin{File: "p.toml", Line: 3}
		r, err := ParseRule(c.text, o)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		c.want.Text, c.want.Origin = c.text, o
		if !reflect.DeepEqual(r, c.want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", c.text, r, c.want)
		}
		if c.canonical == "" {
			c.canonical = c.text
		}
		if r.String() != c.canonical {
			t.Errorf("%s is written %s, want %s", c.text, r, c.canonical)
		}
	}
}

// TestParseRuleRefuses: each of these is refused, with these words.
// refusedRules are texts that are no rules, and what is said of them.
var refusedRules = []struct{ text, want string }{
	{"", "there is no host"},
	{":443", "there is no host; write HOST:PORT"},
	{"tcp://", "there is no host"},
	{"tcp://:443", "there is no host"},
	{".:443", "the name is empty"},
	{"*.:443", "the name is empty"},

	// Ports.
	{"api.github.com", "there is no port; write api.github.com:443"},
	{"10.0.0.5", "there is no port; write 10.0.0.5:443"},
	{"[::1]", "there is no port; write [::1]:443"},
	{"a.example:", "a port is missing; write numbers from 1 to 65535"},
	{"a.example:80,", "a port is missing"},
	{"a.example:80,,81", "a port is missing"},
	{"a.example:-80", "a port is missing"},
	{"a.example:80-", "a port is missing"},
	{"a.example:1-2-3", `"2-3" is no port`},
	{"a.example:https", `"https" is no port; write numbers`},
	{"a.example:*", "the ports have to be named"},
	{"a.example:0", `"0" is no port: it starts with 0`},
	{"a.example:0-65535", `"0" is no port`},
	{"a.example:0443", `"0443" is no port: it starts with 0`},
	{"a.example:+443", `"+443" is no port`},
	{"a.example:0x1bb", `"0x1bb" is no port`},
	{"a.example:４４３", "is no port"},
	{"a.example:443.0", `"443.0" is no port`},
	{"a.example:65536", "there is no port 65536"},
	{"a.example:99999999999999999999", "there is no port 9999"},
	{"a.example:90-80", "the range 90-80 ends before it begins"},
	{"a.example:53", "port 53 is answered by mcpbox itself"},
	{"tcp://a.example:53", "port 53"},
	{"8.8.8.8:53", "another name server would carry data out"},
	{"10.0.0.0/8:1-100", "Leave 53 out"},
	{"a.example:443,53", "port 53"},

	// What belongs to URLs.
	{"https://api.github.com", "a rule has no scheme; write api.github.com:443"},
	{"https://api.github.com/repos", "a rule has no scheme; write api.github.com:443"},
	{"HTTPS://api.github.com:8443/x", "a rule has no scheme; write api.github.com:8443"},
	{"http://api.github.com", "write api.github.com:80"},
	{"wss://a.example", "write a.example:443"},
	{"https://u:p@a.example/", "a rule has no scheme, and a rule holds no user name or password; write HOST:PORT"},
	{"tcp://https://a.example:443", "a rule has no scheme; write a.example:443"},
	{"https://tcp://a.example:443", "a rule has no scheme, and a port is missing"},
	{"udp://a.example:443", "UDP does not leave a box"},
	{"tls://a.example:443", "or with tcp:// for any protocol"},
	{"TCP://a.example:443", "or with tcp:// for any protocol"},
	{"://a.example:443", "it has to start with the host"},
	{"tcp:a.example:443", "more than one colon"},
	{"//a.example:443", "not about pages"},
	{"user@a.example:443", "no user name or password"},
	{"user:secret@a.example:443", "no user name or password"},
	{"a.example@10.0.0.1:443", "no user name or password"},
	{"a.example/path:443", "not about pages"},
	{"a.example:443/path", "a path or a prefix length cannot follow the port"},
	{"a.example/:443", "not about pages"},
	{"a.example?x:443", "not about pages"},
	{"a.example#x:443", "not about pages"},
	{`a.example\x:443`, "not about pages"},
	{"a%2eexample:443", "no percent encoding"},
	{"%61.example:443", "no percent encoding"},

	// Characters.
	{" a.example:443", "a space, a control character"},
	{"a.example:443\n", "a space, a control character"},
	{"a.example: 443", "a space, a control character"},
	{"a.example\x00.evil.test:443", "a control character"},
	{"a\tb:443", "a control character"},
	{"a\u2003b:443", "a space"},
	{"a\u0085b:443", "a space, a control character"},
	{"a\xffb:443", "no valid UTF-8"},
	{"a,b:443", `"," cannot stand in a name`},
	{"a.exa=mple:443", `"=" cannot stand in a name`},
	{"℀.example:443", "is no name"},
	{"a／b.example:443", "is no name"},
	{"a：443", "there is no port"},
	{"a：443:443", "is no name"},
	{"a\ufffdb:443", "is no name"},

	// Names.
	{"a..example:443", "an empty label"},
	{".example:443", "an empty label"},
	{"a.example..:443", "an empty label"},
	{"*..example:443", "an empty label"},
	{"-a.example:443", `starts or ends with "-"`},
	{"a-.example:443", `starts or ends with "-"`},
	{strings.Repeat("a", 64) + ".example:443", "longer than 63 bytes"},
	{strings.Repeat("ü", 60) + ".example:443", "longer than 63 bytes"},
	{strings.Repeat("abcdefg.", 32) + "ab:443", "there is none of more than 253"},
	{strings.Repeat("a", 1100) + ":443", "it is longer than 1024 bytes"},
	{"xn--a.example:443", "is no name"},     // decodes to a control character
	{"xn--abc-.example:443", "is no name"},  // decodes to ASCII
	{"xn--.example:443", "an empty label"},  // decodes to nothing
	{"xn--u-ccb.example:443", "is no name"}, // u and a combining mark, not in its normal form
	{"xn--zzzzzzzzz9.example:443", "is no name"},
	{"\u0308a.example:443", "is no name"},

	// This machine.
	{"localhost:80", "in a box, localhost is the box itself, and services of this machine have an address; write 127.0.0.1:80 or [::1]:80"},
	{"LOCALHOST.:80", "localhost is the box itself"},
	{"tcp://localhost:80", "localhost is the box itself"},
	{"app.localhost:80", "localhost is the box itself"},
	{"*.localhost:80", "localhost is the box itself"},
	{"ｌocalhost:80", "localhost is the box itself"},
	{"ip6-localhost:80", "localhost is the box itself"},
	{"localhost.localdomain:80", "localhost is the box itself"},

	// Stars.
	{"*:443", `"*" can only stand for whole labels`},
	{"*", `there is no port, and "*" can only stand`},
	{"tcp://*:443", `"*" can only stand for whole labels`},
	{"*.*.example.com:443", `"*" can only stand`},
	{"a.*.example.com:443", `"*" can only stand`},
	{"a*.example.com:443", `"*" can only stand`},
	{"*a.example.com:443", `"*" can only stand`},
	{"**.example.com:443", `"*" can only stand`},
	{"example.*:443", `"*" can only stand`},
	{"*example.com:443", `"*" can only stand`},
	{"＊.example.com:443", "is no name"},
	{"[*]:443", "is no IPv6 address"},

	// Suffixes of strangers.
	{"*.com:443", "*.com is a whole top-level domain"},
	{"*.internal:443", "whole top-level domain"},
	{"*.zz:443", "whole top-level domain"},
	{"*.co.uk:443", "below co.uk anybody can have a name"},
	{"*.ck:443", "whole top-level domain"},
	{"*.other.ck:443", "below other.ck anybody"}, // by a wildcard of the list
	{"*.xn--55qx5d.cn:443", "below xn--55qx5d.cn anybody"},
	{"*.公司.cn:443", "below xn--55qx5d.cn anybody"},
	{"*.github.io:443", "below github.io anybody"},
	{"*.GitHub.IO.:443", "below github.io anybody"},
	{"tcp://*.github.io:443", "below github.io anybody"},
	{"*.githubusercontent.com:443", "below githubusercontent.com anybody"},
	{"*.s3.amazonaws.com:443", "below s3.amazonaws.com anybody"},
	{"*.amazonaws.com:443", "some of the names below amazonaws.com anybody can have, as those below s3.amazonaws.com"},
	{"*.windows.net:443", "some of the names below windows.net"},
	{"*.core.windows.net:443", "as those below web.core.windows.net"},
	{"*.workers.dev:443", "anybody can have a name"},
	{"*.ngrok.app:443", "anybody can have a name"},
	{"*.vercel.app:443", "anybody can have a name"},

	// Ranges.
	{"10.1.0.0/7:80", "10.1.0.0/7 has bits set behind the first 7; write 10.1.0.0:80"},
	{"10.1.2.3/16:80", "has bits set behind the first 16; write 10.1.0.0/16:80 or 10.1.2.3:80"},
	{"[2001:db8::1/64]:80", "has bits set behind the first 64"},
	{"16.0.0.0/7:80", "16.0.0.0/7 is too wide a range; the widest is /8"},
	{"[2400::/12]:80", "is too wide a range; the widest is /32"},
	{"0.0.0.0/0:80", "0.0.0.0/0 holds 0.0.0.0/8"},
	{"[::/0]:80", "::/0 holds"},
	{"10.0.0.0/33:80", "/33 is no length of a prefix"},
	{"10.0.0.0/08:80", "/08 is no length of a prefix"},
	{"10.0.0.0/+8:80", "/+8 is no length of a prefix"},
	{"10.0.0.0/:80", "/ is no length of a prefix"},
	{"10.0.0.0/255.0.0.0:80", "/255.0.0.0 is no length"},
	{"10.0/8:80", "not about pages"},
	{"[2001:db8::/129]:80", "is no IPv6 address"},
	// What has more than one fault.
	{"443", "there is no host; write HOST:PORT"},
	{"8000-8010,9000", "there is no host; write HOST:PORT"},
	{"tcp://db.example.com", "there is no port; write tcp://db.example.com:PORT"},
	{"tcp://10.0.0.5", "there is no port; write tcp://10.0.0.5:PORT"},
	{"tcp://localhost:3000", "write tcp://127.0.0.1:3000 or tcp://[::1]:3000"},
	{"http://localhost:3000", "write 127.0.0.1:3000 or [::1]:3000"},
	{"http://127.1:3000/x", "write 127.0.0.1:3000"},
	{"https://[::1]/x", "a rule has no scheme; write [::1]:443"},
	{"https://*.com", "a rule has no scheme, and *.com is a whole top-level domain"},
	{"127.1:80", `"127.1" is a way of writing the address 127.0.0.1; write 127.0.0.1:80`},
	{"443:443", `"443" is a way of writing the address 0.0.1.187, and 0.0.1.187 means this machine to some programs and nothing to others; write 127.0.0.1:443`},
	{"2130706433", "there is no host"},
	{"0x7f000001", `there is no port, and "0x7f000001" is a way of writing the address 127.0.0.1; write 127.0.0.1:443`},
	{"localhost", "there is no port, and in a box, localhost"},
	{"0.0.0.0", "write 127.0.0.1:443"},
	{"::1", "write [::1]:443"},
	{"fe80::1", "an IPv6 address stands in brackets, before a port, and fe80::1 is link-local"},
	{"fe80::1:80", "and fe80::1"},
	{"10.1.2.3/16", "write 10.1.0.0/16:443 or 10.1.2.3:443"},
	{"10.0.0.5:0", `"0" is no port`},
	{"127.1:0", "write 127.0.0.1:PORT"},
	{"[::ffff:10.0.0.5]:80", "write 10.0.0.5:80"},
	{"[64:ff9b::a00:5]:80", "write 10.0.0.5:80"},
	{"[2002:a00:5::]:80", "write 10.0.0.5:80"},
	{"[64:ff9b::7f00:0]:80", "write 127.0.0.0:80"},
	{"[::ffff:0.0.0.0]:80", "write 127.0.0.1:80"},
	{"a.example:443/path", "write HOST:PORT or ADDRESS/BITS:PORT"},
	{"[2001:db8::1:443", "the brackets do not match; write [ADDRESS]:443"},
	{"[2001:db8::1]x:443", "after the brackets there can only be a port; write [2001:db8::1]:443"},
	{"[2001:db8::]/32:443", "the length of a prefix stands inside the brackets; write [2001:db8::/32]:443"},
}

func TestParseRuleRefuses(t *testing.T) {
	for _, c := range refusedRules {
		o := Origin{Flag: "--egress"}
		r, err := ParseRule(c.text, o)
		var wrong *Error
		switch {
		case err == nil:
			t.Errorf("%q is accepted: %+v", c.text, r)
		case !errors.As(err, &wrong) || wrong.Origin != o || !reflect.DeepEqual(r, Rule{}):
			t.Errorf("%q: %#v, %+v", c.text, err, r)
		case !strings.Contains(err.Error(), c.want):
			t.Errorf("%q: %v\nwant %s", c.text, err, c.want)
		}
	}
}

func TestMatchName(t *testing.T) {
	exact, suffix := mustRule("a.example:1"), mustRule("*.a.example:1")
	for _, c := range []struct {
		name          string
		exact, suffix bool
	}{
		{"a.example", true, false},
		{"b.a.example", false, true},
		{"c.b.a.example", false, true},
		{"d.c.b.a.example", false, true},
		{"e.d.c.b.a.example", false, false},
		{"ba.example", false, false},
		{"a.example.evil.test", false, false},
		{"b.a.example.", false, false}, // not canonical
		{"B.a.example", false, true},   // the part below is not looked at
		{"b.A.example", false, false},
		{".a.example", false, false},
		{"..a.example", false, false},
		{"b..a.example", false, false},
		{".b.a.example", false, false},
		{"example", false, false},
		{"", false, false},
	} {
		if exact.MatchName(c.name) != c.exact || suffix.MatchName(c.name) != c.suffix {
			t.Errorf("%q: %v, %v", c.name, exact.MatchName(c.name), suffix.MatchName(c.name))
		}
	}
	for _, r := range []Rule{{}, {Suffix: true}, mustRule("10.0.0.1:1")} {
		for _, name := range []string{"", ".", "a", "a.example", "10.0.0.1"} {
			if r.MatchName(name) {
				t.Errorf("%+v matches %q", r, name)
			}
		}
	}
}

func TestHasPort(t *testing.T) {
	r := mustRule("a.example:80-82,443,65535")
	want := map[uint16]bool{80: true, 81: true, 82: true, 443: true, 65535: true}
	for port := range 1 << 16 {
		if r.HasPort(uint16(port)) != want[uint16(port)] {
			t.Errorf("port %d", port)
		}
	}
	if (Rule{}).HasPort(0) {
		t.Error("no rule has a port")
	}
}

func TestMatchAddr(t *testing.T) {
	for _, c := range []struct {
		rule, addr string
		want       bool
	}{
		{"10.1.0.0/16:80", "10.1.2.3", true},
		{"10.1.0.0/16:80", "10.2.2.3", false},
		{"10.1.2.3:80", "10.1.2.3", true},
		{"a.example.com:80", "10.1.2.3", false},
		{"100.64.0.0/10:80", "100.100.100.199", true},
		// Never by a range.
		{"100.64.0.0/10:80", "100.100.100.200", false},
		{"169.254.0.0/16:80", "169.254.169.254", false},
		{"168.63.0.0/16:80", "168.63.129.16", false},
		{"192.0.0.0/24:80", "192.0.0.192", false},
		{"[fd00:ec2::/32]:80", "fd00:ec2::254", false},
		{"[fd00:ec2::/32]:80", "fd00:ec2::1", true},
		{"169.254.169.254:80", "169.254.169.254", true},
	} {
		r, err := ParseRule(c.rule, Origin{})
		if err != nil {
			t.Error(err)
			continue
		}
		if got := r.MatchAddr(netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("%s covers %s: %v, want %v", c.rule, c.addr, got, c.want)
		}
	}
}
