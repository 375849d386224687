package native

import (
	"os"
	"runtime"
	"strings"
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

// What a measurement says of a box that did not stand still counts only as far as
// the box cannot have got to its limit meanwhile.
func TestMeasureAtRest(t *testing.T) {
	for name, script := range map[string]string{
		"waits": "echo up; sleep 600", "sleeps and wakes": "echo up; while :; do sleep 0.001; done", "spins": "echo up; while :; do :; done",
	} {
		t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
			b := startTicker(t, script).Box.(*box)
			m := newMeter(b, nil)
			used, whole, err := m.measure(time.Time{})
			if err != nil || !whole || used <= 0 {
				t.Fatal(used, whole, err)
			}
			if _, whole, err := m.measure(time.Now().Add(-time.Second)); whole || err != nil {
				t.Errorf("late, and whole: %v", err)
			}
			took := 500 * time.Millisecond // in which gigabytes can be filled
			slow := func() (int64, error) { time.Sleep(took); return used, nil }
			b.limits.Memory = used + 1<<30
			if got, err := b.measureAtRest(slow); err != nil || (got == b.limits.Memory) != (name != "waits") {
				t.Errorf("%d, %v: it was not stopped, and may have reached %d", got, err, b.limits.Memory)
			}
			if err := b.stopAll(); err != nil {
				t.Fatal(err)
			}
			if got, err := b.measureAtRest(slow); err != nil || got != used {
				t.Errorf("%d, %v: it stands still at %d", got, err, used)
			}
			b.resume()
			took = 0
			if got, err := b.measureAtRest(slow); err != nil || got != used {
				t.Errorf("%d, %v: it runs, but cannot have taken so much", got, err)
			}
		})
	}
}
