package bridge

import (
	"bytes"
	"errors"
	"time"
)

// maxViolations is how many messages a server may send that no honest server
// sends. One is enough to know; but a bug that makes one bad answer in a
// thousand should cost the user that answer and not the server.
const maxViolations = 100

// pass judges a line, without its line feed, and returns what of it may be
// forwarded: line itself, another line made of its parts, or nil. Who waits for
// what may not pass has been answered then.
func (p *pump) pass(line []byte) []byte {
	text := bytes.TrimSuffix(line, []byte{'\r'})
	switch start := bytes.TrimLeft(text, " \t"); {
	case len(start) == 0:
		return nil // it asks nothing and says nothing
	case start[0] == '[':
		return p.batch(line, text)
	}
	f := p.scan.object(text)
	var e envelope
	if f == nil {
		e, f = p.scan.envelope()
	}
	if f != nil {
		p.reject(text, len(text), skimmed(text), f)
		return nil
	}
	if !p.message(&e) {
		return nil
	}
	return line
}

func skimmed(text []byte) []glimpse {
	k := &skim{}
	k.feed(text)
	return k.end()
}

// message judges a message that is well-formed.
func (p *pump) message(e *envelope) bool {
	if p.dir == ToServer {
		return p.relay.hostMessage(e)
	}
	return p.relay.serverMessage(e)
}

// batch judges an array of messages, each by itself.
func (p *pump) batch(line, text []byte) []byte {
	allowed := p.relay.session.batches()
	parts, f := p.array.array(text, allowed)
	if f == nil && !allowed {
		f = &fault{rule: ruleBatch, text: "several messages in one line, which only " + batchVersion + " has"}
	}
	if f == nil && len(parts) == 0 {
		f = &fault{rule: ruleEnvelope, text: "an empty batch"}
	}
	if f != nil {
		p.reject(text, len(text), skimmed(text), f)
		return nil
	}
	var kept []byte // as soon as one is left out
	passed := 0
	for i, part := range parts {
		one := part.of(text)
		f := p.scan.object(one)
		var e envelope
		if f == nil {
			e, f = p.scan.envelope()
		}
		if f == nil && string(e.method) == methodInitialize {
			f = &fault{rule: ruleBatch, text: "initialize is part of a batch"}
		}
		ok := f == nil && p.message(&e)
		if f != nil {
			p.reject(one, len(one), skimmed(one), f)
		}
		switch {
		case ok && passed < i:
			if passed++; len(kept) > 1 {
				kept = append(kept, ',')
			}
			kept = append(kept, one...)
		case ok:
			passed++
		case passed == i: // the first one that is left out
			kept = append([]byte{'['}, bytes.TrimRight(text[parts[0].start:part.start], " \t,")...)
		}
	}
	switch passed {
	case len(parts):
		return line
	case 0:
		return nil
	}
	return append(kept, ']')
}

// inspect asks the inspectors, and returns what to answer instead.
func (r *Relay) inspect(d Direction, e *envelope, method, tool string) *Error {
	for _, in := range r.cfg.Inspectors {
		err := in.Inspect(&Message{
			Direction: d, Kind: e.kind, Method: method, Tool: tool,
			Line: e.line, Params: e.params, Result: e.result, Failure: e.fault,
		})
		if err == nil {
			continue
		}
		var own *Error
		if !errors.As(err, &own) {
			own = &Error{CodeRefused, ruleInspector, err.Error()}
		}
		return own
	}
	return nil
}

// event begins the event of a message.
func (p *pump) event(e *envelope) *Event {
	p.now = Event{Time: time.Now(), Direction: p.dir, Kind: e.kind, Size: len(e.line), Outcome: Passed, Line: e.line}
	return &p.now
}

// tell hands the event to the observer, and counts it.
func (p *pump) tell(ev *Event) {
	defer p.slow(ev)
	if p.relay.cfg.Observe != nil {
		p.relay.cfg.Observe(ev)
	}
	if ev.Violation() {
		if p.violations++; p.violations > maxViolations && p.fatal == nil {
			p.fatal = &ViolationsError{p.violations, ev.Detail}
		}
	}
}

// slow keeps a server back that writes lines for nobody. What has passed before is
// delivered first.
func (p *pump) slow(ev *Event) {
	if p.dir != ToHost {
		return
	}
	switch ev.Outcome {
	case Passed, Answered, Failed:
	default:
		p.pause = p.brake.wait(ev.Size, ev.Time)
	}
}

// refuse finishes the event of a message that is kept back.
func (e *Event) refuse(o Outcome, err *Error) *Event {
	e.Outcome, e.Rule, e.Detail = o, err.Rule, err.Message
	return e
}
