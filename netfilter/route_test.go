package netfilter

import (
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/integration/netns"
	"golang.org/x/sys/unix"
)

// What no interface has may be this machine's all the same, by a route: the whole
// world of this test is.
func TestDialRoutes(t *testing.T) {
	if !inWorld(t) {
		return
	}
	w := newWorld(t)
	for _, a := range []string{"203.0.113.5", "2606:4700::5"} {
		w.set("name.test", a)
		d := w.dialer()
		if at, err := w.dial(t, d, "name.test"); err != nil || len(w.since(t)) != 1 { // the control
			t.Fatalf("%s: %v, %v", a, at, err)
		}
		d.route = delivery
		at, err := w.dial(t, d, "name.test")
		bad := (*refusal)(nil)
		if !errors.As(err, &bad) || !strings.Contains(bad.reason, "of this machine, by a route") || bad.allow != netip.AddrPortFrom(netip.MustParseAddr(a), w.port).String() {
			t.Errorf("%s: %v, %v, want a refusal that says how to allow it", a, at, err)
		}
		if heard := w.since(t); len(heard) > 0 {
			t.Errorf("%s: %v heard of a refused dial", a, heard)
		}
		d = w.dialer(a) // a rule names it
		d.route = delivery
		if at, err := w.dial(t, d, "name.test"); err != nil || len(w.since(t)) != 1 {
			t.Errorf("%s, named by a rule: %v, %v", a, at, err)
		}
	}
	// Nobody can say.
	d := w.dialer()
	d.route = func(netip.AddrPort) (string, error) { return "", errors.New("no netlink") }
	if _, err := w.dial(t, d, "name.test"); err == nil || !strings.Contains(err.Error(), "no netlink") {
		t.Errorf("unknown routes: %v", err)
	}
	w.since(t)
}

func TestRouteType(t *testing.T) {
	if !inWorld(t) {
		return
	}
	newWorld(t)
	if err := netns.IP(`route add 203.0.113.9/32 dev lo table local
route add broadcast 203.0.113.10/32 dev lo table local
route add multicast 203.0.113.11/32 dev lo table local
route add prohibit 203.0.113.12/32 table local
route add anycast 2606:4700::9/128 dev lo table local
route add unreachable 2606:4700::a/128 table local
route add 2606:4700::b/128 dev lo table local
rule add table local priority 2
rule del table local priority 0
rule add to 203.0.113.20/32 ipproto tcp dport 443 table 77 priority 1
route add 203.0.113.20/32 dev lo table 77
`); err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]uint8{
		"203.0.113.5:80": unix.RTN_LOCAL, "127.0.0.1:80": unix.RTN_LOCAL, "[::1]:80": unix.RTN_LOCAL, "[2606:4700::5]:80": unix.RTN_LOCAL,
		"203.0.113.9:80": unix.RTN_UNICAST, "203.0.113.10:80": unix.RTN_BROADCAST, "203.0.113.11:80": unix.RTN_MULTICAST,
		"203.0.113.12:80": unix.RTN_UNREACHABLE, "198.51.100.66:80": unix.RTN_UNREACHABLE,
		"[2606:4700::9]:80": unix.RTN_ANYCAST, "[2606:4700::a]:80": unix.RTN_UNREACHABLE, "[2606:4700::b]:80": unix.RTN_UNICAST,
		"203.0.113.20:80": unix.RTN_LOCAL, "203.0.113.20:443": unix.RTN_UNICAST,
	} {
		if got, err := routeType(netip.MustParseAddrPort(at)); err != nil || got != want {
			t.Errorf("%s: %d, %v, want %d", at, got, err, want)
		}
	}
}

func TestReadRoute(t *testing.T) {
	for _, m := range [][]byte{nil, make([]byte, 15), make([]byte, 20), routeQuestion(netip.MustParseAddrPort("1.1.1.1:1"))} {
		if kind, err := readRoute(m); err == nil {
			t.Errorf("%v: %d", m, kind)
		}
	}
}

func BenchmarkDelivery(b *testing.B) {
	for b.Loop() {
		if _, err := delivery(netip.MustParseAddrPort("127.0.0.1:80")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkInterfaceAddrs(b *testing.B) {
	for b.Loop() {
		interfaceAddrs()
	}
}
