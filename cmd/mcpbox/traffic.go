package main

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/netfilter"
	"github.com/mcpbox/mcpbox/policy"
)

// The server decides how often the filter has something to report, so what is
// kept and written of it is bounded. Beyond these, there are totals.
const (
	trafficKept     = 1000 // destinations of each kind of event, so that none displaces another
	trafficRecorded = 2000 // records of single connections
	trafficSaid     = 5    // destinations in a line
)

// sayAfter is how long after the first refusal a person is told of it: by then
// the others of a start that went wrong have come, too.
const sayAfter = 2 * time.Second

// traffic writes down what the filter reports, and says what was refused.
type traffic struct {
	journal *journal.Journal
	console console
	name    string
	open    atomic.Int64 // connections
	denied  atomic.Int64 // connections and questions for names

	mu       sync.Mutex
	recorded int
	tallies  map[netfilter.Event]*tally
	order    []*tally
	kept     map[netfilter.Kind]int
	beyond   int // events about destinations that are not kept
	unsaid   []netfilter.Event
	say      *time.Timer
}

// tally sums over what happened to one destination.
type tally struct {
	event    netfilter.Event // the first of them, without its figures
	count    int64
	written  int64 // how many of them have a record of their own
	sent     int64
	received int64
}

// newTraffic returns one that keeps who reports waiting until release: nothing
// connects before there is a record of the run.
func newTraffic(j *journal.Journal, c console, name string) *traffic {
	t := &traffic{journal: j, console: c, name: name, tallies: map[netfilter.Event]*tally{}, kept: map[netfilter.Kind]int{}}
	t.mu.Lock()
	return t
}

func (t *traffic) release() { t.mu.Unlock() }

// report is called by the filter, from any goroutine.
func (t *traffic) report(e netfilter.Event) {
	t.countNow(e)
	t.mu.Lock()
	defer t.mu.Unlock()
	key := e
	key.Sent, key.Received, key.Duration = 0, 0, 0
	switch e.Kind {
	case netfilter.Closed:
		key.Address, key.Reason = netip.Addr{}, ""
	case netfilter.Failed:
		key.Reason = "" // which may hold a port that is new each time
	}
	sum := t.tallies[key]
	if sum == nil {
		if t.kept[e.Kind] == trafficKept {
			t.beyond++
			return
		}
		t.kept[e.Kind]++
		sum = &tally{event: key}
		t.tallies[key] = sum
		t.order = append(t.order, sum)
		if e.Kind == netfilter.Refused {
			t.refused(e)
		}
	}
	sum.count++
	sum.sent += e.Sent
	sum.received += e.Received
	// Of what repeats, only connections that were made are told one by one.
	single := e.Kind == netfilter.Connected || e.Kind == netfilter.Closed
	if sum.count == 1 || single && t.recorded < trafficRecorded {
		t.recorded++
		sum.written++
		t.journal.Connect(record(e, 0))
	}
}

// countNow keeps the figures that ps shows.
func (t *traffic) countNow(e netfilter.Event) {
	switch e.Kind {
	case netfilter.Connected:
		t.open.Add(1)
	case netfilter.Closed:
		t.open.Add(-1)
	case netfilter.Refused:
		t.denied.Add(1)
	}
}

// refused has a refusal said, together with those that follow at once.
func (t *traffic) refused(e netfilter.Event) {
	t.unsaid = append(t.unsaid, e)
	if t.say == nil {
		t.say = time.AfterFunc(sayAfter, func() {
			t.mu.Lock()
			line := t.line()
			t.mu.Unlock()
			if line != "" {
				t.console.say("%s", line)
			}
		})
	}
}

// end writes the totals, and returns what is left to say, or "". The filter has
// ended by then.
func (t *traffic) end() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.say != nil {
		t.say.Stop()
	}
	for _, sum := range t.order {
		if sum.count > sum.written {
			e := sum.event
			e.Sent, e.Received = sum.sent, sum.received
			t.journal.Connect(record(e, sum.count))
		}
	}
	if t.beyond > 0 {
		t.journal.Event(journal.Event{Kind: journal.Warning, Detail: plural(t.beyond, "more connection event") + " about other destinations, not recorded"})
	}
	return t.line()
}

// line is what a person should know about refusals, and what to do about them.
func (t *traffic) line() string {
	var what, flags []string
	var why []string
	more := 0
	for _, e := range t.unsaid {
		if e.Proto == "udp" && e.Port == 443 {
			continue // QUIC: the program goes on with TCP
		}
		if len(what) == trafficSaid {
			more++
			continue
		}
		what = append(what, destination(e))
		if !slices.Contains(why, e.Reason) {
			why = append(why, e.Reason)
		}
		if flag := "--egress " + shellQuote(e.Allow); e.Allow != "" && !slices.Contains(flags, flag) {
			flags = append(flags, flag)
		}
	}
	t.unsaid = nil
	if len(what) == 0 {
		return ""
	}
	list := strings.Join(what, ", ")
	if more > 0 {
		list += fmt.Sprintf(" and %d more (mcpbox logs --denied %s)", more, t.name)
	}
	line := fmt.Sprintf("%s: refused %s: %s", t.name, list, strings.Join(why, "; "))
	if len(flags) > 0 {
		line += "; to allow, add: " + strings.Join(flags, " ")
	}
	return line
}

// destination is what a refused event was about, as a person would write it.
func destination(e netfilter.Event) string {
	switch {
	case e.Port == 0:
		return cut(e.Name)
	case e.Name != "":
		return fmt.Sprintf("%s:%d", cut(e.Name), e.Port)
	}
	text := netip.AddrPortFrom(e.Address, e.Port).String()
	if e.Proto == "udp" {
		text += "/udp"
	}
	return text
}

// record is an event for the journal; count is 0 for a single one.
func record(e netfilter.Event, count int64) journal.Connection {
	r := journal.Connection{
		Verdict: string(e.Kind), Proto: e.Proto, Name: e.Name, Port: e.Port, Rule: e.Rule, Reason: cut(e.Reason),
		Allow: e.Allow, Sent: e.Sent, Received: e.Received, Duration: e.Duration, Count: count,
	}
	if e.Address.IsValid() {
		r.Address = e.Address.String()
	}
	return r
}
