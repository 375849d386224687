package journal

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/mcpbox/mcpbox/policy"
)

// Message is one JSON-RPC message between host and server, or a line that was to
// be one. An answer says how long it took and how it went; "call" is the same in
// it as in its request, and so joins the two, whatever ids are used again.
type Message struct {
	Direction Direction   `json:"direction"`
	Kind      MessageKind `json:"kind"`
	Method    string      `json:"method,omitempty"` // of an answer: its request's
	Tool      string      `json:"tool,omitempty"`   // of tools/call, and of its answer
	RPCID     string      `json:"id,omitempty"`     // as it stands in the message: 1, or "a"
	// Call counts the requests of a run, from 1, both ways together.
	Call int64 `json:"call,omitempty"`
	Size int64 `json:"bytes"` // of the line, with its end
	// Duration is how long an answer took.
	Duration time.Duration `json:"durationNs,omitempty"`
	Outcome  Outcome       `json:"outcome,omitempty"` // "" is a message that passed, and is no answer
	Reason   string        `json:"reason,omitempty"`  // why it did not pass, or went wrong
	// Memory is the most that the box occupied during the call, in bytes, where
	// that is known.
	Memory int64 `json:"peakBytes,omitempty"`

	// These two are filled in by the journal, as the policy says.
	Digest string `json:"sha256,omitempty"` // of the text
	Body   string `json:"body,omitempty"`   // the text; of a very long one, the beginning
}

// Direction says where a message goes.
type Direction string

const (
	ToServer Direction = "to_server"
	ToHost   Direction = "to_host"
)

// MessageKind says what a message is.
type MessageKind string

const (
	Request      MessageKind = "request"
	Answer       MessageKind = "answer"
	Notification MessageKind = "notification"
	Noise        MessageKind = "noise" // no message
)

// Outcome says how a call went, or what became of a message.
type Outcome string

const (
	OK        Outcome = "ok"
	Failed    Outcome = "error"      // the answer is an error of JSON-RPC
	ToolError Outcome = "tool_error" // the answer is a result with isError
	Denied    Outcome = "denied"     // it did not pass
	Answered  Outcome = "answered"   // by mcpbox, in the server's place: there is none from there
	Dropped   Outcome = "dropped"    // it did not pass, and nobody waits for it
)

const (
	flushTime  = 100 * time.Millisecond
	flushBytes = 64 << 10
)

// Message writes a record "message", at most 100 ms late. body is the message
// itself, nil where it is not there; what is kept of it is the policy's decision.
func (j *Journal) Message(m Message, body []byte) error {
	m.Digest, m.Body = "", ""
	if j.bodies != policy.BodyNone && body != nil {
		sum := sha256.Sum256(body)
		m.Digest = hex.EncodeToString(sum[:])
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return errClosed
	}
	if j.bodies == policy.BodyFull {
		m.Body = j.secrets.redactBody(body)
		m.Body = m.Body[:min(int64(len(m.Body)), j.messages.most/parts/4)]
	}
	text, err := j.encode(m)
	if err != nil {
		return fmt.Errorf("write journal %s: %w", j.path, err)
	}
	j.batch.text = append(j.batch.text, text...)
	j.batch.ends = append(j.batch.ends, len(j.batch.text))
	switch {
	case int64(len(j.batch.text)) >= min(flushBytes, j.messages.most/parts/4): // with their places, all of them fit into a segment
		return j.flush()
	case len(j.batch.ends) > 1:
	case j.flushing == nil:
		j.flushing = time.AfterFunc(flushTime, j.flushLate)
	default:
		j.flushing.Reset(flushTime)
	}
	return nil
}

func (j *Journal) flushLate() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.closed {
		j.flush()
	}
}

// flush writes the messages that wait.
func (j *Journal) flush() error {
	if len(j.batch.ends) == 0 {
		return nil
	}
	err := j.write(j.messages, j.batch, Message{}.event(), false)
	j.batch = batch{j.batch.text[:0], j.batch.ends[:0]}
	if cap(j.batch.text) > 4*flushBytes {
		j.batch.text = nil
	}
	return err
}

// settle writes the messages that wait, and says how far their stream is.
func (j *Journal) settle() *Position {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.flush()
	if j.messages.n == 0 {
		return nil
	}
	return &Position{N: j.messages.n, SHA256: hex.EncodeToString(j.messages.head[:])}
}

func (Message) event() string { return "message" }
