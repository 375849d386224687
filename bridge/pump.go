package bridge

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// baseBuffer is the capacity of a pipe: one read takes all that waits.
	baseBuffer = 64 << 10
	// growth multiplies a full buffer. It is large so that the buffers which
	// a 16 MiB line leaves behind as garbage add up to a quarter of it; pages
	// that no byte reached are never backed by memory.
	growth = 8
	// idle is for how long a grown buffer is kept for the next long line.
	idle = time.Second
	// endless is how many times the limit a line may have until it is taken
	// for one without an end.
	endless = 4
)

// errEnded stops a pump whose relay has already returned.
var errEnded = errors.New("relay has ended")

// pump carries one direction.
type pump struct {
	relay *Relay
	dir   Direction
	src   io.Reader
	dst   *outlet
	max   int
	raw   bool

	scan, array *scanner
	now         Event
	violations  int
	fatal       error // ends the relay after the lines that came before
	// shut is set once nobody reads what dst is given. Lines are still read and
	// judged, so that who waits for an answer gets one.
	shut bool
	// holding is set while lines have passed that are not written; own holds the
	// relay's answers that go out behind them.
	holding bool
	own     []byte
	brake   brake
	pause   time.Duration // before the next line, once what has passed is written

	bytes, lines, dropped atomic.Int64
	progress              atomic.Int64 // grows with each completed write

	base    []byte                 // what is read into at first
	buf     []byte                 // base, or a larger one for a line that does not fit
	spare   atomic.Pointer[[]byte] // a larger one that is not in use
	release *time.Timer            // drops spare
	over    *skim
	overall int // bytes of the line that is over the limit
}

// run forwards until src ends, which is nil, or something fails.
func (p *pump) run() error {
	p.scan, p.array = newScanner(), newScanner()
	p.base = make([]byte, min(baseBuffer, p.max+1))
	p.buf = p.base
	pending, empty := 0, 0 // buf[:pending] is the start of a line, without a line feed
	for {
		if pending == len(p.buf) {
			p.grow()
		}
		n, err := p.src.Read(p.buf[pending:])
		if p.relay.finished.Load() {
			return errEnded
		}
		fill := pending + n
		if p.raw {
			if err := p.write(p.buf[:n], bytes.Count(p.buf[:n], []byte{'\n'}), 0); err != nil {
				return err
			}
			fill = pending
		}
		whole := 0 // bytes of buf that are whole lines
		if last := lastLineFeed(p.buf[pending:fill]); last >= 0 {
			whole = pending + last + 1
			if err := p.forward(p.buf[:whole]); err != nil {
				return err
			}
			copy(p.buf, p.buf[whole:fill])
		}
		if pending = fill - whole; pending > p.max || p.over != nil {
			if err := p.swallow(p.buf[:pending]); err != nil {
				return err
			}
			pending = 0
		}
		switch {
		case err != nil && endOfInput(err):
			p.unterminated(p.buf[:pending])
			return nil
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
		if whole > 0 {
			p.shrink(pending)
		}
	}
}

// lastLineFeed is where the last one is, or -1. Most of what is read of a long
// line has none, and only the search from the front has the processor's help.
func lastLineFeed(b []byte) int {
	if bytes.IndexByte(b, '\n') < 0 {
		return -1
	}
	return bytes.LastIndexByte(b, '\n')
}

// endOfInput says whether a read error is how this kind of stream ends. A
// socket whose other end was closed with our bytes unread gives ECONNRESET, a
// terminal that went away EIO.
func endOfInput(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EIO)
}

