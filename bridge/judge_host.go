package bridge

// hostMessage judges a message of the host's.
func (r *Relay) hostMessage(e *envelope) bool {
	p, s := &r.toServer, r.toServer.scan
	ev := p.event(e)
	switch e.kind {
	case Request:
		c, declared, err := s.call(e)
		ev.Method, ev.Tool, ev.ID = c.Method, c.Tool, c.ID
		if f := s.spelling(c.Method); f != nil {
			err = f.error()
		}
		if err == nil {
			err = r.session.admit(c)
		}
		if err == nil && p.shut {
			err = errShut
		}
		if err == nil {
			err = r.inspect(ToServer, e, c.Method, c.Tool)
		}
		if err != nil {
			r.answerHost(c.ID, err)
			p.tell(ev.refuse(Refused, err))
			return false
		}
		c.Started = ev.Time
		taskID, _ := stringValue(s.get("taskId"), maxID)
		r.session.begin(c, declared, taskID)
		ev.Call = c.number
		p.tell(ev)
		return true
	case Notification:
		ev.Method = known(e.method)
		if f := s.spelling(ev.Method); f != nil {
			p.tell(ev.refuse(Malformed, f.error()))
			return false
		}
		if err := r.inspect(ToServer, e, ev.Method, ""); err != nil {
			p.tell(ev.refuse(Refused, err))
			return false
		}
		if ev.Method == methodCancelled {
			id := s.get("requestId")
			if canonicalID(id) != nil {
				ev.ID = string(id)
			}
			r.session.withdraw(canonicalID(id))
		}
		p.tell(ev)
		return true
	}
	ev.ID = string(e.rawID)
	c, outcome := r.session.replied(e.id)
	if c == nil {
		p.tell(ev.refuse(outcome, errUnasked))
		return false
	}
	ev.Method, ev.Call, ev.Duration = c.Method, c.number, ev.Time.Sub(c.Started)
	err := r.inspect(ToServer, e, c.Method, "")
	if f := s.spelling(c.Method); f != nil {
		err = &Error{codeInternal, f.rule, "the client's answer was malformed"}
	}
	if err != nil {
		r.answerServer(c.ID, err)
		p.tell(ev.refuse(Refused, err))
		return false
	}
	p.tell(ev)
	return true
}

var (
	errShut    = &Error{CodeClosed, ruleClosed, "the server has closed its input"}
	errUnasked = &Error{Rule: ruleForged, Message: "nobody waits for this response"}
)

// call reads from a scanned request what has to be remembered of it.
func (s *scanner) call(e *envelope) (*Call, capabilities, *Error) {
	c := &Call{ID: string(e.rawID), id: string(e.id), Method: known(e.method)}
	if c.ID == c.id {
		c.id = c.ID // one string instead of two
	}
	var declared capabilities
	switch c.Method {
	case methodCallTool:
		c.Tool, _ = stringValue(s.get("name"), maxTool)
	case methodInitialize:
		declared = s.declared(s.get("capabilities"))
	}
	meta := s.get("_meta")
	if meta == nil {
		return c, declared, nil
	}
	in := s.open(meta)
	if in.at(metaVersion) != nil {
		c.modern = true
		c.caps = in.declared(in.at(metaCapabilities))
	}
	if token := in.at("progressToken"); token != nil {
		id := canonicalID(token)
		if id == nil {
			return c, declared, &Error{codeInvalid, ruleID, "the progress token is neither a string nor an integer that all parsers read alike"}
		}
		c.token = string(id)
	}
	return c, declared, nil
}

// maxTool is the longest name of a tool that is told to observers, in bytes.
const maxTool = 1024

// answerHost sends the host an error in place of a response. Who holds the pump
// to the server waits if the host reads nothing.
func (r *Relay) answerHost(id string, err *Error) {
	if !r.hostOut.inject(err.line(id)) {
		r.hostOut.settle()
	}
}

// answer sends the host an error in place of a response in the line that p, the
// pump to the host, looks at: behind the lines before it, such as a notification
// of that response's progress, of which some may not be written yet.
func (p *pump) answer(id string, err *Error) {
	if p.holding {
		p.own = append(p.own, err.line(id)...)
		return
	}
	p.relay.answerHost(id, err)
}

// answerOwn sends what answer has held back.
func (p *pump) answerOwn() {
	if p.holding = false; len(p.own) > 0 {
		if !p.dst.inject(p.own) {
			p.dst.settle()
		}
		p.own = nil
	}
}

// answerServer sends the server an error in place of the host's response.
func (r *Relay) answerServer(id string, err *Error) { r.serverIn.inject(err.line(id)) }

// answerAsker sends it one for a request that the host never sees. A server
// that asks and asks and does not read the answers is ended.
func (r *Relay) answerAsker(id string, err *Error) {
	if !r.serverIn.inject(err.line(id)) && r.toHost.fatal == nil {
		r.toHost.fatal = ErrDeaf
	}
}

// reject deals with a line of which text, its beginning at least, may not pass,
// and found is all that could be made out.
func (p *pump) reject(text []byte, size int, found []glimpse, f *fault) {
	e := envelope{kind: Unknown, line: text}
	ev := p.event(&e)
	ev.Size, ev.Rule, ev.Detail, ev.Outcome = size, f.rule, f.text, Malformed
	if len(found) > 0 {
		ev.Method, ev.ID = found[0].method, string(found[0].id)
	}
	if p.dir == ToServer {
		p.relay.rejectHost(found, f)
	} else if !p.relay.rejectServer(found, f) {
		ev.Outcome, ev.ID, ev.Method = Noise, "", ""
	}
	p.tell(ev)
}

// error is what a peer is told about a line of its own.
func (f *fault) error() *Error {
	code := codeInvalid
	switch f.rule {
	case ruleSyntax, ruleControl, ruleUTF8, ruleSurrogate, ruleDepth, ruleNumber, rulePartial:
		code = codeParse
	}
	return &Error{code, f.rule, "mcpbox does not pass this message on: " + f.text}
}

func (r *Relay) rejectHost(found []glimpse, f *fault) {
	for _, g := range found {
		switch {
		case g.id == nil:
		case g.request || !g.answer:
			r.answerHost(string(g.id), f.error())
		default:
			if c, _ := r.session.replied(canonicalID(g.id)); c != nil {
				r.answerServer(c.ID, &Error{codeInternal, f.rule, "the client's answer was malformed"})
			}
		}
	}
}
