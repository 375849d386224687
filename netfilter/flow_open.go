package netfilter

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// dialled is what the dialer came back with.
type dialled struct {
	conn *net.TCPConn
	addr netip.AddrPort
	err  error
}

// opening is the beginning of a connection, until both sides are there and the
// first bytes are judged.
type opening struct {
	world dialled
	first []byte // of the program, nothing of which has gone on
	kind  proto
	bad   error // why the connection is not to be; an [*idleEnd] is in peace
}

// idleEnd is the end of a connection on which nothing was said. Browsers open
// connections in advance, so it is nothing that a person has to be told.
type idleEnd struct{ reason string }

func (e *idleEnd) Error() string { return e.reason }

var (
	errGone  = &idleEnd{"the program closed it without a byte"}
	errQuiet = &idleEnd{"neither side said a byte for too long"}
	errLeft  = &idleEnd{"the other side closed it before the program said a byte"}
	errEnded = &idleEnd{"the box ended before it was there"}
)

// errSpeaksFirst is found before a client could have given up.
var errSpeaksFirst = &refusal{reason: "the other side speaks first, which neither TLS nor HTTP does", foreign: true}

// quietTimeout is how long the first byte may take. Only tests change it.
var quietTimeout = 5 * time.Second

// past is a deadline that has an effect at once.
var past = time.Unix(1, 0)

// meet dials, and meanwhile reads what the program says.
func (f *Filter) meet(box *net.TCPConn, at netip.AddrPort, v verdict) (o opening) {
	ctx, cancel := context.WithTimeout(f.ctx, dialTimeout)
	defer cancel()
	if v.rule.Raw {
		o.world = f.dial(ctx, at, v)
		if o.bad = o.world.err; errors.Is(o.bad, context.Canceled) {
			o.bad = errEnded
		}
		return o
	}
	// Whoever knows that there is no use in reading on says so.
	enough := make(chan struct{})
	stop := sync.OnceFunc(func() {
		close(enough)
		box.SetReadDeadline(past)
	})
	dialling, listening := make(chan dialled, 1), make(chan error, 1)
	go func() {
		d := f.dial(ctx, at, v)
		dialling <- d
		var bad error
		if d.err == nil {
			bad = overhear(d.conn)
		}
		if d.err != nil || bad != nil {
			stop()
		}
		listening <- bad
	}()
	o.first, o.kind, o.bad = f.sniff(box, v.to.name, enough)
	if o.bad != nil {
		cancel()
	}
	o.world = <-dialling
	if o.world.conn != nil {
		o.world.conn.SetReadDeadline(past)
	}
	said := <-listening
	box.SetReadDeadline(time.Time{})
	if o.world.conn != nil {
		o.world.conn.SetReadDeadline(time.Time{})
	}
	switch idle := (*idleEnd)(nil); {
	case errors.Is(o.world.err, context.Canceled) && o.bad == nil:
		o.bad = errEnded
	case o.world.err != nil && o.bad == nil:
		o.bad = o.world.err
	case o.world.err != nil && !errors.Is(o.world.err, context.Canceled) && (errors.As(o.bad, &idle) || o.bad == errUnfinished):
		o.bad = o.world.err // it is why the bytes were not waited for
	case said != nil && errors.As(o.bad, &idle):
		o.bad = said
	}
	return o
}

func (f *Filter) dial(ctx context.Context, at netip.AddrPort, v verdict) (d dialled) {
	if v.to == nil {
		d.addr = at
		d.conn, d.err = f.dialer.dialAddr(ctx, at)
	} else {
		d.conn, d.addr, d.err = f.dialer.dialName(ctx, v.to.name, at.Port())
	}
	return d
}

// overhear waits until the other side says something, or its read deadline is
// over, and returns what is the matter then, if anything is. What was said
// remains to be read.
func overhear(world *net.TCPConn) error {
	raw, err := world.SyscallConn()
	if err != nil {
		return err
	}
	word := make([]byte, 16)
	n, perr := 0, error(nil)
	err = raw.Read(func(fd uintptr) bool {
		n, perr = peek(int(fd), word)
		return perr != unix.EAGAIN
	})
	switch text := string(word[:max(n, 0)]); {
	case err != nil:
		return nil // the program has begun
	case perr != nil, text == "":
		return errLeft
	case strings.HasPrefix(text, "HTTP/1."), strings.HasPrefix(text, tlsAlert):
		return errLeft // it says that nobody has asked for too long (RFC 9110, 15.5.9), and closes
	}
	return errSpeaksFirst
}

// tlsAlert begins the record in which TLS says why it ends (RFC 8446, 5.1).
const tlsAlert = "\x15\x03"

// sniff reads until the first bytes say which protocol it is, and for which
// name. Nothing of them may go on before. After enough is closed, it waits for
// no more of them.
func (f *Filter) sniff(box *net.TCPConn, name string, enough <-chan struct{}) (first []byte, kind proto, err error) {
	wait := func(d time.Duration) {
		box.SetReadDeadline(time.Now().Add(d))
		select {
		case <-enough: // before or after the deadline was set, it is over
			box.SetReadDeadline(past)
		default:
		}
	}
	wait(quietTimeout)
	buf := make([]byte, 0, 2<<10)
	for {
		n, err := box.Read(buf[len(buf):cap(buf)])
		if len(buf) == 0 && n > 0 {
			wait(sniffTimeout)
		}
		buf = buf[:len(buf)+n]
		if n > 0 {
			kind, err := f.judge(buf, name)
			if !errors.Is(err, errShort) {
				return buf, kind, err
			}
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && len(buf) == 0:
			return nil, kind, errQuiet
		case errors.Is(err, os.ErrDeadlineExceeded):
			return nil, kind, errUnfinished
		case err == io.EOF && len(buf) == 0:
			return nil, kind, errGone
		case err == io.EOF:
			return nil, kind, errUnfinished
		case err != nil:
			return nil, kind, errGone
		}
		if len(buf) == cap(buf) {
			buf = append(make([]byte, 0, 2*cap(buf)), buf...)
		}
	}
}
