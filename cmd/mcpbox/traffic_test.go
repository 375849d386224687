package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/netfilter"
)

// testTraffic returns a recorder, and a function that ends it and returns the
// last line and the journal.
func testTraffic(t *testing.T) (*traffic, func() (string, []journal.Connection)) {
	t.Helper()
	state := t.TempDir()
	if err := os.Chmod(state, 0o700); err != nil {
		t.Fatal(err)
	}
	j, err := journal.Open(journal.Config{State: state, Name: "x"})
	if err != nil {
		t.Fatal(err)
	}
	tr := newTraffic(j, console{err: os.Stderr}, "x")
	tr.release()
	return tr, func() (string, []journal.Connection) {
		line := strings.Join(tr.end(), "\n")
		defer j.Close()
		f, err := os.Open(j.Path())
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		var list []journal.Connection
		for s := bufio.NewScanner(f); s.Scan(); {
			var c struct {
				Event string
				journal.Connection
			}
			if err := json.Unmarshal(s.Bytes(), &c); err != nil {
				t.Fatal(err)
			}
			if c.Event == "connect" {
				list = append(list, c.Connection)
			}
		}
		return line, list
	}
}

func refusedName(name string) netfilter.Event {
	return netfilter.Event{Kind: netfilter.Refused, Proto: "dns", Name: name, Reason: "no rule allows it", Allow: name + ":443"}
}

func TestTrafficLine(t *testing.T) {
	one := netip.MustParseAddr("1.1.1.1")
	for _, c := range []struct {
		events []netfilter.Event
		want   string
	}{
		{nil, ""},
		{[]netfilter.Event{{Kind: netfilter.Connected, Proto: "tcp", Name: "a.test", Port: 443}, {Kind: netfilter.Failed, Proto: "tcp", Name: "a.test", Port: 443, Reason: "no route"}}, "x: allowed, but could not connect to a.test:443 (no route)"},
		{[]netfilter.Event{refusedName("a.test")}, "x: refused a.test: no rule allows it; to allow, add: --egress a.test:443 (port 443 is a guess for a.test)"},
		{[]netfilter.Event{refusedName("a.test"), refusedName("a.test"),
			{Kind: netfilter.Refused, Proto: "tcp", Address: one, Port: 80, Reason: "no rule allows it", Allow: "1.1.1.1:80"}},
			"x: refused a.test, 1.1.1.1:80: no rule allows it; to allow, add: --egress a.test:443 --egress 1.1.1.1:80 (port 443 is a guess for a.test)"},
		{[]netfilter.Event{refusedName("a.test"), {Kind: netfilter.Failed, Proto: "tcp", Name: "b.test", Port: 25, Reason: "no such host"}, {Kind: netfilter.Failed, Proto: "tcp", Address: one, Port: 1, Reason: "connection refused"}},
			"x: refused a.test: no rule allows it; to allow, add: --egress a.test:443 (port 443 is a guess for a.test)\n" +
				"x: allowed, but could not connect to b.test:25 (no such host), 1.1.1.1:1 (connection refused)"},
		// That is no trouble.
		{[]netfilter.Event{{Kind: netfilter.Abandoned, Proto: "tcp", Name: "a.test", Port: 443, Reason: "the program closed it without a byte"}}, ""},
		{[]netfilter.Event{{Kind: netfilter.Refused, Proto: "tcp", Name: "a.test", Port: 443, Rule: "a.test:443", Reason: `the TLS server name is "b.test", not "a.test"`}},
			`x: refused a.test:443: the TLS server name is "b.test", not "a.test"`},
		// QUIC has a successor in the same breath: TCP.
		{[]netfilter.Event{{Kind: netfilter.Refused, Proto: "udp", Address: one, Port: 443, Reason: "no UDP leaves a box"}}, ""},
		{[]netfilter.Event{{Kind: netfilter.Refused, Proto: "udp", Address: one, Port: 123, Reason: "no UDP leaves a box"}}, "x: refused 1.1.1.1:123/udp: no UDP leaves a box"},
	} {
		tr, end := testTraffic(t)
		for _, e := range c.events {
			tr.report(e)
		}
		if line, _ := end(); line != c.want {
			t.Errorf("%v\n got %q\nwant %q", c.events, line, c.want)
		}
	}
}

// However much a server makes the filter report, what is written is bounded,
// and the sums are right.
func TestTrafficIsBounded(t *testing.T) {
	tr, end := testTraffic(t)
	const n = 5000
	open := netfilter.Event{Kind: netfilter.Connected, Proto: "tcp", Name: "a.test", Address: netip.MustParseAddr("192.0.2.1"), Port: 443}
	closed := open
	closed.Kind, closed.Sent, closed.Received = netfilter.Closed, 2, 3
	for i := range n {
		closed.Duration = time.Duration(i)
		tr.report(open)
		tr.report(closed)
		tr.report(refusedName(fmt.Sprintf("%d.test", i)))
		tr.report(refusedName("same.test"))
	}
	abandoned := netfilter.Event{Kind: netfilter.Abandoned, Proto: "tcp", Name: "a.test", Port: 443, Rule: "a.test:443", Reason: "closed"}
	for range n {
		tr.report(abandoned)
	}
	// What was refused before does not hide what is connected after.
	late := open
	late.Name = "late.test"
	tr.report(late)
	line, list := end()
	if !slices.ContainsFunc(list, func(c journal.Connection) bool { return c.Name == "late.test" && c.Verdict == "connected" }) {
		t.Error("a connection after many refusals has no record")
	}
	if len(list) > trafficRecorded+4*trafficKept {
		t.Errorf("%d records", len(list))
	}
	if !strings.Contains(line, "and 99") || len(line) > 1000 {
		t.Errorf("line %q", line)
	}
	sums := map[string]journal.Connection{}
	for _, c := range list {
		if c.Count > 0 {
			sums[c.Verdict+" "+c.Name] = c
		}
	}
	if c := sums["closed a.test"]; c.Count != n || c.Sent != 2*n || c.Received != 3*n {
		t.Errorf("sum of connections: %+v", c)
	}
	if c := sums["refused same.test"]; c.Count != n || c.Allow != "same.test:443" {
		t.Errorf("sum of refusals: %+v", c)
	}
	if c := sums["abandoned a.test"]; c.Count != n {
		t.Errorf("sum of abandoned connections: %+v", c)
	}
	if _, summed := sums["refused 0.test"]; summed {
		t.Error("what happened once, and was written, is summed up")
	}
}
