package netfilter

import (
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	// pipeSize is what a pipe is asked to hold. It counts in slots of a page,
	// and one slot takes up to 32 KiB of what TCP received.
	pipeSize = 256 << 10
	// maxPipes bounds the pipes of this process, and with them what they pin
	// for one user (pipe(7), pipe-user-pages-soft: 16384 pages): a program that
	// lets many connections hang keeps a pipe for each direction.
	maxPipes = 64
	// keptPipes is how many of them wait to be used again.
	keptPipes = 8
	// spliceMax is the most that one splice(2) is asked to move.
	spliceMax = 1 << 20
	// copySize is the buffer of a direction that found no pipe.
	copySize = 32 << 10
)

// vessels are those of this process.
var vessels = vesselPool{size: pipeSize, most: maxPipes}

// vesselPool hands out vessels. Most connections are idle most of the time, and
// have none then.
type vesselPool struct {
	size, most int
	noSplice   atomic.Bool // splice(2) is not to be had

	mu    sync.Mutex
	free  []*vessel // pipes
	pipes int       // there are, or are about to be

	buffers sync.Pool
}

// get returns an empty vessel; there is always one.
func (p *vesselPool) get() *vessel {
	p.mu.Lock()
	if n := len(p.free) - 1; n >= 0 {
		v := p.free[n]
		p.free = p.free[:n]
		p.mu.Unlock()
		return v
	}
	more := p.pipes < p.most && !p.noSplice.Load()
	if more {
		p.pipes++
	}
	p.mu.Unlock()
	if more {
		if v := p.open(); v != nil {
			return v
		}
		p.closed()
	}
	if v, ok := p.buffers.Get().(*vessel); ok {
		return v
	}
	return &vessel{pool: p, buf: make([]byte, copySize)}
}

// open makes a pipe; nil if this process has no descriptors left.
func (p *vesselPool) open() *vessel {
	var fds [2]int
	if unix.Pipe2(fds[:], unix.O_CLOEXEC|unix.O_NONBLOCK) != nil {
		return nil
	}
	// One of the usual 64 KiB does, too, if the user has no more to spend.
	unix.FcntlInt(uintptr(fds[0]), unix.F_SETPIPE_SZ, p.size)
	return &vessel{pool: p, r: fds[0], w: fds[1]}
}

// put takes an empty vessel back.
func (p *vesselPool) put(v *vessel) {
	if v.buf != nil {
		if len(v.buf) == copySize {
			p.buffers.Put(v)
		}
		return
	}
	p.mu.Lock()
	keep := len(p.free) < keptPipes && !p.noSplice.Load()
	if keep {
		p.free = append(p.free, v)
	}
	p.mu.Unlock()
	if !keep {
		v.close()
	}
}

// closed notes that a pipe is gone.
func (p *vesselPool) closed() {
	p.mu.Lock()
	p.pipes--
	p.mu.Unlock()
}
