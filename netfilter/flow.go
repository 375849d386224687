package netfilter

import (
	"errors"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/mcpbox/mcpbox/policy"
)

// serve carries one connection that a rule allows. It dials while it waits for
// the first bytes, which go on only if they say that they are for the name that
// was dialled: at worst an allowed machine sees a connection without a byte.
// Whatever becomes of it is reported.
func (f *Filter) serve(box *net.TCPConn, at netip.AddrPort, v verdict) {
	if !f.track(box) {
		reset(box)
		f.report(f.explain(f.untracked(), at, v))
		return
	}
	defer f.untrack(box)
	o := f.meet(box, at, v)
	world, bad := o.world, o.bad
	if world.err == nil && bad == nil && !f.track(world.conn) {
		bad = f.untracked()
	}
	if world.conn != nil {
		defer f.untrack(world.conn)
	}
	e := Event{Kind: Connected, Proto: "tcp", Address: world.addr.Addr(), Port: at.Port(), Rule: v.rule.Text}
	if v.to != nil {
		e.Name = v.to.name
	}
	if idle := (*idleEnd)(nil); errors.As(bad, &idle) {
		box.Close()
		if world.conn == nil {
			f.report(f.explain(idle, at, v))
			return
		}
		world.conn.Close()
		f.report(e)
		e.Kind, e.Reason = Closed, idle.Error()
		f.report(e)
		return
	}
	if bad != nil {
		reset(box)
		if world.conn != nil {
			reset(world.conn)
		}
		f.report(f.explain(bad, at, v))
		return
	}
	f.report(e)
	began := time.Now()
	r := f.carry(box, world.conn, o.first, o.kind, e)
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
	errForeign    = &refusal{reason: "it is neither TLS nor HTTP", foreign: true}
	errUnfinished = &refusal{reason: "the program did not finish saying what it is"}
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
	var idle *idleEnd
	switch {
	case errors.As(err, &idle):
		e.Kind = Abandoned
	case !errors.As(err, &bad):
		e.Kind = Failed
	case bad.allow != "":
		e.Allow = bad.allow
	case bad.foreign:
		if rule := allowing(e.Name, e.Address, e.Port); rule != "" {
			e.Allow = "tcp://" + rule
		}
	}
	return e
}

// untracked is why track has said no.
func (f *Filter) untracked() error {
	if f.isCut.Load() {
		return &refusal{reason: reasonCut}
	}
	return errEnded
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
