package main

import (
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
)

func TestDescribeRecord(t *testing.T) {
	for _, c := range []struct{ line, text, tone string }{
		{`{"event":"start","argv":["sh","-c","a b"],"profile":"node","layers":[{"name":"seccomp","state":"enforced"},{"name":"landlock","state":"missing"}]}`,
			"started: sh -c 'a b', profile node; landlock is missing", plain},
		{`{"event":"start","argv":["x"]}`, "started: x", plain},
		{`{"event":"event","kind":"frozen","detail":"by mcpbox freeze, process 1"}`, "frozen by mcpbox freeze, process 1", yellow},
		{`{"event":"event","kind":"cover_lost","path":"/p","detail":"why"}`, "cover lost: /p: why", yellow},
		{`{"event":"connect","verdict":"connected","proto":"tcp","name":"a.b","address":"::1","port":443,"rule":"a.b:443"}`, "connected a.b:443 at ::1, by the rule a.b:443", plain},
		{`{"event":"connect","verdict":"closed","proto":"tcp","address":"2001:db8::1","port":443,"count":3,"sentBytes":1,"receivedBytes":2048}`,
			"closed [2001:db8::1]:443, 3 times, sent 1B, received 2.0KiB", plain},
		{`{"event":"connect","verdict":"failed","proto":"tcp","name":"a.b","port":443,"reason":"no route"}`, "failed a.b:443: no route", yellow},
		{`{"event":"connect","verdict":"refused","proto":"udp","address":"192.0.2.1","port":53,"reason":"no UDP leaves a box"}`, "refused 192.0.2.1:53 (udp): no UDP leaves a box", red},
		{`{"event":"connect","verdict":"refused","proto":"dns","name":"a;b","reason":"no rule","allow":"a;b:443"}`, "refused a;b (dns): no rule; to allow, add: --egress 'a;b:443'", red},
		{`{"event":"exit","code":0,"durationNs":2000000000,"userNs":10000000,"systemNs":10000000,"maxRssBytes":1048576,"toServer":{"lines":1},"toHost":{"lines":2}}`,
			"ended with code 0, after 2.00s; processor time 0.02s, largest process 1.0MiB; 1 line to it, 2 lines from it", plain},
		{`{"event":"exit","code":-1,"signal":9,"reason":"why"}`, "ended by SIGKILL: why, after 0.00s; processor time 0.00s, largest process 0B; 0 lines to it, 0 lines from it", yellow},
		{`{"event":"new","x":1}`, `{"event":"new","x":1}`, plain},
		{`{"event":"exit","code":"x"}`, `{"event":"exit","code":"x"}`, plain}, // not as it should be
	} {
		event, _, _ := strings.Cut(strings.TrimPrefix(c.line, `{"event":"`), `"`)
		text, tone := describeRecord(journal.Entry{Event: event, Line: []byte(c.line)})
		if text != c.text || tone != c.tone {
			t.Errorf("%s\n got %s (%q)\nwant %s (%q)", c.line, text, tone, c.text, c.tone)
		}
	}
}

// Whatever a record says, the only control characters are the colours.
func TestRecordLine(t *testing.T) {
	e := journal.Entry{
		File: journal.File{Name: "fs", ID: "00000001"}, Time: time.Unix(0, 0), Event: "connect",
		Line: []byte(`{"event":"connect","verdict":"refused","proto":"tcp","name":"\u001b[2J\u202ex\nmcpbox: fine","reason":"\u009b31m"}`),
	}
	line := recordLine(e, true)
	rest := strings.NewReplacer(faint, "", red, "", normal, "").Replace(line)
	if rest != recordLine(e, false) || printable(rest) != rest || len(rest) == len(line) || strings.Contains(rest, "\n") {
		t.Errorf("%q\n%q", line, recordLine(e, false))
	}
}
