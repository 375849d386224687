package bridge

import (
	"errors"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// ErrStopped is what Run returns after Stop.
var ErrStopped = errors.New("relay stopped")

// stallTime is how long, once the host has gone, a server may take nothing of
// what is left to deliver before HostClosed is announced all the same.
const stallTime = 250 * time.Millisecond

// Config says what a relay connects.
type Config struct {
	HostIn    io.Reader      // the host's messages: the launcher's stdin
	HostOut   io.Writer      // messages for the host: the launcher's stdout
	ServerIn  io.WriteCloser // the server's stdin; Close must interrupt Write, as it does on a pipe of package os
	ServerOut io.Reader      // the server's stdout

	// MaxLine is the longest line that passes either way, in bytes and without
	// its line feed. 0 means DefaultMaxLine.
	MaxLine int

	// Inspectors are asked in order about each message; the first error counts.
	Inspectors []Inspector

	// HostGone, where it is not nil, is closed when the host has closed its
	// side (see [Hangup]). The end of input shows only behind everything that
	// the host sent, and a server that does not read keeps the relay from
	// getting there.
	HostGone <-chan struct{}
}

// Count is what passed in one direction.
type Count struct {
	Bytes int64 // delivered
	Lines int64 // delivered, with a last one that had no line feed
	// Dropped counts the bytes that could not be delivered because the server
	// had closed its stdin.
	Dropped int64
}

// Relay connects one host with one server, once.
type Relay struct {
	cfg               Config
	toServer, toHost  pump
	ended             atomic.Bool
	stop, hostClosed  chan struct{}
	stopOnce, inClose sync.Once
	closedOnce        sync.Once
}

// New makes a relay. It does nothing until Run.
func New(cfg Config) *Relay {
	r := &Relay{cfg: cfg, stop: make(chan struct{}), hostClosed: make(chan struct{})}
	limit := cfg.MaxLine
	if limit <= 0 {
		limit = DefaultMaxLine
	}
	r.toServer = pump{dir: ToServer, src: cfg.HostIn, dst: cfg.ServerIn, max: limit, inspectors: cfg.Inspectors, ended: &r.ended}
	r.toHost = pump{dir: ToHost, src: cfg.ServerOut, dst: cfg.HostOut, max: limit, inspectors: cfg.Inspectors, ended: &r.ended}
	return r
}

// Run relays until the server's output has ended and was delivered, which is
// nil, until Stop, which is ErrStopped, or until something fails:
// [*LineTooLongError], [*InspectError], or an error of a stream. In every case
// it closes the server's stdin; after it has returned, nothing more is
// forwarded. It may be called once.
func (r *Relay) Run() error {
	defer r.closeServerIn()
	defer r.ended.Store(true)

	hostDone, serverDone := make(chan error, 1), make(chan error, 1)
	go func() { hostDone <- r.runToServer() }()
	go func() { serverDone <- r.toHost.run() }()

	gone := r.cfg.HostGone
	var stalled <-chan time.Time
	var seen int64
	for {
		select {
		case <-r.stop:
			return ErrStopped
		case err := <-serverDone:
			return err
		case err := <-hostDone:
			if err != nil {
				return err
			}
			hostDone, stalled, gone = nil, nil, nil
		case <-gone:
			gone = nil
			tick := time.NewTicker(stallTime)
			defer tick.Stop()
			stalled, seen = tick.C, r.toServer.progress.Load()
		case <-stalled:
			now := r.toServer.progress.Load()
			if now == seen {
				r.announce()
			}
			seen = now
		}
	}
}

// runToServer returns nil once the host's input has ended and the server's
// stdin is closed.
func (r *Relay) runToServer() error {
	err := r.toServer.run()
	var werr *writeError
	if errors.As(err, &werr) && serverHasClosed(err) {
		r.closeServerIn()
		err = r.toServer.discard()
	}
	if err == nil {
		r.closeServerIn()
		r.announce()
	}
	return err
}

// serverHasClosed says whether a write failed because nobody reads any more.
func serverHasClosed(err error) bool {
	return errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed) || errors.Is(err, io.ErrClosedPipe)
}

// Stop makes Run return at once. What is in flight is lost. It is safe to call
// at any time and any number of times.
func (r *Relay) Stop() { r.stopOnce.Do(func() { close(r.stop) }) }

// HostClosed is closed when the host's input has ended and the server's stdin
// has been closed behind it, or when the host has gone and the server takes
// nothing of what is left; delivery goes on in that case. The launcher gives the
// server its grace from here.
func (r *Relay) HostClosed() <-chan struct{} { return r.hostClosed }

// Counts says what has passed so far. It may be called at any time.
func (r *Relay) Counts() (toServer, toHost Count) {
	return r.toServer.count(), r.toHost.count()
}

func (p *pump) count() Count {
	return Count{Bytes: p.bytes.Load(), Lines: p.lines.Load(), Dropped: p.dropped.Load()}
}

// closeServerIn ignores the error of Close: a pipe's other end learns of it
// all the same, and there is nobody left to tell.
func (r *Relay) closeServerIn() { r.inClose.Do(func() { _ = r.cfg.ServerIn.Close() }) }

func (r *Relay) announce() { r.closedOnce.Do(func() { close(r.hostClosed) }) }
