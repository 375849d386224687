package bridge

import (
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

var (
	// ErrStopped is what Run returns after Stop.
	ErrStopped = errors.New("relay stopped")
	// ErrDeaf is what it returns for a server that keeps asking and does not
	// read the answers.
	ErrDeaf = errors.New("the server does not read the answers to its requests")
)

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

	// Raw passes on every byte as it is, as it comes, and judges nothing: for
	// programs that are no MCP servers. There are no calls then, no events, and
	// no limit for lines.
	Raw bool

	// Inspectors are asked in order about each message; the first error counts.
	Inspectors []Inspector

	// Observe, where it is not nil, is called once for each message, after it
	// was judged and before it is forwarded, and for each line that is none. It
	// must be quick and must not block: the message waits for it. Several
	// goroutines call it, never two at once for one direction, except for the
	// events of Fail and Finish.
	Observe func(*Event)

	// HostGone, where it is not nil, is closed when the host has closed its
	// side (see [Hangup]). The end of input shows only behind everything that
	// the host sent, and a server that does not read keeps the relay from
	// getting there.
	HostGone <-chan struct{}
}

// Count is what passed in one direction. Messages of the relay's own are not
// part of it.
type Count struct {
	Bytes int64 // delivered
	Lines int64 // delivered
	// Dropped counts the bytes that could not be delivered because the server
	// had closed its stdin.
	Dropped int64
}

// Relay connects one host with one server, once.
type Relay struct {
	cfg               Config
	session           *session
	toServer, toHost  pump
	serverIn, hostOut *outlet

	ended    atomic.Bool // Run has returned
	finished atomic.Bool // so has Finish

	stop, hostClosed, drained       chan struct{}
	stopOnce, closedOnce, drainOnce sync.Once
	inClose                         sync.Once
}

// New makes a relay. It does nothing until Run.
func New(cfg Config) *Relay {
	r := &Relay{cfg: cfg, session: newSession(), stop: make(chan struct{}), hostClosed: make(chan struct{}), drained: make(chan struct{})}
	limit := cfg.MaxLine
	if limit <= 0 {
		limit = DefaultMaxLine
	}
	r.toServer = pump{relay: r, dir: ToServer, src: cfg.HostIn, max: limit, raw: cfg.Raw}
	r.toHost = pump{relay: r, dir: ToHost, src: cfg.ServerOut, max: limit, raw: cfg.Raw}
	r.serverIn = newOutlet(cfg.ServerIn, &r.toServer.bytes, &r.toServer.progress)
	r.hostOut = newOutlet(cfg.HostOut, &r.toHost.bytes, &r.toHost.progress)
	r.toServer.dst, r.toHost.dst = r.serverIn, r.hostOut
	return r
}

// Run relays until the server's output has ended and was delivered, which is
// nil, until Stop, which is ErrStopped, or until something fails:
// [*LineTooLongError], [*ViolationsError], ErrDeaf, or an error of a stream. In
// every case it closes the server's stdin, and forwards nothing more to the
// host after it has returned. It may be called once, and Finish has to follow.
func (r *Relay) Run() error {
	defer r.closeServerIn()
	defer r.ended.Store(true)

	hostDone, serverDone := make(chan error, 1), make(chan error, 1)
	go r.serverIn.run()
	go r.hostOut.run()
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
	if err == nil {
		r.closeServerIn()
		r.announce()
	}
	return err
}

// Stop makes Run return at once. What has been read and not been written is
// lost. It is safe to call at any time and any number of times.
func (r *Relay) Stop() { r.stopOnce.Do(func() { close(r.stop) }) }

// Drain says that the server has ended, so that what it has written is all there
// is: it is read without a pause, whatever it is. It is safe to call at any time and
// any number of times.
func (r *Relay) Drain() { r.drainOnce.Do(func() { close(r.drained) }) }

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
