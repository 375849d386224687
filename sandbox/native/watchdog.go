package native

import (
	"time"

	"github.com/mcpbox/mcpbox/sandbox/internal/proc"
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

// rescan is after how many looks all processes of the machine are looked
// through for those of the box, rather than followed from parent to child.
const rescan = 8

// watchMemory kills the box when it takes more than its limit.
func (b *box) watchMemory(mounts []wire.Mount) {
	m := newMeter(b, mounts)
	defer m.Close()
	// It has hardly anything yet; and many a run is over before it has.
	next := time.NewTimer(proc.LookAgain(b.limits.Memory))
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
		next.Reset(proc.LookAgain(b.limits.Memory - used))
	}
}

// restTime is for how long a box is waited for to come to rest.
const restTime = 100 * time.Millisecond

// settle measures a box that seems to have reached its limit, and has it go on if
// it has not.
func (b *box) settle(m *meter) (int64, error) {
	if m.overcounts {
		// It shares so much that the cheap look says nothing. Stopping it each
		// time would slow it down, so it is measured as it runs, if that is done
		// before it can have filled what is left to it.
		used, whole, err := m.measure(time.Now().Add(proc.LookAgain(b.limits.Memory - m.used)))
		if err != nil || whole && used < b.limits.Memory {
			m.used = used
			return used, err
		}
	}
	b.freezing.Lock()
	defer b.freezing.Unlock()
	if !b.frozen {
		// Who wakes others is measured while it runs.
		for end := time.Now().Add(restTime); ; time.Sleep(proc.ShortestLook) {
			if awake, err := b.stop(); err != nil {
				return 0, err
			} else if !awake || time.Now().After(end) {
				break
			}
		}
	}
	used, err := b.measureAtRest(func() (int64, error) {
		used, _, err := m.measure(time.Time{})
		return used, err
	})
	if err == nil && used >= b.limits.Memory {
		return used, nil
	}
	m.overcounts, m.used = true, used
	if !b.frozen {
		b.resume()
	}
	return used, err
}

// measureAtRest measures a stopped box. A server with very many mappings makes that
// take seconds, in which processes that wake each other can take anything: where
// that may be too much, and something has run, nothing is known, and the box is taken
// to have reached its limit.
func (b *box) measureAtRest(measure func() (int64, error)) (int64, error) {
	for range 3 { // a call into the kernel may have ended meanwhile, which is no running
		before, err := b.activity()
		if err != nil {
			return 0, err
		}
		began := time.Now()
		used, err := measure()
		more := int64(time.Since(began).Seconds() * proc.FillRate())
		if err != nil || used >= b.limits.Memory || used+more < b.limits.Memory {
			return used, err
		}
		if after, err := b.activity(); err != nil || after == before {
			return used, err
		}
	}
	return b.limits.Memory, nil
}
