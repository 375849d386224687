package egress

import (
	"strconv"
	"strings"
	"testing"
	"time"
)

// A launcher that a box keeps busy may grow by this much.
const mostGrowth = 48 << 20

// watched runs a row's client in a box and returns what came of it, and how much
// memory the launcher had at most.
func watched(t *testing.T, w *world, a account, r row) (ran, int64) {
	t.Helper()
	cmd, journal := w.box(t, a, r, w.args(t, a, r.run, newSecret())...)
	s := start(t, cmd)
	stop, peak := make(chan struct{}), make(chan int64)
	go func() {
		most := int64(0)
		for {
			most = max(most, s.memory("VmHWM"))
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(10 * time.Millisecond):
			}
		}
	}()
	var out strings.Builder
	for line := range s.lines {
		out.WriteString(line + "\n")
	}
	s.end()
	close(stop)
	got := ran{stdout: out.String(), stderr: s.stderr(), code: cmd.ProcessState.ExitCode()}
	got.journal = journal()
	return got, <-peak
}

// idle is the memory of a launcher whose box does next to nothing.
func idle(t *testing.T, w *world, a account) int64 {
	t.Helper()
	_, peak := watched(t, w, a, row{rules: []string{"tcp://good.example.com:7000"}, run: []string{"{probe}", "say", "tcp", "good.example.com:7000", "x"}})
	if peak == 0 {
		t.Fatal("cannot tell how much memory the launcher has")
	}
	return peak
}

// T-E10: connections that are begun and given up cost neither memory nor the
// honest ones that follow.
func TestFlood(t *testing.T) {
	eachAccount(t, func(t *testing.T, w *world, a account) {
		before := idle(t, w, a)
		r := row{rules: []string{"tcp://good.example.com:7000"}, run: []string{"{probe}", "flood", "good.example.com:7000", "10000"}}
		got, peak := watched(t, w, a, r)
		if got.outcome() != "10000 after" {
			t.Errorf("%q, want all begun and an honest one to work: %s", got.outcome(), got.stderr)
		}
		t.Logf("launcher: %d kB, was %d kB", peak>>10, before>>10)
		if peak > before+mostGrowth {
			t.Errorf("the launcher grew from %d to %d kB", before>>10, peak>>10)
		}
		if n := len(got.journal); n > 4<<20 {
			t.Errorf("a journal of %d bytes", n)
		}
	})
}

// T-E10: there is a most of connections at once, each costs little, and the end
// of some makes room for others.
func TestMany(t *testing.T) {
	eachBox(t, func(t *testing.T, w *world, a account) {
		before := idle(t, w, a)
		r := row{rules: []string{"tcp://good.example.com:7000"}, run: []string{"{probe}", "many", "good.example.com:7000", "700"}}
		got, peak := watched(t, w, a, r)
		words := strings.Fields(got.stdout)
		if len(words) != 2 || words[1] != "after" {
			t.Fatalf("%q: %s", got.outcome(), got.stderr)
		}
		n, _ := strconv.ParseInt(words[0], 10, 64)
		if n < 256 || n > 512 {
			t.Errorf("%d connections at once, want 256 to 512", n)
		}
		each := (peak - before) / max(n, 1)
		t.Logf("%d connections, %d bytes each", n, each)
		if each > 64<<10 {
			t.Errorf("%d bytes for each connection, want at most 64 KiB", each)
		}
	})
}

// A budget holds for all connections of a run together, to the byte.
func TestBudget(t *testing.T) {
	const budget = 1 << 20
	eachAccount(t, func(t *testing.T, w *world, a account) {
		r := row{
			rules:  []string{"good.example.com:80"},
			policy: "[limits]\negress_bytes = \"1MiB\"\n",
			run:    []string{"sh", "-c", `for i in 1 2 3; do curl -sS -o /dev/null -w "%{size_download}\n" http://good.example.com/bytes/700000; done; true`},
		}
		got, _ := watched(t, w, a, r)
		words := strings.Fields(got.stdout)
		if len(words) != 3 || words[0] != "700000" || words[2] != "0" {
			t.Fatalf("%q, want 700000, less, and 0: %s", words, got.stderr)
		}
		second, _ := strconv.Atoi(words[1])
		if second == 0 || 700000+second > budget {
			t.Errorf("%d bytes through a budget of %d", 700000+second, budget)
		}
		if !strings.Contains(got.connections(), "egress_bytes") {
			t.Errorf("the journal does not say why: %s", got.connections())
		}
	})
}

// T-E6: whoever serves a suffix hears of few names below it, however many a
// program makes up.
func TestWander(t *testing.T) {
	eachAccount(t, func(t *testing.T, w *world, a account) {
		r := row{rules: []string{"tcp://*.cdn.example.net:7000", "good.example.com:443"},
			run: []string{"sh", "-c", "{probe} wander 600 7000 cdn.example.net; {probe} get https://good.example.com/"}}
		bare := run(t, a.command(w, w.args(t, a, r.run, "")...))
		if !strings.HasPrefix(bare.outcome(), "600 ") {
			t.Fatalf("bare: %q", bare.outcome())
		}
		if heard, err := w.watch.report(); err != nil || below(heard) < 600 {
			t.Fatalf("bare: the name server heard %d names: %v", below(heard), err)
		}
		w.rewind()
		got, _ := watched(t, w, a, r)
		heard, err := w.watch.report()
		if err != nil {
			t.Error(err)
		}
		if n := below(heard); n < 1 || n > 256 {
			t.Errorf("the name server heard %d names, want 1 to 256", n)
		}
		if !strings.HasSuffix(got.outcome(), "HTTP/2.0 https good.example.com") {
			t.Errorf("an exact name does not work any more: %q", got.outcome())
		}
		t.Logf("%s; %d names heard", got.outcome(), below(heard))
	})
}

// below counts the names below a suffix that a name server heard.
func below(r report) (n int) {
	for _, e := range r.events {
		if strings.HasPrefix(e, "dns w") && strings.HasSuffix(e, ".cdn.example.net") {
			n++
		}
	}
	return n
}

// A program that is refused all the time fills neither the journal nor the
// launcher's memory, nor stderr.
func TestManyRefusals(t *testing.T) {
	eachAccount(t, func(t *testing.T, w *world, a account) {
		before := idle(t, w, a)
		w.rewind()
		got, peak := watched(t, w, a, row{run: []string{"{probe}", "scan", "20000"}})
		if got.outcome() != "20000 refused" {
			t.Errorf("%q", got.outcome())
		}
		if peak > before+mostGrowth {
			t.Errorf("the launcher grew from %d to %d kB", before>>10, peak>>10)
		}
		if n := len(got.journal); n > 1<<20 {
			t.Errorf("a journal of %d bytes", n)
		}
		if n := len(got.stderr); n > 4<<10 {
			t.Errorf("%d bytes on stderr", n)
		}
		if n := len(got.refusals(t)); n < 100 {
			t.Errorf("only %d destinations in the journal", n)
		}
		if heard, err := w.watch.report(); err != nil || len(heard.events) > 0 {
			t.Errorf("heard %q %v", heard.events, err)
		}
	})
}
