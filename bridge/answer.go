package bridge

import "time"

// Calls are the host's requests that wait for an answer, oldest first. It may be
// called at any time, and costs as much as there are.
func (r *Relay) Calls() []Call {
	r.session.mu.Lock()
	defer r.session.mu.Unlock()
	return r.session.host.list()
}

// Waiting is how many there are.
func (r *Relay) Waiting() int {
	r.session.mu.Lock()
	defer r.session.mu.Unlock()
	return len(r.session.host.open)
}

// Fail answers the host's request id, as in [Call.ID], with err, and tells the
// server that nobody waits for it any more. A response that comes later is not
// passed on. It reports whether there was such a request. It does not block.
func (r *Relay) Fail(id string, err *Error) bool {
	c := r.session.fail(id)
	if c == nil {
		return false
	}
	r.hostOut.inject(err.line(c.ID))
	if c.Method != methodInitialize { // which "MUST NOT be cancelled"
		r.serverIn.inject(cancelled(c.ID, err.Message))
	}
	r.report(c, err)
	return true
}

// Finish ends the relay, after Run has returned: it answers with err every
// request of the host's that waits or still comes, each with the same error, and
// waits until the host has read the answers, but no longer than limit. After it
// has returned nothing more is written, apart from a line that the host has let
// us begin and does not read to its end.
func (r *Relay) Finish(err *Error, limit time.Duration) {
	r.giveUp(err, err, 0)
	flushed := make(chan struct{})
	go func() {
		r.hostOut.flush()
		close(flushed)
	}()
	select {
	case <-flushed:
	case <-time.After(limit):
	}
	r.finished.Store(true)
	r.serverIn.close()
	r.hostOut.close()
}

// giveUp answers with err all calls that are newer than number, and those that
// come with over, if that is not nil.
func (r *Relay) giveUp(err, over *Error, number int64) {
	for _, c := range r.session.close(over, number) {
		r.hostOut.inject(err.line(c.ID))
		r.report(&c, err)
	}
}

// report tells the observer of a call that mcpbox has answered.
func (r *Relay) report(c *Call, err *Error) {
	if r.cfg.Observe == nil {
		return
	}
	now := time.Now()
	r.cfg.Observe(&Event{
		Time: now, Direction: ToHost, Kind: Response, Method: c.Method, Tool: c.Tool, ID: c.ID, Call: c.number,
		Outcome: GivenUp, Rule: err.Rule, Detail: err.Message, Duration: now.Sub(c.Started),
	})
}
