package netfilter

import (
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// relayConfig says how long a relay lasts.
type relayConfig struct {
	idle  time.Duration   // without a byte either way; 0 is no limit
	meter *meter          // the budget of the whole run; nil for none
	stop  <-chan struct{} // ends it when closed; nil for never
}

// relayed is what became of a connection.
type relayed struct {
	sent, received int64 // bytes that went on: box to world, world to box
	// err is nil if both sides ended in peace. A *refusal means that the budget
	// is used up.
	err error
}

var (
	errIdle    = errors.New("nothing was said for too long")
	errStopped = errors.New("the connection was ended")
)

// splice joins two connections until both directions have ended, as if the two
// sides had a single one: the end of one direction is passed on and leaves the
// other open, and a reset of one side resets the other, also while nothing is
// under way. The bytes stay in the kernel, see [vessel].
//
// Afterwards the connections are reset, if there is an error, or have been shut
// down both ways. Closing either one from elsewhere ends the relay with
// errStopped. It uses the caller's goroutine and one more per direction.
func splice(box, world *net.TCPConn, c relayConfig) relayed {
	return spliceBy(&vessels, box, world, c)
}

func spliceBy(pool *vesselPool, box, world *net.TCPConn, c relayConfig) relayed {
	r := newRelay(pool, box, world, c.meter)
	up := direction{relay: r, src: box, dst: world, srcName: sideBox, dstName: sideWorld}
	down := direction{relay: r, src: world, dst: box, srcName: sideWorld, dstName: sideBox}
	var both sync.WaitGroup
	both.Go(up.run)
	both.Go(down.run)
	err := r.close(r.wait(c), &both)
	return relayed{up.moved, down.moved, err}
}

// close ends what wait has waited for, and returns its error. directions are
// those that run.
func (r *relay) close(err error, directions *sync.WaitGroup) error {
	if err != nil {
		// A request that is refused half-way must not look whole to the origin.
		reset(r.world)
		reset(r.box)
		directions.Wait()
		return err
	}
	// Both are done, but watch for a reset that no longer matters.
	r.box.SetReadDeadline(past)
	r.world.SetReadDeadline(past)
	directions.Wait()
	r.box.SetReadDeadline(time.Time{})
	r.world.SetReadDeadline(time.Time{})
	return nil
}

// finish says how a direction has ended. Then, if that was in peace, it waits for
// news that src is gone altogether: it may have closed its end while the other
// side still believes that somebody listens.
func (r *relay) finish(err error, src *net.TCPConn, name string) {
	r.ended <- err
	if err != nil {
		return
	}
	if err := watch(src, name); err != nil {
		r.ended <- err
	}
}

// stuck notes that a direction waits for something else than its source, and
// unstuck that it no longer does.
func (r *relay) stuck() {
	r.stalled.Add(1)
	if !r.watching.Load() {
		select {
		case r.stall <- struct{}{}:
		default:
		}
	}
}

func (r *relay) unstuck() { r.stalled.Add(-1) }

func newRelay(pool *vesselPool, box, world *net.TCPConn, m *meter) *relay {
	tune(box, world)
	return &relay{
		box: box, world: world, pool: pool, meter: m, began: time.Now(),
		ended: make(chan error, 4), // two per direction, so that none has to wait
		stall: make(chan struct{}, 1),
	}
}

// reset closes a connection with RST: the other side learns that it was not in
// peace, and nothing that is still under way arrives. For a connection that is
// closed already it does nothing.
func reset(c *net.TCPConn) {
	c.SetLinger(0)
	c.Close()
}

const (
	sideBox   = "the program"
	sideWorld = "the other side"
)

// relay is what the two directions of a connection share.
type relay struct {
	box, world *net.TCPConn
	pool       *vesselPool
	meter      *meter
	began      time.Time
	last       atomic.Int64 // when bytes moved last, in ns since began
	ended      chan error   // nil: a direction has ended; else: both must

	stalled  atomic.Int32  // directions that are stuck
	stall    chan struct{} // tells wait of the first of them
	watching atomic.Bool   // wait knows
}

// wait returns when both directions have ended, or the first error.
func (r *relay) wait(c relayConfig) error {
	idle, look := time.NewTimer(c.idle), time.NewTimer(stallCheck)
	defer idle.Stop()
	defer look.Stop()
	if c.idle <= 0 {
		idle.Stop()
	}
	look.Stop()
	for left := 2; left > 0; {
		select {
		case err := <-r.ended:
			if err != nil {
				return err
			}
			left--
		case <-c.stop:
			return errStopped
		case <-idle.C:
			quiet := time.Since(r.began) - time.Duration(r.last.Load())
			if quiet >= c.idle {
				return errIdle
			}
			idle.Reset(c.idle - quiet)
		case <-r.stall:
			r.watching.Store(true)
			look.Reset(stallCheck)
		case <-look.C:
			r.watching.Store(false)
			if r.stalled.Load() > 0 {
				if err := r.lookForResets(); err != nil {
					return err
				}
				r.watching.Store(true)
				look.Reset(stallCheck)
			}
		}
	}
	return nil
}

// stallCheck is how often a relay that is stuck looks whether the sender is
// still there. Nothing else would tell: whoever waits for the receiver to read
// does not wait for news of the sender.
const stallCheck = 250 * time.Millisecond

// lookForResets reports a side that is gone.
func (r *relay) lookForResets() error {
	if wasReset(r.box) {
		return side(sideBox, nil, unix.ECONNRESET)
	}
	if wasReset(r.world) {
		return side(sideWorld, nil, unix.ECONNRESET)
	}
	return nil
}

func wasReset(c *net.TCPConn) bool {
	raw, err := c.SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	raw.Control(func(fd uintptr) { gone = hangups(fd)&unix.POLLERR != 0 })
	return gone
}

// hangups asks for the events that need no asking for: POLLERR, POLLHUP.
func hangups(fd uintptr) int16 {
	p := []unix.PollFd{{Fd: int32(fd)}}
	ignoringEINTR(func() (int, error) { return unix.Poll(p, 0) })
	return p[0].Revents
}
