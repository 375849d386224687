package native

import (
	"runtime"
	"time"

	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
)

// Without a cgroup, the memory of a box is measured, and the box is killed. How
// far over the limit it gets by then is a matter of when one looks.
//
// Memory cannot be filled faster than fillRate. So after a look that found the
// box a certain way below its limit, the next one need not be before the box
// could have come all that way: an idle server with room to spare is looked at a
// few times in a second, one that fills its memory every millisecond in the end.
//
// The look is cheap and finds too much: pages that processes share count for each
// of them. When it finds the limit reached, the box is stopped, and measured
// exactly, while nothing grows. Only what is over the limit then is killed.

// fillRate is how many bytes one processor can fill in a second: pages of the
// kernel's usual size, at the pace of the fastest machines.
const fillRate = 4 << 30

const (
	shortestLook = time.Millisecond
	longestLook  = 250 * time.Millisecond
	// rescan is after how many looks all processes of the machine are looked
	// through for those of the box, rather than followed from parent to child.
	rescan = 8
)

// watchMemory kills the box when it takes more than its limit.
func (b *box) watchMemory(mounts []wire.Mount) {
	m := newMeter(b, mounts)
	defer m.close()
	// It has hardly anything yet; and many a run is over before it has.
	next := time.NewTimer(lookAgain(b.limits.Memory))
	defer next.Stop()
	for look := 0; ; look++ {
		select {
		case <-b.done:
			return
		case <-next.C:
		}
		m.open()
		used, err := m.look(look%rescan == 0)
		if err != nil {
			return // it has ended
		}
		if used >= b.limits.Memory {
			if used, err = b.settle(m); err != nil {
				return
			}
			if used >= b.limits.Memory {
				b.memory.exceed(used)
				b.Kill()
				return
			}
		}
		b.memory.note(used)
		next.Reset(lookAgain(b.limits.Memory - used))
	}
}

// lookAgain is how long a box needs at least to take that much more.
func lookAgain(headroom int64) time.Duration {
	rate := fillRate * int64(min(runtime.NumCPU(), 8))
	d := time.Duration(float64(headroom) / float64(rate) * float64(time.Second))
	return min(max(d, shortestLook), longestLook)
}

// settle measures a box that seems to have reached its limit, and has it go on if
// it has not.
func (b *box) settle(m *meter) (int64, error) {
	if m.overcounts {
		// It shares so much that the cheap look says nothing. Stopping it each
		// time would slow it down.
		if used, err := m.measure(); err != nil || used < b.limits.Memory {
			return used, err
		}
	}
	b.freezing.Lock()
	defer b.freezing.Unlock()
	if !b.frozen {
		// Once is enough: who wakes others is measured while it runs.
		if _, err := b.stop(); err != nil {
			return 0, err
		}
	}
	used, err := m.measure()
	if err == nil && used >= b.limits.Memory {
		return used, nil
	}
	m.overcounts = true
	if !b.frozen {
		b.resume()
	}
	return used, err
}
