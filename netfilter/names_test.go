package netfilter

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mcpbox/mcpbox/policy"
	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"
)

// A program in the box may listen at a port before a name below a suffix is
// asked for. That costs names this port, and neither their others nor any
// socket of names to come.
func TestPortHeldByTheBox(t *testing.T) {
	if !inWorld(t) { // a network in which every address is local, as a box's
		return
	}
	newWorld(t)
	held, err := net.Listen("tcp4", "0.0.0.0:8443")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	var mu sync.Mutex
	var events []Event // about the port
	f := New(Config{Network: policy.Network{Allow: rules(t, "*.cdn.example.net:443,8443,9443")}, Report: func(e Event) {
		mu.Lock()
		defer mu.Unlock()
		if e.Port == 8443 {
			events = append(events, e)
		}
	}})
	defer f.Close()
	var spare []*os.File
	for range 6 {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		spare = append(spare, os.NewFile(uintptr(fd), "spare"))
	}
	f.names.setSpare(spare)
	for _, name := range []string{"a.cdn.example.net", "b.cdn.example.net"} {
		events = nil
		a, verdict := f.lookup(name, dnsmessage.TypeA)
		if verdict != dnsFound {
			t.Fatalf("%s: %v", name, verdict)
		}
		if again, verdict := f.lookup(name, dnsmessage.TypeA); verdict != dnsFound || again != a {
			t.Errorf("%s, asked again: %s, %v", name, again, verdict)
		}
		want := Event{Kind: Failed, Proto: "tcp", Name: name, Port: 8443}
		if len(events) != 1 || !strings.Contains(events[0].Reason, "a program in the box listens at that port") {
			t.Fatalf("%s: %+v", name, events)
		}
		if events[0].Reason = ""; events[0] != want {
			t.Errorf("%s: %+v, want %+v", name, events, want)
		}
		for _, port := range []uint16{443, 9443} {
			c, err := net.Dial("tcp4", netip.AddrPortFrom(a, port).String())
			if errors.Is(err, unix.ECONNREFUSED) { // rather than reset, since the name does not exist
				t.Errorf("%s:%d: nobody listens", name, port)
			} else if err == nil {
				c.Close()
			}
			if d := f.names.at(a); d == nil || !slices.ContainsFunc(d.rules, func(r policy.Rule) bool { return r.HasPort(port) }) {
				t.Errorf("%s is not known by its address", name)
			}
		}
	}
}
