package native

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/sandbox/internal/memory"
	"github.com/mcpbox/mcpbox/sandbox/internal/proc"
)

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

// No link of a box's leads the meter to a file system of the host's.
func TestMeterStaysInside(t *testing.T) {
	host := t.TempDir() // which is not there inside
	b := startTicker(t, "ln -s /tmp /tmp/own && ln -s "+host+" /tmp/host && printf %0500000d 0 >/tmp/file && echo up; sleep 600").Box.(*box)
	for path, want := range map[string]int64{"/tmp": 500_000, "/tmp/own": 500_000, "/tmp/host": 0} {
		m := memory.NewMeter()
		defer m.Close()
		m.AddMount(b.pid, path)
		if got := m.OnTmpfs(); got < want || got > want*2 {
			t.Errorf("%s: %d bytes, want %d", path, got, want)
		}
	}
}

// A measurement and a look of this very process agree, roughly.
func TestReadMemory(t *testing.T) {
	s, r := proc.ReadStatus(os.Getpid()), proc.ReadRollup(os.Getpid())
	if s.Anon < 1<<20 || s.Tables == 0 || r.Anon < s.Anon/4 || r.Anon > 2*s.Anon {
		t.Errorf("status %+v, smaps_rollup %+v", s, r)
	}
	if proc.ReadStatus(1<<30) != (proc.Status{}) {
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
