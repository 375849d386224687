package netfilter

import (
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/policy"
)

func rules(t testing.TB, texts ...string) []policy.Rule {
	t.Helper()
	var list []policy.Rule
	for _, text := range texts {
		r, err := policy.ParseRule(text, policy.Origin{})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

// A listener stands at each address and port that a rule names, and nowhere
// else, so that the kernel refuses the rest.
func TestListeners(t *testing.T) {
	for _, c := range []struct {
		rules []string
		want  string
		spare int
	}{
		{nil, "", 0},
		{[]string{"a.example.com:443"}, "29.77.0.2:443", 0},
		{[]string{"a.example.com:80,443", "b.example.com:1-3"}, "29.77.0.2:80 29.77.0.2:443 29.77.0.3:1 29.77.0.3:2 29.77.0.3:3", 0},
		{[]string{"a.example.com:443", "a.example.com:443", "tcp://a.example.com:22"}, "29.77.0.2:443 29.77.0.2:22", 0},
		{[]string{"*.example.com:8443", "a.example.com:443"}, "29.77.0.2:8443 29.77.0.2:443", maxNames},
		{[]string{"10.0.0.5:5432", "[2001:db8::1]:443"}, "10.0.0.5:5432 [2001:db8::1]:443", 0},
		// A listener for all addresses has the port of the others, too.
		{[]string{"10.0.0.5:5432", "10.1.0.0/16:5432", "a.example.com:5432,443"}, "0.0.0.0:5432 29.77.0.2:443", 0},
		{[]string{"10.1.0.0/16:5432", "[2001:db8::/32]:5432", "[2001:db8:1::1]:80"}, "0.0.0.0:5432 [::]:5432 [2001:db8:1::1]:80", 0},
		// What a rule names is no virtual address.
		{[]string{"29.77.0.2:80", "a.example.com:443"}, "29.77.0.2:80 29.77.0.3:443", 0},
		{[]string{"29.0.0.0/8:80", "a.example.com:443"}, "0.0.0.0:80 22.77.0.2:443", 0},
		{[]string{"29.0.0.0/8:80", "22.0.0.0/8:80", "26.0.0.0/8:80", "28.0.0.0/8:80", "33.0.0.0/8:80", "55.0.0.0/8:80", "a.example.com:443"}, "0.0.0.0:80 29.77.0.2:443", 0},
	} {
		p := newPlan(rules(t, c.rules...))
		var got []string
		for _, at := range p.listen {
			got = append(got, at.String())
		}
		if strings.Join(got, " ") != c.want || p.spare != c.spare {
			t.Errorf("%v: listens at %v, %d spare; want %s, %d", c.rules, got, p.spare, c.want, c.spare)
		}
	}
}

func TestDecide(t *testing.T) {
	f := New(Config{Network: policy.Network{Allow: rules(t,
		"a.example.com:443", "*.cdn.example.net:443", "tcp://a.example.com:5432", "10.0.0.5:5432", "10.1.0.0/16:80")}})
	defer f.Close()
	a := f.plan.exact[0].virtual.String()
	for _, c := range []struct {
		at   string
		rule string // "" if refused
	}{
		{a + ":443", "a.example.com:443"},
		{a + ":5432", "tcp://a.example.com:5432"},
		{a + ":80", ""},
		{"29.77.200.1:443", ""},
		{"10.0.0.5:5432", "10.0.0.5:5432"},
		{"10.0.0.5:443", ""},
		{"10.0.0.6:5432", ""},
		{"10.1.2.3:80", "10.1.0.0/16:80"},
		{"10.2.2.3:80", ""},
		{"1.1.1.1:443", ""},
		{"169.254.169.254:80", ""},
		{"[::1]:443", ""},
	} {
		v := f.decide(netip.MustParseAddrPort(c.at))
		if (v.reason == "") != (c.rule != "") || v.reason == "" && v.rule.Text != c.rule {
			t.Errorf("%s: %+v, want %q", c.at, v, c.rule)
		}
	}

	f.Cut()
	if v := f.decide(netip.MustParseAddrPort(a + ":443")); v.reason == "" {
		t.Error("a box that is cut off reaches an allowed address")
	}
	f.Restore()
	if v := f.decide(netip.MustParseAddrPort(a + ":443")); v.reason != "" {
		t.Errorf("restored, but %s", v.reason)
	}
}

// The one place that asks the rules is the only one that lets anything through:
// with no rules there is nothing, whatever else is set.
func TestNothingWithoutRules(t *testing.T) {
	f := New(Config{Network: policy.Network{ECH: policy.ECHAllow}})
	defer f.Close()
	for _, at := range []string{"29.77.0.2:443", "127.0.0.1:80", "0.0.0.0:1", "[::]:443"} {
		if v := f.decide(netip.MustParseAddrPort(at)); v.reason == "" {
			t.Errorf("%s passes", at)
		}
	}
	if _, err := f.names.find("a.example.com", nil); err != errUnknownName {
		t.Errorf("a name is known: %v", err)
	}
}

func TestNamesBelowSuffix(t *testing.T) {
	plan := newPlan(rules(t, "*.cdn.example.net:443", "*.cdn.example.net:8443", "x.cdn.example.net:80", "*.b.cdn.example.net:22"))
	var n names
	n.init(plan)
	n.fresh = limiter{rate: 0, burst: 1000}
	n.spare = make([]*os.File, 7)
	var at []string
	listen := func(_ *os.File, a netip.AddrPort) { at = append(at, a.String()) }
	find := func(name string) (*destination, error) { at = nil; return n.find(name, listen) }

	first, err := find("a.cdn.example.net")
	if err != nil || strings.Join(at, " ") != first.virtual.String()+":443 "+first.virtual.String()+":8443" {
		t.Fatalf("%+v, %v, listens at %v", first, err, at)
	}
	again, err := find("a.cdn.example.net")
	if again != first || err != nil || at != nil {
		t.Errorf("asked again: %+v, %v, %v", again, err, at)
	}
	if n.at(first.virtual) != first {
		t.Error("its address does not lead back")
	}
	if d, err := find("a.b.cdn.example.net"); err != nil || len(at) != 3 || d.virtual == first.virtual {
		t.Errorf("two rules: %+v, %v, %v", d, err, at)
	}
	for _, name := range []string{"cdn.example.net", "evil.test", "acdn.example.net", "a.cdn.example.net.evil.test", ""} {
		if d, err := find(name); err != errUnknownName {
			t.Errorf("%q: %+v, %v", name, d, err)
		}
	}
	if _, err := find(strings.Repeat("a", 41) + ".cdn.example.net"); err != errTooLong {
		t.Errorf("a long label: %v", err)
	}
	if _, err := find("c.cdn.example.net"); err != nil {
		t.Error(err)
	}
	if len(n.spare) != 0 {
		t.Fatalf("%d sockets left", len(n.spare))
	}
	if _, err := find("d.cdn.example.net"); err != errTooMany || at != nil {
		t.Errorf("without a socket: %v, %v", err, at)
	}
	if _, err := find("a.cdn.example.net"); err != nil {
		t.Errorf("an old name, with no socket left: %v", err)
	}
}

// A burst of new names, each of which could carry a few bytes out, is slowed
// down.
func TestNewNamesAreRationed(t *testing.T) {
	var n names
	n.init(newPlan(rules(t, "*.cdn.example.net:443")))
	n.spare = make([]*os.File, 1000)
	found, began := 0, time.Now()
	for i := range 200 {
		_, err := n.find(strings.Repeat("a", 1+i%30)+strings.Repeat("b", 1+i/30)+".cdn.example.net", func(*os.File, netip.AddrPort) {})
		if err == nil {
			found++
		}
	}
	if most := 51 + int(10*time.Since(began).Seconds()); found < 50 || found > most {
		t.Errorf("%d of 200 names at once were told", found)
	}
}

func TestLimiter(t *testing.T) {
	l := limiter{rate: 10, burst: 3}
	at := time.Unix(1000, 0)
	take := func(n int) (got int) {
		for range n {
			if l.takeAt(at) {
				got++
			}
		}
		return got
	}
	var got []int
	got = append(got, take(5))
	at = at.Add(200 * time.Millisecond)
	got = append(got, take(5))
	at = at.Add(time.Hour)
	got = append(got, take(5))
	if !slices.Equal(got, []int{3, 2, 3}) {
		t.Errorf("let through %v", got)
	}
}

// The number of names is bounded also where they need no listener of their own.
func TestNamesAreBounded(t *testing.T) {
	var n names
	n.init(newPlan(rules(t, "*.cdn.example.net:443", "10.1.0.0/16:443")))
	n.fresh = limiter{burst: 1e6}
	found := 0
	for i := range 2 * maxNames {
		if _, err := n.find(strings.Repeat("a", 1+i%30)+strings.Repeat("b", 1+i/30)+".cdn.example.net", nil); err == nil {
			found++
		}
	}
	if found != maxNames {
		t.Errorf("%d names, want %d", found, maxNames)
	}
}
