package netfilter

import (
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"golang.org/x/sys/unix"
)

// direction carries the bytes of one side to the other.
type direction struct {
	*relay
	src, dst         *net.TCPConn
	srcName, dstName string
	moved            int64

	v       *vessel // only while bytes move
	n       int     // what the last fill brought, or what is left to drain
	failure error   // of fill or drain, besides that of waiting for them
	waits   bool    // see stalls
}

func (d *direction) run() {
	err := d.carry()
	if d.v != nil { // holds bytes, unless something failed before it did
		d.v.close()
	}
	d.finish(err, d.src, d.srcName)
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
		if err := side(d.srcName, in.Read(fill), d.failure); err != nil {
			return err
		}
		got := d.n
		if got == 0 {
			d.pool.put(d.v)
			d.v = nil
			d.dst.CloseWrite() // what may fail here, watch of the other direction hears
			return nil
		}
		d.n = int(d.meter.take(int64(got)))
		granted := d.n
		err := side(d.dstName, out.Write(drain), d.failure)
		d.moved += int64(granted - d.n)
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
	d.n, d.failure = d.v.fill(int(fd))
	if d.failure == unix.EAGAIN {
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
		if err == unix.EAGAIN {
			d.stalls(true)
			return false
		}
		if err == nil && n == 0 {
			err = io.ErrNoProgress
		}
		if err != nil {
			d.failure = err
			break
		}
		d.n -= n
		d.last.Store(int64(time.Since(d.began)))
	}
	d.stalls(false)
	return true
}

// stalls notes whether the receiver keeps this direction waiting.
func (d *direction) stalls(yes bool) {
	switch {
	case yes == d.waits:
	case yes:
		d.stuck()
	default:
		d.unstuck()
	}
	d.waits = yes
}

// watch waits until a connection is over both ways: an error if that is by a
// reset. A read deadline ends it.
func watch(c *net.TCPConn, name string) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	gone := false
	raw.Read(func(fd uintptr) bool {
		events := hangups(fd)
		gone = events&unix.POLLERR != 0
		return gone || events&unix.POLLHUP != 0
	})
	if !gone {
		return nil
	}
	return side(name, nil, unix.ECONNRESET)
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
