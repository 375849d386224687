package bridge

import "time"

// Lines of a server's that go nowhere cost it next to nothing, as nobody has to
// read them: it can write a million of them in a second, and each has to be judged
// and told to the observer, by a process that the server's limits are not for. So a
// server that writes more of them than any banner has is not read from for a while.
const (
	brakeRate  = 10_000        // lines a second
	brakeBurst = 2 * brakeRate // lines at once
	brakeBytes = 4 << 10       // that count as one more line
	brakeMost  = time.Second
)

// brake is how much of that has come of late.
type brake struct {
	lines float64
	since time.Time
}

// wait says for how long nothing more should be read, after a line of size bytes
// that has come now.
func (b *brake) wait(size int, now time.Time) time.Duration {
	b.lines = max(0, b.lines-brakeRate*now.Sub(b.since).Seconds()) + 1 + float64(size/brakeBytes)
	b.since = now
	if b.lines <= brakeBurst {
		return 0
	}
	return min(time.Duration((b.lines-brakeBurst)/brakeRate*float64(time.Second)), brakeMost)
}
