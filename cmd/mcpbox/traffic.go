package main

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/netfilter"
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
	carried  map[carried]int64 // connections that are open
	kept     map[netfilter.Kind]int
	beyond   map[netfilter.Kind]int // events about destinations that are not kept
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
	t := &traffic{journal: j, console: c, name: name, tallies: map[netfilter.Event]*tally{}, kept: map[netfilter.Kind]int{}, beyond: map[netfilter.Kind]int{},
		carried: map[carried]int64{}}
	t.mu.Lock()
	return t
}

func (t *traffic) release() { t.mu.Unlock() }

// report is called by the filter, from any goroutine.
func (t *traffic) report(e netfilter.Event) {
	t.countNow(e)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.carry(e)
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
			t.beyond[e.Kind]++
			return
		}
		t.kept[e.Kind]++
		sum = &tally{event: key}
		t.tallies[key] = sum
		t.order = append(t.order, sum)
		if e.Kind == netfilter.Refused || e.Kind == netfilter.Failed {
			t.tell(e)
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

// carried is where open connections lead.
type carried struct {
	Name    string     `json:"name,omitempty"`
	Address netip.Addr `json:"address"`
	Port    uint16     `json:"port"`
	Rule    string     `json:"rule"`
	Count   int64      `json:"count"`
}

// carry keeps what snapshots show. There are never more than can be open at once.
func (t *traffic) carry(e netfilter.Event) {
	key := carried{Name: e.Name, Address: e.Address, Port: e.Port, Rule: e.Rule}
	switch e.Kind {
	case netfilter.Connected:
		t.carried[key]++
	case netfilter.Closed:
		if t.carried[key]--; t.carried[key] <= 0 {
			delete(t.carried, key)
		}
	}
}

// carrying lists the open connections, by where they lead.
func (t *traffic) carrying() []carried {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := []carried{}
	for c, n := range t.carried {
		c.Count = n
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b carried) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), a.Address.Compare(b.Address), cmp.Compare(a.Port, b.Port))
	})
	return list
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

// end writes the totals, and returns the lines that are left to say. The filter
// has ended by then.
func (t *traffic) end() []string {
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
	for _, kind := range slices.Sorted(maps.Keys(t.beyond)) {
		t.journal.Event(journal.Event{Kind: journal.Warning, Detail: fmt.Sprintf("%d more %s, of destinations that have no record of their own", t.beyond[kind], kind)})
	}
	return t.lines()
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
