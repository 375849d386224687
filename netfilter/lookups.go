package netfilter

import (
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"
)

// lookups bounds how often names are asked for, since the program decides when a
// name is dialled, and with names below a suffix, which: their order would tell
// whoever serves the suffix something, as fast as connections can be begun.
//
// A name is asked for anew at each dial as long as that is no more than a
// person's programs do. Then the last answer counts for a while, also one that
// there is none; whoever wants an address still has to judge it. The zero value
// is ready. Its methods may be called from any goroutine.
type lookups struct {
	mu    sync.Mutex
	names map[string]*asked
	below limiter // all names below suffixes together
}

// asked is what is known of one name.
type asked struct {
	limit limiter
	at    time.Time // of the answer; zero if there is none yet
	addrs []netip.Addr
	err   error
}

const (
	nameRate, nameBurst   = 1, 8  // questions a second about one name, and at once
	belowRate, belowBurst = 4, 64 // about all names below suffixes
	// answerTime is how long an answer counts while there may be no question.
	answerTime = time.Minute
	// answerWait is how often it is tried again while there is neither.
	answerWait = 20 * time.Millisecond
)

var errAskedOften = errors.New("too many names were asked for of late, more than a program needs")

// ask returns the addresses of a name by ask, or by what that returned not long
// ago. below means that the name is one below a suffix. It waits until either is
// possible.
func (l *lookups) ask(ctx context.Context, name string, below bool, ask func() ([]netip.Addr, error)) ([]netip.Addr, error) {
	for {
		mayAsk, addrs, known, err := l.turn(name, below, time.Now())
		switch {
		case mayAsk:
			addrs, err := ask()
			if ctx.Err() == nil { // or it is no answer
				l.learn(name, addrs, err, time.Now())
			}
			return addrs, err
		case known:
			return addrs, err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.Canceled) {
				return nil, ctx.Err()
			}
			return nil, errAskedOften
		case <-time.After(answerWait):
		}
	}
}

// turn says whether it is time for a question, and otherwise what is known.
func (l *lookups) turn(name string, below bool, now time.Time) (mayAsk bool, addrs []netip.Addr, known bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.names[name]
	if n == nil {
		if l.names == nil {
			l.names = map[string]*asked{}
			l.below = limiter{rate: belowRate, burst: belowBurst}
		}
		n = &asked{limit: limiter{rate: nameRate, burst: nameBurst}}
		l.names[name] = n
	}
	if n.limit.takeAt(now) && (!below || l.below.takeAt(now)) {
		return true, nil, false, nil
	}
	known = !n.at.IsZero() && now.Sub(n.at) < answerTime
	return false, n.addrs, known, n.err
}

func (l *lookups) learn(name string, addrs []netip.Addr, err error, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := l.names[name]
	n.at, n.addrs, n.err = now, addrs, err
}
