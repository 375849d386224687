package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestNetworkChecks: what Spec refuses, whoever put the policy together.
func TestNetworkChecks(t *testing.T) {
	many := func(n int, text string) (list []Rule) {
		for i := range n {
			r := mustRule(fmt.Sprintf(text, i))
			r.Origin = Origin{Flag: "--egress"}
			list = append(list, r)
		}
		return list
	}
	for _, c := range []struct {
		name string
		n    Network
		l    Limits
		want string // "" if it is accepted
	}{
		{name: "zero"},
		{name: "none", n: Network{Mode: NetworkNone}},
		{name: "none with ECH", n: Network{Mode: NetworkNone, ECH: ECHAllow}}, // as a profile may say
		{name: "none with rules", n: Network{Mode: NetworkNone, Allow: many(1, "a%d.example:443")},
			want: `--egress: "a0.example:443" is allowed, but network.mode is "none"; set mode = "filtered", or take the rule out`},
		{name: "none with a proxy", n: Network{Mode: NetworkNone, Proxy: &Proxy{"p.example", 80, "ann", "secret"}},
			want: `network.proxy is http://ann@p.example:80, but network.mode is "none"`},
		{name: "mode", n: Network{Mode: "host"}, want: `network.mode cannot be "host"`},
		{name: "ech", n: Network{ECH: "maybe"}, want: `network.ech cannot be "maybe"`},
		{name: "256 rules", n: Network{Allow: many(256, "a%d.example:443")}},
		{name: "257 rules", n: Network{Allow: many(257, "a%d.example:443")}, want: "--egress: 257 network rules; at most 256"},
		{name: "1024 ports", n: Network{Allow: many(256, "10.%d.0.0/16:1-4")}},
		{name: "1025 ports", n: Network{Allow: append(many(255, "a%d.example:1-4"), many(1, "*.a%d.example:1-5")...)},
			want: `--egress: with "*.a0.example:1-5", the network rules come to more than 1024 ports`},
		{name: "all ports", n: Network{Allow: many(1, "10.0.0.%d:54-65535")}, want: "more than 1024 ports"},
		{name: "egress", l: Limits{Egress: 1}},
		{name: "negative egress", l: Limits{Egress: -1}, want: "limits.egress_bytes cannot be -1"},
		{name: "huge egress", l: Limits{Egress: 1 << 60}, want: "limits.egress_bytes cannot be"},
	} {
		_, _, err := Spec(&Policy{Network: c.n, Limits: c.l}, Program{Exec: "/usr/bin/true"}, newHost(t, ""))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}

// TestNetworkNotes: what each rule means beyond what it says.
func TestNetworkNotes(t *testing.T) {
	for _, c := range []struct{ rule, want string }{
		{"a.example:443", ""},
		{"*.a.example:443", ""},
		{"8.8.8.8:443", ""},
		{"11.0.0.0/8:443", ""},
		{"[2001:db8::1]:443", ""},
		{"A.Example.:443", ""},
		{"127.0.0.1:80", "information loopback 127.0.0.1:80: reaches a service of this machine"},
		{"127.0.0.0/8:80", "information loopback"},
		{"[::1]:80", "information loopback [::1]:80:"},
		{"10.0.0.1:80", "information private_address"},
		{"10.0.0.0/8:80", "information private_address"},
		{"172.31.255.255:80", "information private_address"},
		{"192.168.0.0/16:80", "information private_address"},
		{"100.64.1.1:80", "information private_address"},
		{"169.254.1.1:80", "information private_address"},
		{"198.18.0.1:80", "information private_address"},
		{"[fd12::1]:80", "information private_address"},
		{"[fec0::1]:80", "information private_address"},
		{"169.254.169.254:80", "warning metadata 169.254.169.254:80: is where a cloud tells"},
		{"169.254.170.2:80", "warning metadata"},
		{"100.100.100.200:80", "warning metadata"},
		{"168.63.129.16:80", "warning metadata"},
		{"[fd00:ec2::254]:80", "warning metadata"},
		{"[fd00:0ec2::0254]:80", "warning metadata"},
		{"[fd20:ce::254]:80", "warning metadata"},
		{"*.google.internal:80", "warning metadata *.google.internal:80: metadata.google.internal is where a cloud"},
		{"tcp://instance-data:80", "warning metadata"},
		{"METADATA.google.internal.:80", "warning metadata"},
		{"metadata.google.internal:80", "warning metadata metadata.google.internal:80: metadata.google.internal is where a cloud"},
		{"gist.github.com:443", "information shared_host"},
		{"api.github.com:443", "information shared_host"},
		{"*.github.com:443", "information shared_host"},
		{"raw.githubusercontent.com:443", "information shared_host"},
		{"pastebin.com:443", "information shared_host"},
		{"webhook.site:443", "information shared_host webhook.site:443: is made to collect"},
		{"x.webhook.site:443", "information shared_host"},
		{"notwebhook.site:443", ""},
		{"api.telegram.org:443", "information shared_host"},
		{"discord.com:443", "information shared_host"},
		{"hooks.slack.com:443", "information shared_host"},
		{"s3.amazonaws.com:443", "information shared_host"},
		{"mine.s3.amazonaws.com:443", ""},
		{"db:5432", ""},
		{"bücher.example:443", `information rule_name xn--bcher-kva.example:443: written as "bücher.example:443"`},
		{"ex\u00adample.com:443", `information rule_name example.com:443: written as "ex\u00adample.com:443"`},
	} {
		_, r, err := Spec(&Policy{Network: Network{Allow: []Rule{mustRule(c.rule)}}}, Program{Exec: "/usr/bin/true"}, newHost(t, ""))
		if err != nil {
			t.Fatal(err)
		}
		var notes []string
		for _, n := range r.Notes {
			if n.Kind != "groups" {
				notes = append(notes, fmt.Sprintf("%s %s %s", n.Level, n.Kind, n))
			}
		}
		if got := strings.Join(notes, "\n"); len(notes) > 1 || (got == "") != (c.want == "") || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, want %q", c.rule, got, c.want)
		}
	}
}

