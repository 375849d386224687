package netfilter

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strconv"
	"time"

	"github.com/mcpbox/mcpbox/policy"
)

// dialled is what the dialer came back with.
type dialled struct {
	conn *net.TCPConn
	addr netip.AddrPort
	err  error
}

// serve carries one connection that a rule allows. It dials while it waits for
// the first bytes, which go on only if they say that they are for the name that
// was dialled: at worst an allowed machine sees a connection without a byte.
func (f *Filter) serve(box *net.TCPConn, at netip.AddrPort, v verdict) {
	if !f.track(box) {
		reset(box)
		return
	}
	defer f.untrack(box)
	ctx, cancel := context.WithTimeout(f.ctx, dialTimeout)
	defer cancel()
	dialling := make(chan dialled, 1)
	box.SetReadDeadline(time.Now().Add(sniffTimeout))
	go func() {
		d := f.dial(ctx, at, v)
		if d.err != nil {
			box.SetReadDeadline(time.Unix(1, 0)) // no use in reading on
		}
		dialling <- d
	}()

	var first []byte
	var kind proto
	var bad error
	if !v.rule.Raw {
		first, kind, bad = f.sniff(box, v.to.name)
	}
	if bad != nil {
		cancel()
	}
	world := <-dialling
	box.SetReadDeadline(time.Time{})
	if world.err == nil && bad == nil && !f.track(world.conn) {
		bad = &refusal{reason: reasonCut}
	}
	if world.conn != nil {
		defer f.untrack(world.conn)
	}
	if world.err != nil && (bad == nil || (bad == errSilent || bad == errUnfinished) && !errors.Is(world.err, context.Canceled)) {
		bad = world.err // it is why the bytes were not waited for
	}
	if bad != nil {
		reset(box)
		if world.conn != nil {
			reset(world.conn)
		}
		if bad != errGone {
			f.report(f.explain(bad, at, v))
		}
		return
	}
	e := Event{Kind: Connected, Proto: "tcp", Address: world.addr.Addr(), Port: at.Port(), Rule: v.rule.Text}
	if v.to != nil {
		e.Name = v.to.name
	}
	f.report(e)
	began := time.Now()
	r := f.carry(box, world.conn, first, kind, e)
	box.Close()
	world.conn.Close()
	if bad := (*refusal)(nil); errors.As(r.err, &bad) {
		f.report(f.explain(bad, at, v))
	}
	e.Kind, e.Sent, e.Received, e.Duration = Closed, r.sent, r.received, time.Since(began)
	if r.err != nil {
		e.Reason = r.err.Error()
	}
	f.report(e)
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

// sniff reads until the first bytes say which protocol it is, and for which
// name. Nothing of them may go on before.
func (f *Filter) sniff(box *net.TCPConn, name string) (first []byte, kind proto, err error) {
	buf := make([]byte, 0, 2<<10)
	for {
		n, err := box.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if n > 0 {
			kind, err := f.judge(buf, name)
			if !errors.Is(err, errShort) {
				return buf, kind, err
			}
		}
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && len(buf) == 0:
			return nil, kind, errSilent
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

// errGone is a program that closed its connection without a word. It is not
// worth a record: browsers open connections in advance.
var errGone = errors.New("the program closed the connection")

// judge says what the first bytes are, and refuses those for another name.
func (f *Filter) judge(first []byte, name string) (proto, error) {
	kind, err := sniff(first)
	if err != nil {
		return kind, err
	}
	switch kind {
	case protoTLS:
		h, err := parseHello(first)
		switch {
		case err != nil:
			return kind, err
		case h.name != name:
			return kind, &refusal{reason: "the TLS server name is " + strconv.Quote(h.name) + ", not " + strconv.Quote(name)}
		case h.ech && f.config.Network.ECH != policy.ECHAllow:
			return kind, errECH
		}
		return kind, nil
	case protoHTTP:
		return kind, nil // each request is judged as it is carried
	}
	return kind, errForeign
}

var (
	errECH        = &refusal{reason: `the TLS server name is encrypted, which [network] ech = "allow" would let pass`}
	errForeign    = &refusal{reason: "it is neither TLS nor HTTP"}
	errUnfinished = &refusal{reason: "the program did not finish saying what it is"}
	errSilent     = &refusal{reason: "the program waits for the other side to begin, which neither TLS nor HTTP does"}
)

// carry moves the bytes of a connection until it ends.
func (f *Filter) carry(box, world *net.TCPConn, first []byte, kind proto, e Event) relayed {
	c := relayConfig{idle: idleTimeout, meter: f.meter, stop: f.ctx.Done()}
	if kind == protoHTTP {
		return carryHTTP(box, world, first, e, c)
	}
	if len(first) > 0 {
		if err := f.meter.add(int64(len(first))); err != nil {
			reset(box)
			reset(world)
			return relayed{err: err}
		}
		if _, err := world.Write(first); err != nil {
			return relayed{err: err}
		}
	}
	r := splice(box, world, c)
	r.sent += int64(len(first))
	return r
}

// explain is the event of a connection that was not made, or not continued.
func (f *Filter) explain(err error, at netip.AddrPort, v verdict) Event {
	e := v.refused(at)
	e.Reason = err.Error()
	var bad *refusal
	switch {
	case !errors.As(err, &bad):
		e.Kind = Failed
	case bad.allow != "":
		e.Allow = bad.allow
	case bad == errForeign || bad == errSilent:
		e.Allow = "tcp://" + allowing(e.Name, e.Address, e.Port)
	}
	return e
}

// track notes a connection for Cut and Close; false if there is to be none.
func (f *Filter) track(c *net.TCPConn) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || f.isCut.Load() {
		return false
	}
	f.flows[c] = struct{}{}
	return true
}

func (f *Filter) untrack(c *net.TCPConn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.flows, c)
}

func itoa(port uint16) string { return strconv.Itoa(int(port)) }
