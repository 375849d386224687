package bridge

// serverMessage judges a message of the server's.
func (r *Relay) serverMessage(e *envelope) bool {
	ev := r.toHost.event(e)
	switch e.kind {
	case Request:
		return r.serverRequest(e, ev)
	case Notification:
		return r.serverNotification(e, ev)
	}
	p := &r.toHost
	ev.ID = string(e.rawID)
	if e.id == nil {
		p.tell(ev.refuse(Stray, &Error{Rule: ruleForged, Message: "an error for a message without id"}))
		return false
	}
	c, outcome := r.session.answered(e.id)
	if c == nil {
		p.tell(ev.refuse(outcome, errUnasked))
		return false
	}
	ev.ID, ev.Method, ev.Tool, ev.Call, ev.Duration = c.ID, c.Method, c.Tool, c.number, ev.Time.Sub(c.Started)
	err, outcome := (*Error)(nil), Failed
	if e.result != nil {
		outcome = Answered
		ev.ToolError = c.Method == methodCallTool && string(p.scan.get("isError")) == "true"
		if text := p.scan.shape(c, e.result); text != "" {
			err, outcome = &Error{CodeAnswer, ruleShape, "mcpbox does not pass the server's answer on: " + text}, Mismatched
		}
	}
	if f := p.scan.spelling(c.Method); f != nil {
		err, outcome = &Error{CodeAnswer, f.rule, "mcpbox does not pass the server's answer on: " + f.text}, Malformed
	}
	if err == nil {
		if err = r.inspect(ToHost, e, c.Method, c.Tool); err != nil {
			outcome = Refused
		}
	}
	if err != nil {
		p.answer(c.ID, err)
		p.tell(ev.refuse(outcome, err))
		return false
	}
	if e.result != nil {
		r.settle(c)
	}
	ev.Outcome = outcome
	p.tell(ev)
	return true
}

// settle notes what a result that passes has agreed on.
func (r *Relay) settle(c *Call) {
	s := r.toHost.scan
	var version, taskID string
	switch c.Method {
	case methodInitialize:
		version, _ = stringValue(s.get("protocolVersion"), maxID)
	case methodTaskResult:
		return
	case "tasks/list":
		r.listed()
		return
	default:
		id := s.get("taskId") // the tasks extension of 2026-07-28
		if t := s.get("task"); t != nil {
			id = s.open(t).at("taskId") // 2025-11-25
		} else if id == nil {
			return
		}
		taskID, _ = stringValue(id, maxID)
		if status, _ := stringValue(s.get("status"), 64); terminal(status) {
			r.session.closeTask(taskID)
			return
		}
	}
	if version != "" || taskID != "" {
		r.session.agreed(c, version, taskID)
	}
}

// listed notes the tasks that the server has of earlier.
func (r *Relay) listed() {
	s := r.toHost.scan
	tasks := s.get("tasks")
	in := newScanner()
	parts, f := in.array(tasks, true)
	if f != nil {
		return
	}
	for _, part := range parts {
		if id, ok := stringValue(s.open(part.of(tasks)).at("taskId"), maxID); ok && !r.session.knowsTask(id) {
			r.session.agreed(&Call{}, "", id)
		}
	}
}

func terminal(status string) bool {
	return status == "completed" || status == "failed" || status == "cancelled"
}

func (r *Relay) serverRequest(e *envelope, ev *Event) bool {
	p := &r.toHost
	c := &Call{ID: string(e.rawID), id: string(e.id), Method: known(e.method), Started: ev.Time}
	ev.Method, ev.ID = c.Method, c.ID
	if f := p.scan.spelling(c.Method); f != nil {
		err := f.error()
		r.answerAsker(c.ID, err)
		p.tell(ev.refuse(Malformed, err))
		return false
	}
	err := r.session.ask(c)
	if err == nil {
		if err = r.inspect(ToHost, e, c.Method, ""); err != nil {
			r.session.replied(e.id)
		}
	}
	if err != nil {
		r.answerAsker(c.ID, err)
		p.tell(ev.refuse(Refused, err))
		return false
	}
	ev.Call = c.number
	p.tell(ev)
	return true
}

func (r *Relay) serverNotification(e *envelope, ev *Event) bool {
	p, s := &r.toHost, r.toHost.scan
	ev.Method = known(e.method)
	if f := s.spelling(ev.Method); f != nil { // before anything is taken from it
		p.tell(ev.refuse(Malformed, f.error()))
		return false
	}
	var stray string
	switch ev.Method {
	case methodProgress:
		if !r.session.progress(canonicalID(s.get("progressToken")), ev.Time) {
			stray = "progress of a request that does not wait"
		}
	case methodCancelled:
		id := s.get("requestId")
		if canonicalID(id) != nil { // anything may stand there, as long as a line is
			ev.ID = string(id)
		}
		if !r.session.retracted(canonicalID(id)) {
			stray = "cancels a request that does not wait"
		}
	case "notifications/tasks/status", "notifications/tasks":
		id, _ := stringValue(s.get("taskId"), maxID)
		if !r.session.knowsTask(id) {
			stray = "about a task that the client does not know"
		}
		if status, _ := stringValue(s.get("status"), 64); terminal(status) {
			r.session.closeTask(id)
		}
	}
	if meta := s.get("_meta"); meta != nil {
		if id := s.open(meta).at(metaSubscription); id != nil && !r.session.listens(canonicalID(id)) {
			stray = "about a subscription that is not open"
		}
	}
	if stray != "" {
		p.tell(ev.refuse(Stray, &Error{Rule: ruleStray, Message: stray}))
		return false
	}
	if err := r.inspect(ToHost, e, ev.Method, ""); err != nil {
		p.tell(ev.refuse(Refused, err))
		return false
	}
	p.tell(ev)
	return true
}

// rejectServer tells whoever waits about a line of the server's that may not
// pass, and reports whether it was meant to be a message at all. Programs print
// banners and logs to stdout, also in JSON, and hosts bear that.
func (r *Relay) rejectServer(found []glimpse, f *fault) (meant bool) {
	for _, g := range found {
		meant = meant || g.rpc
		switch {
		case g.id == nil:
		case g.answer || g.rpc && !g.request:
			if c := r.session.spoil(canonicalID(g.id)); c != nil {
				meant = true
				r.toHost.answer(c.ID, &Error{CodeAnswer, f.rule, "mcpbox does not pass the server's answer on: " + f.text})
			}
		case g.request && g.rpc:
			r.answerAsker(string(g.id), f.error())
		}
	}
	return meant
}
