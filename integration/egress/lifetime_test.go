package egress

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// T-E1: with the launcher die the box and every connection.
func TestLauncherDeath(t *testing.T) {
	eachBox(t, func(t *testing.T, w *world, a account) {
		r := row{rules: []string{"tcp://good.example.com:7000"}}
		cmd, journal := w.box(t, a, r, a.file(w, "probe"), "hold", "good.example.com:7000")
		s := start(t, cmd)
		if line := s.line(); line != "held" {
			t.Fatalf("%q: %s", line, s.stderr())
		}
		if n := holders(a); n == 0 {
			t.Fatal("no process of the box is to be seen, so that its absence proves nothing")
		}
		if err := cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		gone := false
		for range 200 {
			if gone = holders(a) == 0; gone {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		if !gone {
			t.Error("the box outlives its launcher")
		}
		if _, err := w.watch.report(); err != nil {
			t.Errorf("a connection outlives its launcher: %v", err)
		}
		// What is left in containerd goes with the next command.
		if got := run(t, a.command(w, w.file("mcpbox"), "ps")); got.code != 0 {
			t.Errorf("ps: %q, %s", got.outcome(), got.stderr)
		}
		journal()
	})
}

// holders counts the processes that hold a connection; with gVisor, which runs them,
// its own, of this test's containerd.
func holders(a account) (n int) {
	mark := "probe\x00hold\x00"
	if a.in != nil && a.in.runtime == "runsc" {
		mark = "\x00boot\x00--bundle=" + filepath.Dir(a.in.address)
	}
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		b, _ := os.ReadFile(f)
		if strings.Contains(string(b), mark) && !strings.Contains(string(b), "mcpbox\x00run") {
			n++
		}
	}
	return n
}

// Cut ends the connections of a box and refuses every new one, which nobody hears of;
// restore has them allowed again.
func TestCut(t *testing.T) {
	eachBox(t, func(t *testing.T, w *world, a account) {
		const to = addressGood + ":7000"
		r := row{rules: []string{to}, run: []string{"sh", "-c", "{probe} hold " + to + "; echo on; while read x; do {probe} say tcp " + to + " $x; done"}}
		cmd, journal := w.box(t, a, r, w.args(t, a, r.run, "")...)
		s := start(t, cmd)
		if line := s.line(); line != "held" {
			t.Fatalf("%q: %s", line, s.stderr())
		}
		mcpbox := func(verb string) {
			if got := run(t, a.command(w, w.file("mcpbox"), verb, "client")); got.outcome() != "" {
				t.Errorf("%s: %q, %s", verb, got.outcome(), got.stderr)
			}
		}
		mcpbox("cut")
		if line := s.line(); !matches(reset, line) {
			t.Errorf("the connection: %q", line)
		}
		s.line()
		if _, err := w.watch.report(); err != nil {
			t.Errorf("its server: %v", err)
		}
		w.rewind()
		s.tell("during")
		if line := s.line(); !matches("ECONNREFUSED|"+reset, line) {
			t.Errorf("cut off: %q", line)
		}
		if heard, err := w.watch.report(); err != nil || len(heard.events) > 0 {
			t.Errorf("heard %q, %v", heard.events, err)
		}
		mcpbox("restore")
		s.tell("after")
		if line := s.line(); line != "after" {
			t.Errorf("restored: %q", line)
		}
		s.end()
		got := ran{stderr: s.stderr(), journal: journal()}
		if list := got.refusals(t); !same(list, []string{"refused tcp " + to}) || !strings.Contains(got.journal, "the box is cut off") {
			t.Errorf("journal: %q: %s", list, got.connections())
		}
	})
}

// E-7: TLS that begins and does not go on is ended, and so is what does not
// begin.
func TestStall(t *testing.T) {
	w := needWorld(t)
	r := row{
		rules: []string{"good.example.com:443"},
		run:   []string{"sh", "-c", `{probe} hello good.example.com:443 stall & {probe} hello good.example.com:443 silent & wait`},
	}
	users := accounts(t)
	w.rewind()
	bare := start(t, users[0].command(w, w.args(t, users[0], r.run, "")...))
	var boxes []*session
	var ends []func() string
	for _, a := range users {
		cmd, journal := w.box(t, a, r, w.args(t, a, r.run, "")...)
		boxes, ends = append(boxes, start(t, cmd)), append(ends, journal)
	}
	for i, s := range boxes {
		for range 2 {
			if line := s.line(); !matches(reset, line) {
				t.Errorf("%s: %q, want %s", users[i].name, line, reset)
			}
		}
		s.end()
		got := ran{stderr: s.stderr(), journal: ends[i]()}
		if list := got.refusals(t); !same(list, []string{
			"refused tcp good.example.com:443", // and the one that says nothing is none
		}) {
			t.Errorf("%s: journal: %q", users[i].name, list)
		}
	}
	for range 2 {
		if line := bare.line(); line != "timeout" {
			t.Errorf("bare: %q", line)
		}
	}
	bare.end()
	if _, err := w.watch.report(); err != nil {
		t.Error(err)
	}
}

// E12: rules are those of the start. What changes in the policy file afterwards
// changes nothing.
func TestPolicyEdit(t *testing.T) {
	eachAccount(t, func(t *testing.T, w *world, a account) {
		try := w.file("probe") + " dial tcp good.example.com:443"
		cmd, journal := w.box(t, a, row{policy: "[network]\nallow = []\n"}, "/bin/sh", "-c", try+"; read x; "+try)
		s := start(t, cmd)
		if line := s.line(); line != "NXDOMAIN" {
			t.Errorf("before: %q", line)
		}
		a.policy(t, "client", "[network]\nallow = [\"good.example.com:443\"]\n")
		s.tell("go on")
		if line := s.line(); line != "NXDOMAIN" {
			t.Errorf("after: %q", line)
		}
		s.end()
		journal()
		// The control: the next run obeys it.
		cmd, journal = w.box(t, a, row{policy: "[network]\nallow = [\"good.example.com:443\"]\n"}, "/bin/sh", "-c", try)
		if got := run(t, cmd); got.outcome() != "connected" {
			t.Errorf("control: %q: %s", got.outcome(), got.stderr)
		}
		journal()
	})
}

// What is refused is said while the server runs, two seconds after the first
// time, and not again at the end.
func TestToldWhileRunning(t *testing.T) {
	eachAccount(t, func(t *testing.T, w *world, a account) {
		try := w.file("probe") + " dial tcp 1.1.1.1:443 evil.test:443"
		cmd, journal := w.box(t, a, row{}, "/bin/sh", "-c", try+"; read x")
		s := start(t, cmd)
		s.line()
		// Two ears have heard it, so either may be the first to tell.
		const one, two = "mcpbox: client: refused 1.1.1.1:443, evil.test: no rule allows it; to allow, add: --egress 1.1.1.1:443 --egress evil.test:443 (port 443 is a guess for evil.test)\n",
			"mcpbox: client: refused evil.test, 1.1.1.1:443: no rule allows it; to allow, add: --egress evil.test:443 --egress 1.1.1.1:443 (port 443 is a guess for evil.test)\n"
		began := time.Now()
		for s.stderr() == "" && time.Since(began) < 10*time.Second {
			time.Sleep(20 * time.Millisecond)
		}
		said := s.stderr()
		if said != one && said != two {
			t.Errorf("said %q, want %q", said, one)
		}
		s.end()
		if s.stderr() != said {
			t.Errorf("said %q in the end, and %q before", s.stderr(), said)
		}
		journal()
	})
}