// TestNetworkMode: without a network, nothing in the box speaks of one.
func TestNetworkMode(t *testing.T) {
	for _, c := range []struct {
		mode        NetworkMode
		resolv, key string
	}{
		{"", "nameserver 127.0.0.1\noptions timeout:2 attempts:3\n", "1"},
		{NetworkFiltered, "nameserver 127.0.0.1\noptions timeout:2 attempts:3\n", "1"},
		{NetworkNone, "nameserver 127.0.0.1\n", ""},
	} {
		s, r, err := Spec(&Policy{Network: Network{Mode: c.mode}}, Program{Exec: "/usr/bin/true"}, newHost(t, ""))
		if err != nil {
			t.Fatal(err)
		}
		if m := mountAt(s, "/etc/resolv.conf"); m == nil || m.Source != c.resolv {
			t.Errorf("%q: %v", c.mode, m)
		}
		if s.Linux.Sysctl["net.ipv4.icmp_echo_ignore_all"] != c.key {
			t.Errorf("%q: %v", c.mode, s.Linux.Sysctl)
		}
		if (r.Network.Mode == NetworkNone) != (c.mode == NetworkNone) || (r.Network.ECH == "") != (c.mode == NetworkNone) {
			t.Errorf("%q: %+v", c.mode, r.Network)
		}
	}
}

