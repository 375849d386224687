package netfilter

import (
	"net/netip"
	"time"
)

// Kind says what an [Event] is about.
type Kind string

const (
	// Connected is a connection that a rule allows, once it is there.
	Connected Kind = "connected"
	// Closed is the end of one.
	Closed Kind = "closed"
	// Refused is something that no rule allows.
	Refused Kind = "refused"
	// Abandoned is a connection that a rule allows, and that the program closed
	// without a byte before it was there.
	Abandoned Kind = "abandoned"
	// Failed is something allowed that could not be had: the name does not
	// resolve, nobody answers.
	Failed Kind = "failed"
)

// Event is something that the filter did.
type Event struct {
	Kind Kind
	// Proto is "tcp" or "udp", or "dns" for a question to the resolver.
	Proto string
	// Name is the name that the program asked for, "" if it used an address.
	// It is the server's text: canonical where a rule allows it, anything a
	// DNS message can hold otherwise.
	Name string
	// Address is what was dialled, or, if nothing was, what the program asked
	// for. It is not valid where that is a name.
	Address netip.Addr
	// Port is 0 for a question to the resolver.
	Port uint16
	// Rule is the rule that allows it, as written.
	Rule string
	// Reason says why; "" for a connection that began or ended as it should.
	Reason string
	// Allow is the rule that would allow it, "" if none can.
	Allow string
	// Sent and Received are bytes from and to the box, for Closed.
	Sent, Received int64
	// Duration is the time from Connected to Closed.
	Duration time.Duration
}
