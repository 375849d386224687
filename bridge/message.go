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

// Message is one message on its way through the relay, which has found it in
// order. Its slices belong to the relay: they may be neither changed nor kept
// once Inspect has returned.
type Message struct {
	Direction Direction
	Kind      Kind
	Method    string // of a response: that of the request which it answers
	Tool      string // params.name of tools/call; also of its response
	Line      []byte // the message as it arrived; of a batch, its part
	Params    []byte // an object, or nil
	Result    []byte // of a response: this
	Failure   []byte // or its error
}

// Inspector decides whether a message may pass.
//
// Inspect is called once for each message that the protocol allows, in order
// within a direction, and before any byte of the message has been forwarded.
// The two directions call it from two goroutines. A nil error lets the message
// pass unchanged. Any other error keeps it back, and who waits gets an error:
// the sender of a request, or the host instead of the server's response. The
// error may be an [*Error], which is then what they get.
type Inspector interface {
	Inspect(*Message) error
}

// LineTooLongError reports a line that goes on and on beyond the relay's limit.
// Nothing of the line has been forwarded.
type LineTooLongError struct {
	Direction Direction
	Limit     int // bytes, without the line feed
}

func (e *LineTooLongError) Error() string {
	return fmt.Sprintf("relay %s: a line of more than %d times %d bytes", e.Direction, endless, e.Limit)
}

// ViolationsError reports a server that has broken the protocol too often.
type ViolationsError struct {
	Count int
	Last  string // what it did last
}

func (e *ViolationsError) Error() string {
	return fmt.Sprintf("the server has broken the protocol %d times; the last time: %s", e.Count, e.Last)
}