func TestParseProxy(t *testing.T) {
	for _, c := range []struct {
		url, shown string
		want       Proxy
	}{
		{"http://proxy.example:3128", "", Proxy{Host: "proxy.example", Port: 3128}},
		{"http://Proxy.Example.:3128/", "http://proxy.example:3128", Proxy{Host: "proxy.example", Port: 3128}},
		{"http://localhost:3128", "", Proxy{Host: "localhost", Port: 3128}}, // of the host, not of the box
		{"http://127.0.0.1:3128", "", Proxy{Host: "127.0.0.1", Port: 3128}},
		{"http://10.0.0.1:80", "", Proxy{Host: "10.0.0.1", Port: 80}},
		{"http://[::1]:3128", "", Proxy{Host: "::1", Port: 3128}},
		{"http://ann@p.example:1", "", Proxy{Host: "p.example", Port: 1, User: "ann"}},
		{"http://ann:secret@p.example:1", "http://ann@p.example:1", Proxy{"p.example", 1, "ann", "secret"}},
		{"http://ann:se:c@r/e?t#@p.example:1", "http://ann@p.example:1", Proxy{"p.example", 1, "ann", "se:c@r/e?t#"}},
		{"http://d%5cann:%40%3a%25+@p.example:1", "http://d%5Cann@p.example:1", Proxy{"p.example", 1, `d\ann`, "@:%+"}},
	} {
		p, err := ParseProxy(c.url)
		if err != nil || *p != c.want {
			t.Errorf("%s: %+v, %v", c.url, p, err)
			continue
		}
		if c.shown == "" {
			c.shown = c.url
		}
		data, err := json.Marshal(&Policy{Network: Network{Proxy: p}})
		if err != nil || !strings.Contains(string(data), `"Proxy":"`+c.shown+`"`) {
			t.Errorf("%s as JSON: %s, %v", c.url, data, err)
		}
		for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
			for _, v := range []any{p, *p, Network{Proxy: p}, []Proxy{*p}} {
				if s := fmt.Sprintf(format, v); c.want.Password != "" && strings.Contains(s, c.want.Password) {
					t.Errorf("%s shows the password: %s", format, s)
				}
			}
		}
		if p.String() != c.shown {
			t.Errorf("%s is shown as %s", c.url, p)
		}
	}
	for _, c := range []struct{ url, want string }{
		{"", "it has to start with http://"},
		{"proxy.example:3128", "it has to start with http://"},
		{"https://ann:secret@proxy.example:3128", "plain HTTP, and not by https"},
		{"socks5://proxy.example:3128", "plain HTTP, and not by socks5"},
		{"secret@x://proxy.example:3128", "it has to start with http://"},
		{"http://", "there is no host"},
		{"http://proxy.example", "there is no port; write http://proxy.example:3128"},
		{"http://proxy.example:0", "is no port"},
		{"http://proxy.example:80-81", "is no port"},
		{"http://proxy.example:80,81", "is no port"},
		{"http://proxy.example:80/x", "a proxy has no path"},
		{"http://secret/x:y@:80", "there is no host"},
		{"http://ann:secret@proxy.example/x:80", "a proxy has no path"},
		{"http://10.0.0.0/8:80", "a proxy has no path"},
		{"http://0x7f.1:80", "is a way of writing the address 127.0.0.1"},
		{"http://0.0.0.0:80", "write http://127.0.0.1:80"},
		{"http://*.example:80", `"*" cannot stand in a name`},
		{"http://:secret@p.example:80", "the user of the proxy is empty"},
		{"http://a%3ab:secret@p.example:80", "a colon in it"},
		{"http://ann:secret%@p.example:80", "write it as %25"},
		{"http://ann:secret%0d%0aX@p.example:80", "a control character"},
		{"http://an\x00n:secret@p.example:80", "a control character"},
	} {
		if p, err := ParseProxy(c.url); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %+v, %v, want %s", c.url, p, err, c.want)
		}
	}
}

// TestErrorsAreJoined: a file with several wrong rules names them all.
func TestErrorsAreJoined(t *testing.T) {
	_, err := Parse("p.toml", []byte("[network]\nallow = ['*:1',\n'a.example:1',\n'localhost:1']\nproxy = 'x'\n"))
	list, ok := err.(interface{ Unwrap() []error })
	if !ok || len(list.Unwrap()) != 3 {
		t.Fatalf("%v", err)
	}
	var lines []int
	for _, e := range list.Unwrap() {
		var one *Error
		if errors.As(e, &one) {
			lines = append(lines, one.Origin.Line)
		}
	}
	if !slices.Equal(lines, []int{2, 4, 5}) {
		t.Errorf("lines %v: %v", lines, err)
	}
}

func BenchmarkParseRule(b *testing.B) {
	for _, text := range []string{"api.github.com:443", "10.1.0.0/16:8000-8010,9000", "*.example.co.uk:443", "bücher.example:443"} {
		b.Run(text, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ParseRule(text, Origin{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
