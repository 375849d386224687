package bridge

import "fmt"

// DefaultMaxLine is the longest line, in bytes and without its line feed, that
// a relay passes when its Config names no other limit. TypeScript hosts end a
// connection at 10 MiB of buffered input; this leaves room above that.
const DefaultMaxLine = 16 << 20

// Direction says which way a message travels.
type Direction int

const (
	// ToServer is from the host to the server.
	ToServer Direction = iota + 1
	// ToHost is from the server to the host.
	ToHost
)

func (d Direction) String() string {
	switch d {
	case ToServer:
		return "host to server"
	case ToHost:
		return "server to host"
	}
	return fmt.Sprintf("direction %d", int(d))
}

// Message is one line on its way through the relay.
type Message struct {
	Direction Direction

	// Line holds the bytes as they arrived, without the line feed that ended
	// them; a carriage return before it is part of the line. The bytes belong
	// to the relay: they may be neither changed nor kept once Inspect has
	// returned.
	Line []byte

	// Partial is set for the rest of a stream that ended without a line feed.
	Partial bool
}

// Inspector decides whether a message may pass.
//
// Inspect is called once for each message, in order within a direction, and
// before any byte of the message has been forwarded. The two directions call it
// from two goroutines. A nil error lets the message pass unchanged. Any other
// error ends the relay: the message and everything after it is not forwarded,
// and Run returns an error that wraps it.
type Inspector interface {
	Inspect(*Message) error
}

// LineTooLongError reports a line that exceeds the relay's limit. Nothing of
// the line has been forwarded.
type LineTooLongError struct {
	Direction Direction
	Limit     int // bytes, without the line feed
}

func (e *LineTooLongError) Error() string {
	return fmt.Sprintf("relay %s: line exceeds %d bytes", e.Direction, e.Limit)
}

// InspectError wraps what an inspector returned.
type InspectError struct {
	Direction Direction
	Err       error
}

func (e *InspectError) Error() string {
	return fmt.Sprintf("relay %s: message refused: %v", e.Direction, e.Err)
}

func (e *InspectError) Unwrap() error { return e.Err }
