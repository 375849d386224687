package bridge

import (
	"crypto/sha256"
	"time"
)

// Kind is what a message is.
type Kind string

const (
	Request      Kind = "request"
	Notification Kind = "notification"
	Response     Kind = "response"
	// Unknown is a line, or a part of one, that is no JSON-RPC message.
	Unknown Kind = "unknown"
)

// Outcome is what became of a message.
type Outcome string

const (
	// Passed is a request, a notification, or an answer to a request of the
	// server, that was passed on.
	Passed Outcome = "passed"
	// Answered and Failed are responses that were passed on, with a result and
	// with an error.
	Answered Outcome = "answered"
	Failed   Outcome = "error"
	// Refused was not passed on, because a rule of the protocol or an inspector
	// forbids it; who sent a request got an error.
	Refused Outcome = "refused"
	// GivenUp is a request that got an error from mcpbox instead of a response
	// of the server: see [Relay.Fail] and [Relay.Finish].
	GivenUp Outcome = "given up"
	// Forged is a response to a request that there never was, or is no more
	// remembered. Duplicate is a second response, and Late one to a request that
	// was cancelled or given up. Mismatched is one whose result is that of
	// another method. None of them is passed on.
	Forged     Outcome = "forged"
	Duplicate  Outcome = "duplicate"
	Late       Outcome = "late"
	Mismatched Outcome = "mismatched"
	// Stray is a notification about a request, task or subscription that there
	// is not. It is not passed on.
	Stray Outcome = "stray"
	// Noise is a line on the server's stdout that is not meant to be a message.
	Noise Outcome = "noise"
	// Malformed is a line that is meant to be one, and may not pass.
	Malformed Outcome = "malformed"
)

// Event is one message, or one line that was none. It belongs to the relay, and
// is valid during the call of the observer only; its strings may be kept.
type Event struct {
	Time      time.Time
	Direction Direction
	Kind      Kind
	Method    string // of a response: that of its request, where there is one
	Tool      string // params.name of tools/call, also with its response
	ID        string // as JSON, as written by who made the request; "" for none
	// Call is the number of a request, from 1, and of its response. Requests of
	// both sides are counted together; what was not passed on has no number.
	Call      int64
	Size      int // bytes, without the line feed
	Outcome   Outcome
	Rule      string        // what it broke, one word; "" where it passed
	Detail    string        // the same in words, which may be the server's
	Duration  time.Duration // of a response: since its request
	ToolError bool          // of a response to tools/call: its result has isError
	// Line holds the bytes of the message. They are the relay's; of a line that
	// is too long to be held they are missing.
	Line []byte
}

// Digest is the SHA-256 of the message.
func (e *Event) Digest() [sha256.Size]byte { return sha256.Sum256(e.Line) }

// Violation reports whether the event counts against the server's budget: it is
// nothing that an honest server does.
func (e *Event) Violation() bool {
	if e.Direction != ToHost {
		return false
	}
	switch e.Outcome {
	case Forged, Duplicate, Mismatched, Malformed:
		return true
	case Refused:
		return e.Rule == ruleStateless || e.Rule == ruleReuse
	}
	return false
}
