package egress

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// row is one client, and what must become of it.
//
// An outcome is what the client printed, its white space as single blanks, and
// " exit N" if it failed. In a row, "|" separates outcomes that are as good as
// each other, and "~" begins one that only has to be contained.
type row struct {
	// id is the item of the lists of attacks that this is about, or "use" for
	// what honest programs do.
	id    string
	tries string

	// rules are what --egress says, flags are other flags of mcpbox run, and
	// policy is the server's policy file.
	rules  []string
	flags  []string
	policy string
	// env is what the launcher has in its environment, not the client.
	env []string

	// run is the command. {probe} is the probe, {secret} a word that no
	// server may be told by the box, {ca} the file of trusted certificates.
	run []string
	// prepare starts what the row needs, or skips it.
	prepare func(*testing.T, *world)

	// bare is the control: what the same command comes to without a box, where
	// it must reach whatever it tries. Empty is the same as boxed; "n/a: why"
	// is no control.
	bare  string
	boxed string
	// heard is everything that leaves the host for the box, or reaches a
	// server of the host: see watch and same. Bare, something must be heard,
	// unless the row is about something else: quiet.
	heard []string
	quiet bool
	// refused is every refusal and failure in the journal: see refusals and
	// same.
	refused []string
	// slow is for what may take its time.
	slow bool
	// alone is for a box with nothing declared, not even the probe.
	alone bool
}

// https is what is heard of an allowed connection, by host and port of the
// report: the name is looked up, and the server is told something.
func https(name, at string) []string {
	return []string{"dns " + name, "tcp " + at, "bytes " + at}
}

// empty is what may be heard of a connection that turned out not to be for the
// name: at worst its server sees one without a byte.
func empty(name, at string) []string { return []string{"?dns " + name, "?tcp " + at} }

// TestRows runs every row bare, boxed, and boxed by root.
func TestRows(t *testing.T) {
	w := needWorld(t)
	users := accounts(t)
	for _, r := range rows() {
		t.Run(r.id+" "+r.tries, func(t *testing.T) {
			if r.prepare != nil {
				r.prepare(t, w)
			}
			r.control(t, w, users[0])
			for _, a := range users {
				t.Run(a.name, func(t *testing.T) { r.box(t, w, a) })
			}
		})
	}
}

// What clients say of a connection that was accepted and then ended.
const (
	reset = "ECONNRESET|EPIPE|EOF"
	cut   = "exit 7|exit 52|exit 55|exit 56" // curl; 7 where it ended before curl looked
)

func rows() []row {
	return slices.Concat(clientRows, protocolRows, ruleRows, refusedRows, rangeRows(), resolutionRows, nameRows, tlsRows, httpRows,
		adminRows, proxyRows, noneRows)
}

// control runs the command without a box. What it proves is that the servers
// are there, and that the watch hears of it.
func (r row) control(t *testing.T, w *world, a account) {
	if strings.HasPrefix(r.bare, "n/a: ") {
		return
	}
	want := r.bare
	if want == "" {
		want = r.boxed
	}
	secret := newSecret()
	w.rewind()
	got := w.bare(t, a, r, secret)
	heard, err := w.watch.report()
	if err != nil {
		t.Error(err)
	}
	if !matches(want, got.outcome()) {
		t.Errorf("bare: %q, want %q\n%s", got.outcome(), want, got.stderr)
	}
	if len(heard.events) == 0 && !r.quiet {
		t.Errorf("bare: nothing was heard, so that silence proves nothing")
	}
	if slices.ContainsFunc(r.run, func(s string) bool { return strings.Contains(s, "{secret}") }) && !heard.knows(secret) {
		t.Errorf("bare: the secret did not arrive, so that its absence proves nothing: heard %q", heard.events)
	}
	if t.Failed() {
		t.FailNow()
	}
}

// box runs the command in a box, and looks at what came of it inside, outside
// and in the journal.
func (r row) box(t *testing.T, w *world, a account) {
	secret := newSecret()
	w.rewind()
	got := w.boxed(t, a, r, secret)
	heard, err := w.watch.report()
	if err != nil {
		t.Error(err)
	}
	if !matches(r.boxed, got.outcome()) {
		t.Errorf("boxed: %q, want %q", got.outcome(), r.boxed)
	}
	if !same(heard.events, r.heard) {
		t.Errorf("heard %q, want %q", heard.events, r.heard)
	}
	if heard.knows(secret) {
		t.Errorf("the secret got out: heard %q", heard.events)
	}
	var want []string
	for _, s := range r.refused {
		want = append(want, strings.ReplaceAll(s, "{secret}", secret))
	}
	if refused := got.refusals(t); !same(refused, want) {
		t.Errorf("journal: refused %q, want %q", refused, want)
	}
	got.told(t)
	if !r.slow && got.took > 5*time.Second {
		t.Errorf("took %v", got.took)
	}
	if t.Failed() {
		t.Logf("stderr: %s\njournal: %s", got.stderr, got.connections())
	}
}

// same reports whether two sets are equal. In want, "|" separates things of
// which there is one, "?" begins what may be missing, and a lone "*" is one or
// more of any kind.
func same(got, want []string) bool {
	if len(want) == 1 && want[0] == "*" {
		return len(got) > 0
	}
	known := 0
	for _, s := range want {
		some, optional := strings.CutPrefix(s, "?")
		there := 0
		for one := range strings.SplitSeq(some, "|") {
			if slices.Contains(got, one) {
				there++
			}
		}
		if there > 1 || there == 0 && !optional {
			return false
		}
		known += there
	}
	return known == len(got)
}

// matches reports whether an outcome is one of those wanted.
func matches(want, got string) bool {
	for w := range strings.SplitSeq(want, "|") {
		if part, ok := strings.CutPrefix(w, "~"); ok && strings.Contains(got, part) || w == got {
			return true
		}
	}
	return false
}

// knows reports whether any server was told the secret, or any name server in a
// name, whatever its case.
func (r report) knows(secret string) bool {
	told := strings.ToLower(string(r.said)) + fmt.Sprint(r.events)
	return strings.Contains(told, secret)
}
