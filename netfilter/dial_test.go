package netfilter

import (
	"context"
	"errors"
	"net/netip"
	"strconv"
	"testing"
)

// An address is dialled only if a rule names it, and some never are: connect(2)
// would take 0.0.0.0 for this machine.
func TestDialAddr(t *testing.T) {
	if !inWorld(t) {
		return
	}
	w := newWorld(t)
	for _, c := range []struct {
		addr  string
		named bool
		ok    bool
	}{
		{"203.0.113.5", true, true},
		{"127.0.0.1", true, true},
		{"169.254.169.254", true, true},
		{"::1", true, true},
		{"::ffff:10.0.0.1", true, true},
		{"203.0.113.5", false, false},
		{"::1", false, false},
		{"0.0.0.0", true, false},
		{"::", true, false},
		{"::ffff:0.0.0.0", true, false},
		{"224.0.0.1", true, false},
		{"ff02::1", true, false},
		{"255.255.255.255", true, false},
		{"fe80::1%lo", true, false},
		{"::1%lo", true, false},
	} {
		d := w.dialer()
		d.permits = func(netip.Addr, uint16) bool { return c.named }
		a := netip.MustParseAddr(c.addr)
		conn, err := d.dialAddr(context.Background(), netip.AddrPortFrom(a, w.port))
		if err == nil {
			conn.Close()
		}
		heard := w.since(t)
		bad := (*refusal)(nil)
		switch {
		case c.ok && (err != nil || len(heard) != 1 || heard[0] != a.Unmap()):
			t.Errorf("%s: %v; heard by %v", c.addr, err, heard)
		case !c.ok && (!errors.As(err, &bad) || len(heard) > 0):
			t.Errorf("%s, named %v: %v; heard by %v, want a refusal", c.addr, c.named, err, heard)
		}
	}
}

// Variables that other programs obey have no say.
func TestDialIgnoresProxyVariables(t *testing.T) {
	if !inWorld(t) {
		return
	}
	w := newWorld(t)
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"} {
		t.Setenv(name, "http://203.0.113.99:"+strconv.Itoa(int(w.port)))
	}
	w.set("name.test", "203.0.113.5")
	at, err := w.dial(t, w.dialer(), "name.test")
	if heard := w.since(t); err != nil || len(heard) != 1 || heard[0] != at.Addr() || at.Addr().String() != "203.0.113.5" {
		t.Errorf("%v, %v; heard by %v", at, err, heard)
	}
}

// Without a resolver of its own, a dialer asks as this machine does: here, its
// /etc/hosts, which is the only one to know this name.
func TestDialByHosts(t *testing.T) {
	d := &dialer{own: func() ([]netip.Addr, error) { return nil, nil }}
	_, _, err := d.dialName(context.Background(), "localhost", 9)
	bad := (*refusal)(nil)
	if !errors.As(err, &bad) {
		t.Errorf("%v, want a refusal: localhost is a loopback address", err)
	}
}
