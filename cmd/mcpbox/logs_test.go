package main

import (
	"encoding/json"
	"fmt"
	"slices"
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
		{`{"event":"connect","verdict":"failed","proto":"tcp","name":"a.b","port":443,"reason":"no route"}`, "allowed, but could not connect to a.b:443: no route", yellow},
		{`{"event":"connect","verdict":"refused","proto":"udp","address":"192.0.2.1","port":53,"reason":"no UDP leaves a box"}`, "refused 192.0.2.1:53 (udp): no UDP leaves a box", red},
		{`{"event":"connect","verdict":"refused","proto":"dns","name":"a;b","reason":"no rule","allow":"a;b:443"}`, "refused a;b (dns): no rule; to allow, add: --egress 'a;b:443' (port 443 is a guess)", red},
		{`{"event":"exit","code":0,"durationNs":2000000000,"userNs":10000000,"systemNs":10000000,"maxRssBytes":1048576,"toServer":{"lines":1},"toHost":{"lines":2}}`,
			"ended with code 0, after 2.00s; processor time 0.02s, largest process 1.0MiB; 1 line to it, 2 lines from it", plain},
		{`{"event":"exit","code":-1,"signal":9,"reason":"why"}`, "ended by SIGKILL: why, after 0.00s; processor time 0.00s, largest process 0B; 0 lines to it, 0 lines from it", yellow},
		{`{"event":"gap","lost":{"event":2,"connect":1},"from":"2026-01-01T00:00:00Z","to":"2026-01-01T00:00:01Z","cause":"no space left on device"}`,
			"lost records, which could not be written, from " + clock(0) + " to " + clock(1) + ": 1 connect, 2 event: no space left on device", red},
		{`{"event":"segment","segment":9,"removedThrough":3,"removedRecords":7,"removedBytes":2048}`, "goes on in segment 9; removed to make room: segments 2 to 3, 7 records, 2.0KiB", faint},
		{`{"event":"removed","runs":2,"bytes":1024,"through":"x"}`, "removed 2 journals of earlier runs, 1.0KiB, to make room", faint},
		{`{"event":"message","direction":"to_server","kind":"request","method":"tools/call","tool":"fetch","call":17,"bytes":412}`, "request of the host: tools/call fetch #17, 412B", plain},
		{`{"event":"message","direction":"to_host","kind":"answer","method":"tools/call","tool":"fetch","call":17,"bytes":2048,"durationNs":1300000000,"outcome":"ok","peakBytes":222298112}`,
			"tools/call fetch #17 → 212MiB peak, ok, 1.30s, 2.0KiB", plain},
		{`{"event":"message","direction":"to_host","kind":"answer","method":"tools/call","tool":"rm","call":18,"bytes":9,"outcome":"tool_error","reason":"no such file"}`,
			"tools/call rm #18 → tool error: no such file, 0.00s, 9B", yellow},
		{`{"event":"message","direction":"to_server","kind":"request","method":"tools/call","tool":"rm","call":18,"bytes":9,"outcome":"denied","reason":"tools.deny"}`,
			"request of the host: tools/call rm #18, 9B, denied: tools.deny", red},
		{`{"event":"message","direction":"to_host","kind":"noise","bytes":9}`, "noise of the server, 9B", yellow},
		{`{"event":"new","x":1}`, `{"event":"new","x":1}`, plain},
		{`{"event":"exit","code":"x"}`, `{"event":"exit","code":"x"}`, plain}, // not as it should be
	} {
		event, _, _ := strings.Cut(strings.TrimPrefix(c.line, `{"event":"`), `"`)
		text, tone := describeRecord(journal.Entry{Event: event, Line: []byte(c.line)}, nil)
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
	line := recordLine(e, nil, true)
	rest := strings.NewReplacer(faint, "", red, "", normal, "").Replace(line)
	if rest != recordLine(e, nil, false) || printable(rest) != rest || len(rest) == len(line) || strings.Contains(rest, "\n") {
		t.Errorf("%q\n%q", line, recordLine(e, nil, false))
	}
}

// clock is a second of 2026 as logs shows it here.
func clock(second int) string {
	return time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC).Local().Format(time.TimeOnly)
}

// What happens between a request and its answer stands with the answer, and with
// each of several that overlap, but not with another run's.
func TestCalls(t *testing.T) {
	entry := func(run string, at int, line string) journal.Entry {
		var event struct{ Event string }
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatal(err)
		}
		return journal.Entry{File: journal.File{ID: run}, Time: time.Unix(int64(at), 0), Event: event.Event, Line: []byte(line)}
	}
	request := func(call int) string {
		return fmt.Sprintf(`{"event":"message","kind":"request","method":"tools/call","tool":"t","call":%d}`, call)
	}
	answer := func(call int) string {
		return fmt.Sprintf(`{"event":"message","kind":"answer","method":"tools/call","tool":"t","call":%d,"outcome":"ok"}`, call)
	}
	connect := func(verdict, name string) string {
		return fmt.Sprintf(`{"event":"connect","verdict":%q,"proto":"tcp","name":%q,"port":443,"sentBytes":1}`, verdict, name)
	}
	c := new(calls)
	var got []string
	for _, e := range []journal.Entry{
		entry("a", 1, connect("connected", "before")),
		entry("a", 2, request(1)),
		entry("b", 2, request(1)),
		entry("a", 3, connect("connected", "x")),
		entry("a", 4, connect("connected", "x")),
		entry("a", 5, request(2)),
		entry("a", 6, connect("refused", "y")),
		entry("a", 6, `{"event":"event","kind":"frozen"}`),
		entry("a", 7, connect("closed", "x")),
		entry("a", 8, answer(1)),
		entry("a", 9, connect("failed", "z")),
		entry("a", 10, answer(2)),
		entry("a", 11, connect("refused", "after")),
		entry("a", 12, answer(3)), // to nothing
		entry("a", 13, answer(2)), // again
		entry("b", 14, answer(1)),
	} {
		if during := c.during(e); strings.Contains(string(e.Line), `"answer"`) {
			text, _ := describeRecord(e, during)
			got = append(got, e.ID+" "+text)
		}
	}
	want := []string{
		"a tools/call t #1 → connect x:443 allowed 2 times, connect y:443 denied, frozen, x:443 closed after 1B sent, 0B received, ok, 0.00s, 0B",
		"a tools/call t #2 → connect y:443 denied, frozen, x:443 closed after 1B sent, 0B received, connect z:443 failed, ok, 0.00s, 0B",
		"a tools/call t #3 → ok, 0.00s, 0B",
		"a tools/call t #2 → ok, 0.00s, 0B",
		"b tools/call t #1 → ok, 0.00s, 0B",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if of := c.runs["a"]; len(of.waiting) != 0 || len(of.recent) > 3 {
		t.Errorf("%d requests and %d records are kept", len(of.waiting), len(of.recent))
	}
}
