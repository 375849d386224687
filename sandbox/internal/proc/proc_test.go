package proc

import (
	"errors"
	"runtime"
	"strings"
	"testing"
)

// A process may call itself anything.
func TestParseStat(t *testing.T) {
	line := func(name, state string) string {
		return "7 (" + name + ") " + state + " 1 7 7 0 -1 4194304 100 0 0 0 11 22 33 44 20 0 1 0 5000 1 2"
	}
	want := Stat{State: 'T', CPU: 33 * tick, Waited: 77 * tick}
	for _, name := range []string{"sh", "a b", ") R 1", "((", "x\n) Z"} {
		if got, err := parseStat([]byte(line(name, "T"))); err != nil || got != want {
			t.Errorf("%q: %+v, %v", name, got, err)
		}
	}
	for _, bad := range []string{"", "7", "7 (sh)", "7 (sh) T 1 7", strings.Replace(line("sh", "T"), "33", "x", 1)} {
		if got, err := parseStat([]byte(bad)); !errors.Is(err, errStat) {
			t.Errorf("%q: %+v, %v", bad, got, err)
		}
	}
}

// From one look to the next a box cannot get to its limit, unless it is closer
// than a look takes.
func TestLookAgain(t *testing.T) {
	rate := float64(fillRate) * float64(min(runtime.NumCPU(), 8))
	for headroom := int64(1 << 20); headroom < 1<<40; headroom *= 3 {
		d := LookAgain(headroom)
		if filled := rate * d.Seconds(); d > ShortestLook && filled > 1.001*float64(headroom) {
			t.Errorf("with room for %d it is looked at again after %v, when %.0f may be there", headroom, d, filled)
		}
		if d < ShortestLook || d > longestLook {
			t.Errorf("%v", d)
		}
	}
	if d := LookAgain(-1); d != ShortestLook {
		t.Errorf("past the limit: %v", d)
	}
}