// forward judges whole lines and passes on what it may, lines that follow each
// other in one write.
func (p *pump) forward(batch []byte) error {
	from, count := 0, 0 // batch[from:at] has passed and is not yet written
	number := p.relay.session.newest()
	for at := 0; at < len(batch); {
		end := at + bytes.IndexByte(batch[at:], '\n')
		line := batch[at:end]
		p.holding = from < at
		var out []byte
		switch {
		case p.over != nil || len(line) > p.max:
			if err := p.swallow(line); err != nil {
				return err
			}
			p.surfaced(ruleLength, "longer than the limit for messages")
		default:
			out = p.pass(line)
		}
		unchanged := len(out) > 0 && &out[0] == &line[0]
		if !unchanged {
			if err := p.write(batch[from:at], count, number); err != nil {
				return err
			}
			p.answerOwn()
			if len(out) > 0 {
				if err := p.write(append(out, '\n'), 1, number); err != nil {
					return err
				}
			}
			from, count = end+1, 0
			if err := p.rest(); err != nil {
				return err
			}
		} else {
			count++
		}
		if at = end + 1; p.fatal != nil {
			if err := p.write(batch[from:at], count, number); err != nil {
				return err
			}
			return p.fatal
		}
	}
	p.holding = false
	return p.write(batch[from:], count, number)
}

// rest waits for as long as slow has said.
func (p *pump) rest() error {
	if p.pause > 0 {
		select {
		case <-time.After(p.pause):
		case <-p.relay.stop:
		case <-p.relay.drained:
		}
		p.pause = 0
	}
	if p.relay.finished.Load() {
		return errEnded
	}
	return nil
}

// write delivers b, which holds count lines. number is that of the newest call
// before them: if nobody reads them, what was asked since is answered.
func (p *pump) write(b []byte, count int, number int64) error {
	if len(b) == 0 {
		return nil
	}
	if p.relay.ended.Load() && p.dir == ToHost {
		return errEnded
	}
	if !p.shut {
		before := p.bytes.Load()
		err := p.dst.write(b)
		if err == nil {
			p.lines.Add(int64(count))
			return nil
		}
		if p.dir == ToHost || !readerGone(err) {
			return fmt.Errorf("relay %s: write: %w", p.dir, err)
		}
		p.dropped.Add(before - p.bytes.Load())
		p.shut = true
		p.relay.closeServerIn()
		p.relay.giveUp(errShut, nil, number)
	}
	p.dropped.Add(int64(len(b)))
	return nil
}

// swallow looks at a part of a line that is too long to be held.
func (p *pump) swallow(part []byte) error {
	if p.over == nil {
		p.over, p.overall = &skim{}, 0
	}
	p.over.feed(part)
	if p.overall += len(part); p.overall/endless > p.max {
		p.surfaced(ruleLength, "a line without an end")
		return &LineTooLongError{p.dir, p.max}
	}
	return nil
}

// surfaced is where a swallowed line has ended.
func (p *pump) surfaced(rule, text string) {
	found, size := p.over.end(), p.overall
	p.over = nil
	p.reject(nil, size, found, &fault{rule: rule, text: text})
}

// unterminated deals with what follows the last line feed. It may be half of a
// message, and no peer would know: some SDKs take it, some do not.
func (p *pump) unterminated(rest []byte) {
	const text = "the stream has ended within the line"
	switch {
	case p.over != nil:
		p.surfaced(rulePartial, text)
	case len(bytes.TrimRight(rest, " \t\r")) > 0:
		p.reject(rest, len(rest), skimmed(rest), &fault{rule: rulePartial, text: text})
	}
}

func (p *pump) grow() {
	var bigger []byte
	if spare := p.spare.Swap(nil); spare != nil && len(*spare) > len(p.buf) {
		bigger = *spare
	} else {
		bigger = make([]byte, min(len(p.buf)*growth, max(p.max+1, baseBuffer)))
	}
	copy(bigger, p.buf)
	p.buf = bigger
}

// shrink goes back to the small buffer, if what is pending fits. While we wait
// for more there the large one may go: the next long line may come at once, and
// then it costs less to have it, or never.
func (p *pump) shrink(pending int) {
	if len(p.buf) == len(p.base) || pending > len(p.base)/2 {
		return
	}
	copy(p.base, p.buf[:pending])
	big := p.buf
	p.buf = p.base
	// The last messages lie in it.
	p.scan, p.array, p.now = newScanner(), newScanner(), Event{}
	p.spare.Store(&big)
	if p.release == nil {
		p.release = time.AfterFunc(idle, func() {
			if p.spare.Swap(nil) != nil {
				// An idle launcher allocates nothing, so the collector would
				// leave this memory in our hands for minutes.
				debug.FreeOSMemory()
			}
		})
	} else {
		p.release.Reset(idle)
	}
}
