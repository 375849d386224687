package netfilter

import (
	"errors"
	"fmt"
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
	r := &relay{pool: pool, began: time.Now(), meter: c.meter, ended: make(chan error, 4)}
	up := direction{relay: r, src: box, dst: world, srcName: sideBox, dstName: sideWorld}
	down := direction{relay: r, src: world, dst: box, srcName: sideWorld, dstName: sideBox}
	var both sync.WaitGroup
	both.Go(up.run)
	both.Go(down.run)
	err := r.wait(c)
	if err != nil {
		reset(box)
		reset(world)
		both.Wait()
	} else {
		// Both are done, but watch for a reset that no longer matters.
		box.SetReadDeadline(time.Unix(1, 0))
		world.SetReadDeadline(time.Unix(1, 0))
		both.Wait()
		box.SetReadDeadline(time.Time{})
		world.SetReadDeadline(time.Time{})
	}
	return relayed{up.moved, down.moved, err}
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
	pool  *vesselPool
	began time.Time
	last  atomic.Int64 // when the last bytes moved, in ns since began
	meter *meter
	ended chan error // nil: a direction has ended; else: all must
}

// wait returns when both directions have ended, or the first error.
func (r *relay) wait(c relayConfig) error {
	var tick <-chan time.Time
	var timer *time.Timer
	if c.idle > 0 {
		timer = time.NewTimer(c.idle)
		defer timer.Stop()
		tick = timer.C
	}
	for left := 2; left > 0; {
		select {
		case err := <-r.ended:
			if err != nil {
				return err
			}
			left--
		case <-c.stop:
			return errStopped
		case <-tick:
			quiet := time.Since(r.began) - time.Duration(r.last.Load())
			if quiet >= c.idle {
				return errIdle
			}
			timer.Reset(c.idle - quiet)
		}
	}
	return nil
}

// direction carries the bytes of one side to the other.
type direction struct {
	*relay
	src, dst         *net.TCPConn
	srcName, dstName string
	moved            int64

	v    *vessel // only while bytes move
	n    int     // result of the last fill, or what is left to drain
	errs error   // of a callback
}

func (d *direction) run() {
	err := d.carry()
	if d.v != nil { // holds bytes, unless something failed before it did
		d.v.close()
	}
	d.ended <- err
	if err == nil {
		if err := d.watch(); err != nil {
			d.ended <- err
		}
	}
}

// carry moves bytes until src ends.
func (d *direction) carry() error {
	in, err := d.src.SyscallConn()
	if err != nil {
		return err
	}
	out, err := d.dst.SyscallConn()
	if err != nil {
		return err
	}
	fill, drain := d.fill, d.drain // one allocation each
	for {
		if err := side(d.srcName, in.Read(fill), d.errs); err != nil {
			return err
		}
		got := d.n
		if got == 0 {
			d.pool.put(d.v)
			d.v = nil
			d.dst.CloseWrite() // what may fail here, d.watch of the other direction hears
			return nil
		}
		d.n = int(d.meter.take(int64(got)))
		granted := d.n
		err := side(d.dstName, out.Write(drain), d.errs)
		d.moved += int64(granted - d.n)
		d.last.Store(int64(time.Since(d.began)))
		if err != nil {
			return err
		}
		if granted < got {
			return errBudget
		}
	}
}

// fill takes what has arrived. It is called with the descriptor of src, and again
// when that is readable, until it returns true.
func (d *direction) fill(fd uintptr) bool {
	if d.v == nil {
		d.v = d.pool.get()
	}
	d.n, d.errs = d.v.fill(int(fd))
	if d.errs == unix.EAGAIN {
		d.pool.put(d.v)
		d.v = nil
		return false
	}
	return true
}

// drain passes all of it on, waiting like fill.
func (d *direction) drain(fd uintptr) bool {
	for d.n > 0 {
		n, err := d.v.drain(int(fd), d.n)
		if err != nil {
			d.errs = err
			return err != unix.EAGAIN
		}
		d.n -= n
	}
	d.errs = nil
	return true
}

// watch waits, after the end of what src says, for news that src is gone
// altogether: it may have closed its end while the other side still believes
// that somebody listens.
func (d *direction) watch() error {
	in, err := d.src.SyscallConn()
	if err != nil {
		return nil
	}
	var gone error
	in.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd)}}
		if n, _ := unix.Poll(p, 0); n == 0 || p[0].Revents&unix.POLLERR == 0 {
			return p[0].Revents&unix.POLLHUP != 0
		}
		gone = unix.ECONNRESET
		return true
	})
	return side(d.srcName, nil, gone)
}

// side says whose error it is, if there is one: that of waiting or that of the
// call itself.
func side(name string, waiting, call error) error {
	switch {
	case errors.Is(waiting, net.ErrClosed):
		return errStopped
	case waiting != nil:
		return fmt.Errorf("%s: %w", name, waiting)
	case call != nil:
		return fmt.Errorf("%s: %w", name, call)
	}
	return nil
}
