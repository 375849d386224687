package native

import (
	"os"
	"runtime"
	"testing"
	"time"
)

// From one look to the next a box cannot get to its limit, unless it is closer
// than a look takes.
func TestLookAgain(t *testing.T) {
	rate := float64(fillRate) * float64(min(runtime.NumCPU(), 8))
	for headroom := int64(1 << 20); headroom < 1<<40; headroom *= 3 {
		d := lookAgain(headroom)
		if filled := rate * d.Seconds(); d > shortestLook && filled > 1.001*float64(headroom) {
			t.Errorf("with room for %d it is looked at again after %v, when %.0f may be there", headroom, d, filled)
		}
		if d < shortestLook || d > longestLook {
			t.Errorf("%v", d)
		}
	}
	if d := lookAgain(-1); d != shortestLook {
		t.Errorf("past the limit: %v", d)
	}
}

// The children that are followed are all that there are.
func TestChildren(t *testing.T) {
	r := startTicker(t, "sh -c 'sleep 600 & sleep 600' & (sleep 600 &) ; echo up; sleep 600")
	m := newMeter(r.Box.(*box), nil)
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		all, err := m.members(true)
		if err != nil {
			t.Fatal(err)
		}
		followed, err := m.members(false)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 6 && len(followed) == 6 {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("found %v, followed %v", all, followed)
		}
	}
}

// A measurement and a look of this very process agree, roughly.
func TestReadMemory(t *testing.T) {
	s, r := readStatus(os.Getpid()), readRollup(os.Getpid())
	if s.anon < 1<<20 || s.tables == 0 || r.anon < s.anon/4 || r.anon > 2*s.anon {
		t.Errorf("status %+v, smaps_rollup %+v", s, r)
	}
	if machineShmem() < 0 || readStatus(1<<30) != (status{}) {
		t.Error("what is not there has memory")
	}
}
