package bridge

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// maxQueued is how many bytes of its own the relay holds for a side that does
// not read.
const maxQueued = 1 << 20

// outlet is one stream that the relay writes: the server's stdin or the host's
// stdout. A pump writes to it what it forwards, and waits while the reader is
// slow. Lines of our own are queued, so that who has something to say is never
// held up by a reader, and go out between two lines of the pump.
type outlet struct {
	dst             io.Writer
	bytes, progress *atomic.Int64 // written for the pump, and each completed write

	writing sync.Mutex // held for whole lines
	torn    bool       // a write has failed, maybe within a line

	mu     sync.Mutex
	queue  []byte
	queued int           // bytes that are queued or being written
	freed  *sync.Cond    // on mu: queued has become less, or closed true
	wake   chan struct{} // the queue is not empty
	closed bool          // nothing is taken any more
}

func newOutlet(dst io.Writer, bytes, progress *atomic.Int64) *outlet {
	o := &outlet{dst: dst, bytes: bytes, progress: progress, wake: make(chan struct{}, 1)}
	o.freed = sync.NewCond(&o.mu)
	return o
}

// write writes whole lines for the pump.
func (o *outlet) write(b []byte) error {
	o.writing.Lock()
	defer o.writing.Unlock()
	return o.put(b, o.bytes)
}

// put writes b in pieces, so that progress shows while a long line trickles
// through a slow reader.
func (o *outlet) put(b []byte, count *atomic.Int64) error {
	if o.torn {
		return io.ErrClosedPipe
	}
	for len(b) > 0 {
		n, err := o.dst.Write(b[:min(len(b), baseBuffer)])
		if count != nil {
			count.Add(int64(n))
		}
		o.progress.Add(1)
		if err != nil && !again(err, o.dst, unix.POLLOUT) {
			o.torn = true
			return err
		}
		b = b[n:]
	}
	return nil
}

// inject queues lines of our own. It reports false if so much waits already
// that the reader cannot be expected to come; they are queued all the same.
func (o *outlet) inject(lines []byte) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return true
	}
	o.queue = append(o.queue, lines...)
	o.queued += len(lines)
	select {
	case o.wake <- struct{}{}:
	default:
	}
	return o.queued <= maxQueued
}

// settle waits until the queue is short again.
func (o *outlet) settle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.queued > maxQueued && !o.closed {
		o.freed.Wait()
	}
}

// flush waits until all that is queued has been written, or failed.
func (o *outlet) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for o.queued > 0 && !o.closed {
		o.freed.Wait()
	}
}

// run writes what is queued, until close.
func (o *outlet) run() {
	for range o.wake {
		o.writing.Lock()
		o.mu.Lock()
		lines := o.queue
		o.queue = nil
		o.mu.Unlock()
		_ = o.put(lines, nil) // whoever forwards meets the error, too
		o.writing.Unlock()

		o.mu.Lock()
		o.queued -= len(lines)
		o.freed.Broadcast()
		o.mu.Unlock()
	}
}

// close ends run once it has written what it is writing, and whoever waits.
func (o *outlet) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.closed {
		o.closed = true
		close(o.wake)
		o.freed.Broadcast()
	}
}

// readerGone says whether a write failed because nobody reads any more.
func readerGone(err error) bool {
	return errors.Is(err, unix.EPIPE) || errors.Is(err, io.ErrClosedPipe) || errors.Is(err, os.ErrClosed)
}
