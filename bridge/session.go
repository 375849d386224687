package bridge

import (
	"sync"
	"time"
)

// session is what is known of the conversation: who waits for what, and what was
// agreed. Both pumps and the launcher use it.
type session struct {
	mu sync.Mutex
	// host and server are the requests of either that wait for the other.
	host, server calls

	legacy  bool         // the host has sent initialize: the era up to 2025-11-25
	version string       // what the server answered to it
	caps    capabilities // what the host declared with it

	withdrawn  recent[*Call]    // calls that the host has cancelled
	tokens     map[string]*Call // progress tokens of calls that wait
	tasks      recent[task]     // by id
	taskTokens recent[struct{}] // progress tokens that outlive their call in a task

	number int64  // of the newest request of either
	over   *Error // what a request gets once there is no server, nil before
}

// task is a call that goes on after its response.
type task struct{ tool, token string }

func newSession() *session {
	return &session{
		host: newCalls(), server: newCalls(), tokens: map[string]*Call{},
		withdrawn: newRecent[*Call](), tasks: newRecent[task](), taskTokens: newRecent[struct{}](),
	}
}

// newest is the number of the newest request.
func (s *session) newest() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.number
}

func (s *session) batches() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version == batchVersion
}

// end ends a call of the host's and what hangs on it.
func (s *session) end(id string, why Outcome) *Call {
	c := s.host.take(id, why)
	if c != nil && s.tokens[c.token] == c {
		delete(s.tokens, c.token)
	}
	return c
}

// admit says why a request of the host may not be sent on, or nil.
func (s *session) admit(c *Call) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.over != nil:
		return s.over
	case s.host.open[c.id] != nil:
		return &Error{codeInvalid, ruleReuse, "a request with this id waits for its answer already"}
	case len(s.host.open) >= maxCalls:
		return &Error{codeInternal, ruleMany, "too many requests wait for the server's answer"}
	}
	return nil
}

// begin enters a request of the host's, which is about to be sent on.
func (s *session) begin(c *Call, declared capabilities, taskID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Method == methodInitialize {
		s.legacy, s.caps = true, declared
	}
	s.number++
	c.number = s.number
	s.host.add(c)
	s.withdrawn.forget(c.id) // whose response would be a second one to this id
	if c.token != "" {
		s.tokens[c.token] = c
	}
	if taskID != "" {
		if _, there := s.tasks.get([]byte(taskID)); !there {
			s.tasks.add(taskID, task{}) // of an earlier session
		}
	}
}

// answered ends the call that a response of the server is for. Without one it
// returns what the response is instead.
func (s *session) answered(id []byte) (*Call, Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.host.open[string(id)]; c != nil {
		return s.end(c.id, Duplicate), Answered
	}
	// "the response may arrive after the cancellation" (MCP 2025-11-25,
	// Cancellation); with the end of a subscription it does.
	if c, ok := s.withdrawn.get(id); ok {
		s.withdrawn.forget(c.id)
		s.host.done.add(c.id, Duplicate)
		return c, Answered
	}
	return nil, s.host.unasked(id)
}

// agreed notes what the result of a call has settled.
func (s *session) agreed(c *Call, version, taskID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.Method == methodInitialize && version != "" {
		s.version = version
	}
	if _, known := s.tasks.get([]byte(taskID)); taskID != "" && !known {
		s.tasks.add(taskID, task{c.Tool, c.token})
		if c.token != "" {
			s.taskTokens.add(c.token, struct{}{})
		}
	}
}

// ask decides on a request of the server's.
func (s *session) ask(c *Call) *Error {
	s.mu.Lock()
	defer s.mu.Unlock()
	need := needs(c.Method)
	switch {
	case s.server.open[c.id] != nil:
		return &Error{codeInvalid, ruleReuse, "a request with this id waits for its answer already"}
	case !s.legacy:
		return &Error{codeUnknown, ruleStateless, "this protocol has no requests of servers"}
	case need&^s.caps != 0:
		return &Error{codeUnknown, ruleCapability, "the client has not declared what " + c.Method + " needs"}
	case len(s.server.open) >= maxAsked:
		return &Error{codeInternal, ruleMany, "too many requests wait for the client's answer"}
	}
	s.number++
	c.number = s.number
	s.server.add(c)
	return nil
}

// replied ends the call that a response of the host is for.
func (s *session) replied(id []byte) (*Call, Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.server.take(string(id), Duplicate); c != nil {
		return c, Passed
	}
	return nil, s.server.unasked(id)
}

// progress notes that a call goes on, and reports whether there is one with
// this token.
func (s *session) progress(token []byte, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.tokens[string(token)]; c != nil && len(token) > 0 {
		c.Progress = now
		return true
	}
	_, of := s.taskTokens.get(token)
	return of
}

// withdraw is a cancellation by the host. A response may follow all the same.
func (s *session) withdraw(id []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// "The initialize request MUST NOT be cancelled by clients" (MCP
	// 2025-11-25, Cancellation): it is answered all the same.
	if c := s.host.open[string(id)]; c != nil && c.Method != methodInitialize {
		s.end(c.id, Late)
		s.withdrawn.add(c.id, c)
	}
}

// retracted is a cancellation by the server: of a request of its own, or, in the
// stateless era, of a subscription. It reports whether there is one.
func (s *session) retracted(id []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.server.take(string(id), Late) != nil {
		return true
	}
	if c := s.host.open[string(id)]; c != nil && c.Method == methodListen {
		s.end(c.id, Late)
		return true
	}
	return false
}

func (s *session) listens(id []byte) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.host.open[string(id)]
	return c != nil && c.Method == methodListen
}

func (s *session) knowsTask(id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.tasks.get([]byte(id))
	return ok
}

// closeTask is the end of a task: its progress token is free.
func (s *session) closeTask(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.tasks.get([]byte(id)); ok {
		s.taskTokens.forget(t.token)
	}
}

// spoil ends the call of the host's with this id for a response that may not
// pass.
func (s *session) spoil(id []byte) *Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.withdrawn.forget(string(id))
	return s.end(string(id), Late)
}

// fail ends the call that the host calls by id, without a response.
func (s *session) fail(id string) *Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end(string(canonicalID([]byte(id))), Late)
}

// close ends all calls of the host's, and answers all to come with over.
func (s *session) close(over *Error, from int64) []Call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if over != nil {
		s.over = over
	}
	var ended []Call
	for _, c := range s.host.list() {
		if c.number > from {
			ended = append(ended, *s.end(c.id, Late))
		}
	}
	return ended
}
