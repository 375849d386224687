package netfilter

import (
	"sync"
	"time"
)

// limiter lets through rate events a second, and up to burst at once.
type limiter struct {
	rate, burst float64

	mu    sync.Mutex
	saved float64
	last  time.Time
}

func (l *limiter) take() bool { return l.takeAt(time.Now()) }

func (l *limiter) takeAt(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last.IsZero() {
		l.saved = l.burst
	} else {
		l.saved = min(l.burst, l.saved+l.rate*now.Sub(l.last).Seconds())
	}
	l.last = now
	if l.saved < 1 {
		return false
	}
	l.saved--
	return true
}
