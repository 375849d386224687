package bridge

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	// baseBuffer is the capacity of a pipe: one read takes all that waits.
	baseBuffer = 64 << 10
	// growth multiplies a full buffer. It is large so that the buffers which
	// a 16 MiB line leaves behind as garbage add up to a quarter of it; pages
	// that no byte reached are never backed by memory.
	growth = 8
	// bigBuffer is where a buffer is given back to the system as soon as its
	// line has gone.
	bigBuffer = 1 << 20
	// calm is after how many batches that would have fitted a small buffer a
	// medium one is given up.
	calm = 64
)

// errEnded stops a pump whose relay has already returned.
var errEnded = errors.New("relay has ended")

// writeError marks an error of the receiving side.
type writeError struct{ err error }

func (e *writeError) Error() string { return e.err.Error() }
func (e *writeError) Unwrap() error { return e.err }

// pump carries one direction.
type pump struct {
	dir        Direction
	src        io.Reader
	dst        io.Writer
	max        int
	inspectors []Inspector
	ended      *atomic.Bool // set once Run has returned

	bytes, lines, dropped atomic.Int64
	progress              atomic.Int64 // grows with each completed write

	buf   []byte
	quiet int // batches in a row that a small buffer would have held
}

// run forwards until src ends, which is nil, or something fails. A
// [*writeError] leaves src readable: see discard.
func (p *pump) run() error {
	p.buf = make([]byte, min(baseBuffer, p.max+1))
	pending, empty := 0, 0 // buf[:pending] is the start of a line, without a line feed
	for {
		if pending == len(p.buf) {
			p.grow()
		}
		n, err := p.src.Read(p.buf[pending:])
		if p.ended.Load() {
			return errEnded
		}
		last := bytes.LastIndexByte(p.buf[pending:pending+n], '\n')
		fill := pending + n
		if last >= 0 {
			whole := pending + last + 1
			if err := p.forward(p.buf[:whole]); err != nil {
				return err
			}
			copy(p.buf, p.buf[whole:fill])
			fill -= whole
		}
		pending = fill
		if pending > p.max {
			return &LineTooLongError{p.dir, p.max}
		}
		switch {
		case err != nil && endOfInput(err):
			return p.last(p.buf[:pending])
		case again(err, p.src, unix.POLLIN):
		case err != nil:
			return fmt.Errorf("relay %s: read: %w", p.dir, err)
		case n > 0:
			empty = 0
		default: // allowed by io.Reader, but not for ever
			if empty++; empty == 100 {
				return fmt.Errorf("relay %s: read: %w", p.dir, io.ErrNoProgress)
			}
		}
		if last >= 0 {
			p.shrink(pending)
		}
	}
}

// endOfInput says whether a read error is how this kind of stream ends. A
// socket whose other end was closed with our bytes unread gives ECONNRESET, a
// terminal that went away EIO.
func endOfInput(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EIO)
}

// forward passes whole lines on, in one write where they are small. Lines
// before one that may not pass are delivered.
func (p *pump) forward(batch []byte) error {
	// No line of a batch that is no longer than one line may be is too long.
	if len(p.inspectors) == 0 && len(batch) <= p.max+1 {
		return p.write(batch, bytes.Count(batch, []byte{'\n'}))
	}
	done, count := 0, 0
	for done < len(batch) {
		end := done + bytes.IndexByte(batch[done:], '\n')
		if err := p.admit(batch[done:end], false); err != nil {
			if werr := p.write(batch[:done], count); werr != nil {
				return werr
			}
			return err
		}
		done, count = end+1, count+1
	}
	return p.write(batch, count)
}

// last passes on what followed the last line feed.
func (p *pump) last(rest []byte) error {
	if len(rest) == 0 {
		return nil
	}
	if err := p.admit(rest, true); err != nil {
		return err
	}
	return p.write(rest, 1)
}

func (p *pump) admit(line []byte, partial bool) error {
	if len(line) > p.max {
		return &LineTooLongError{p.dir, p.max}
	}
	for _, in := range p.inspectors {
		if err := in.Inspect(&Message{Direction: p.dir, Line: line, Partial: partial}); err != nil {
			return &InspectError{p.dir, err}
		}
	}
	return nil
}

// write delivers b, which holds count lines. It writes in pieces so that
// progress shows while a long line trickles through a slow reader.
func (p *pump) write(b []byte, count int) error {
	for len(b) > 0 {
		if p.ended.Load() {
			return errEnded
		}
		n, err := p.dst.Write(b[:min(len(b), baseBuffer)])
		p.bytes.Add(int64(n))
		p.progress.Add(1)
		if err != nil && !again(err, p.dst, unix.POLLOUT) {
			return &writeError{fmt.Errorf("relay %s: write: %w", p.dir, err)}
		}
		b = b[n:]
	}
	p.lines.Add(int64(count))
	return nil
}

func (p *pump) grow() {
	p.quiet = 0
	bigger := make([]byte, min(len(p.buf)*growth, max(p.max+1, baseBuffer)))
	copy(bigger, p.buf)
	p.buf = bigger
}

// shrink gives a grown buffer back, unless it is still needed for what is
// pending or is likely to be needed again.
func (p *pump) shrink(pending int) {
	if len(p.buf) <= baseBuffer || pending > baseBuffer/2 {
		return
	}
	big := len(p.buf) >= bigBuffer
	if p.quiet++; p.quiet < calm && !big {
		return
	}
	small := make([]byte, baseBuffer)
	copy(small, p.buf[:pending])
	p.buf = small
	if big {
		// An idle launcher allocates nothing, so the collector would leave
		// the memory of this one line in our hands for minutes.
		debug.FreeOSMemory()
	}
}

// discard reads src to its end and drops it, for a server that has closed its
// stdin: the host is not blocked, and its end of input is still noticed.
func (p *pump) discard() error {
	for {
		n, err := p.src.Read(p.buf)
		p.dropped.Add(int64(n))
		if p.ended.Load() || err != nil && endOfInput(err) {
			return nil
		}
		if err != nil && !again(err, p.src, unix.POLLIN) {
			return fmt.Errorf("relay %s: read: %w", p.dir, err)
		}
	}
}
