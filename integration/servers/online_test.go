package servers

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/integration/setup"
)

// Public servers reach by name what the rules of their boxes allow, with clients
// of several kinds, most of which no proxy variable would reach. What they do
// beyond it is refused, written down and said. The first part runs them without
// a box, which shows that they do all of it, and that the origin hears it.
func TestOnline(t *testing.T) {
	box, p := mcpbox(t), place(t)
	setup.Need(t, noNetwork == nil, "a network namespace of the test's own")
	setup.Need(t, p.Browser != "", "Chromium: install Debian's chromium-headless-shell")
	rows := onlines()
	var everything, allowed, names []string
	for _, s := range rows {
		yes, _ := judge(s.destinations(), s.rules)
		everything, allowed = append(everything, s.destinations()...), append(allowed, yes...)
	}
	for _, at := range everything {
		if host, _ := apart(at); !isAddress(host) {
			names = append(names, host)
		}
	}
	r := &onlineRun{origin: newOrigin(t, names), place: p, mcpbox: box, who: accounts(t)[0], bare: map[string]*Observation{}}
	r.part(t, "bare", rows, everything, r.outside)
	if t.Failed() {
		t.Fatal("there is nothing to compare with")
	}
	before := sent(t)
	r.part(t, "rules", rows, allowed, func(t *testing.T, s online) { r.inside(t, s, s.rules) })
	_, _, arrived := r.origin.heard()
	curious := slices.DeleteFunc(rows, func(s online) bool { return len(s.Dials) == len(s.late) })
	for i := range curious {
		curious[i].Calls, curious[i].asked = nil, nil
	}
	r.part(t, "no rules", curious, nil, func(t *testing.T, s online) { r.inside(t, s, nil) })

	// mcpbox alone has sockets in this namespace since the first part: nothing
	// got out in a way that the origin does not know, and nothing was tried.
	after := sent(t)
	same(t, "connections since the first part", arrived, after.connections-before.connections)
	same(t, "datagrams since the first part", 0, after.datagrams-before.datagrams)
}

// onlineRun is what the parts of the test share.
type onlineRun struct {
	origin *origin
	place  Place
	mcpbox string
	who    account

	mu   sync.Mutex
	bare map[string]*Observation // by server
}

// part does something with each server, and wants these destinations, and no
// others, to be reached meanwhile.
func (r *onlineRun) part(t *testing.T, name string, rows []online, want []string, do func(*testing.T, online)) {
	r.origin.forget()
	t.Run(name, func(t *testing.T) {
		for _, s := range rows {
			t.Run(s.ID, func(t *testing.T) {
				t.Parallel()
				do(t, s)
			})
		}
	})
	opened, spoken, _ := r.origin.heard()
	slices.Sort(want)
	same(t, name+": where connections came", want, opened)
	var hasty []string
	for _, s := range rows {
		hasty = append(hasty, s.hasty...)
	}
	patient := func(list []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(at string) bool { return slices.Contains(hasty, at) })
	}
	same(t, name+": whom their first bytes name", patient(want), patient(spoken))
}

// outside runs s without a box.
func (r *onlineRun) outside(t *testing.T, s online) {
	heard := func(at string) bool {
		opened, spoken, _ := r.origin.heard()
		if slices.Contains(s.hasty, at) {
			return slices.Contains(opened, at)
		}
		return slices.Contains(spoken, at)
	}
	var seen *Observation
	var stderr string
	thrice(func() bool {
		p, home := r.home(t)
		argv, env := s.Bare(p)
		seen, stderr = watch(t, r.who, s.Server, p, home, argv, env, func() {
			patience(func() bool { return all(s.prompt(), heard) })
		})
		return all(s.destinations(), heard)
	})
	text := ""
	for i, o := range seen.Outcomes {
		text = o.Text
		if o.Failed {
			t.Errorf("bare: call %d, %s: %s\n%s", i, o.Tool, o.Text, tail(stderr))
		}
	}
	if len(s.asked) > 0 && !strings.Contains(text, greeting) {
		t.Errorf("bare: the origin's answer did not arrive: %s", text)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bare[s.ID] = seen
}

// inside runs s in a box with rules.
func (r *onlineRun) inside(t *testing.T, s online, rules []string) {
	allowed, refused := judge(s.destinations(), rules)
	for i, at := range refused {
		refused[i] = hint(at)
	}
	slices.Sort(refused)
	var done, not []string
	var seen *Observation
	var stderr string
	thrice(func() bool {
		p, home := r.home(t)
		argv := s.boxed(slices.Concat(rules, r.origin.addresses(allowed))).Boxed(r.mcpbox, p)
		seen, stderr = watch(t, r.who, s.Server, p, home, argv, nil, func() {
			patience(func() bool {
				done, not = connects(t, home, s.ID)
				return len(done)+len(not) >= len(s.prompt())
			})
		})
		done, not = connects(t, home, s.ID)
		return len(done) >= len(allowed) && len(not) >= len(refused)
	})
	same(t, "allowed, by the journal", allowed, done)
	same(t, "refused, by the journal", refused, not)
	for _, rule := range refused {
		if !said(stderr, s.ID, rule) {
			t.Errorf("%s is not on stderr", rule)
		}
	}
	if len(refused) == 0 && said(stderr, s.ID, "") {
		t.Error("something is said to be refused")
	}
	r.mu.Lock()
	bare := r.bare[s.ID]
	r.mu.Unlock()
	same(t, "tools", bare.Tools, seen.Tools)
	if len(s.Calls) > 0 {
		same(t, "outcomes", bare.Outcomes, seen.Outcomes)
	}
	if t.Failed() {
		t.Logf("stderr ends:\n%s", tail(stderr))
	}
}

// home is a new one, with the origin's certificate in the project.
func (r *onlineRun) home(t *testing.T) (p Place, home string) {
	t.Helper()
	home = filepath.Join(setup.Scratch(t, "mcpbox-servers-"), "home")
	p = r.place
	p.Work = r.who.home(t, home)
	if err := os.WriteFile(filepath.Join(p.Work, "origin.pem"), r.origin.pem, 0o644); err != nil {
		t.Fatal(err)
	}
	return p, home
}

// thrice tries until something is complete. A server gives up a connection that
// takes it long to begin, which on a busy machine is any.
func thrice(complete func() bool) {
	for range 3 {
		if complete() {
			return
		}
	}
}

// patience waits until something is so, and a moment more for what should not
// be.
func patience(so func() bool) {
	for range 80 {
		if so() {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	time.Sleep(200 * time.Millisecond)
}

func all(list []string, is func(string) bool) bool {
	return !slices.ContainsFunc(list, func(s string) bool { return !is(s) })
}
