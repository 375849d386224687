package relay

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// message is what the front has to know of one.
type message struct {
	ID     json.RawMessage `json:"id"`
	Method string          `json:"method"`
	Params struct {
		Token   json.RawMessage            `json:"progressToken"`
		Request json.RawMessage            `json:"requestId"`
		Meta    map[string]json.RawMessage `json:"_meta"`
	} `json:"params"`
	Error *struct {
		Code int `json:"code"`
	} `json:"error"`
}

func (m message) isRequest() bool { return m.Method != "" && m.ID != nil }

// stateless reports whether m is of the revisions that have no sessions.
func (m message) stateless() bool {
	_, ok := m.Params.Meta["io.modelcontextprotocol/protocolVersion"]
	return ok
}

// stream is where messages for the client go: the answer to a POST, or to a GET.
type stream struct {
	request message
	lines   chan []byte // closed after the response
}

func newStream(request message) *stream {
	return &stream{request, make(chan []byte, 4096)} // more than any test leaves unread
}

// backend is one server on stdio.
type backend struct {
	t    *testing.T
	run  *run
	in   io.WriteCloser
	done chan struct{} // closed when the server has ended its output

	mu             sync.Mutex
	pending        []*stream // the requests in flight
	get            *stream   // where the client listens, or nil
	sent, received bytes.Buffer
}

func newBackend(t *testing.T, r *run) *backend {
	b := &backend{t: t, run: r, done: make(chan struct{})}
	var err error
	if b.in, err = r.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	out, err := r.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go b.receive(out)
	return b
}

// send gives the server a line, after which request, if there is one, is in
// flight.
func (b *backend) send(line []byte, request *stream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if request != nil {
		b.pending = append(b.pending, request)
	}
	line = append(bytes.Clone(line), '\n')
	b.sent.Write(line)
	if _, err := b.in.Write(line); err != nil {
		b.t.Errorf("%s: %v", b.run.way.name, err)
	}
}

// inFlight reports whether a request with this id is.
func (b *backend) inFlight(id json.RawMessage) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.pending {
		if bytes.Equal(s.request.ID, id) {
			return true
		}
	}
	return false
}

func (b *backend) receive(out io.Reader) {
	defer close(b.done)
	in := bufio.NewReader(out)
	for {
		line, err := in.ReadBytes('\n')
		b.mu.Lock()
		b.received.Write(line)
		if err == nil {
			b.deliver(bytes.TrimSuffix(line, []byte("\n")))
		}
		b.mu.Unlock()
		if err != nil {
			break
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.pending {
		close(s.lines)
	}
	b.pending = nil
}

// deliver finds the stream that a line belongs to, as the specification of
// Streamable HTTP has it: with the request that it is because of. On stdio
// nothing says which one that is, except for reports of progress and what was
// subscribed to.
func (b *backend) deliver(line []byte) {
	var m message
	if err := json.Unmarshal(line, &m); err != nil {
		b.t.Errorf("%s: no message came from the server: %q", b.run.way.name, line)
		return
	}
	subscription := strings.Trim(string(m.Params.Meta["io.modelcontextprotocol/subscriptionId"]), `"`)
	var to *stream
	for i, s := range b.pending {
		if m.Method == "" && bytes.Equal(m.ID, s.request.ID) {
			b.pending = append(b.pending[:i:i], b.pending[i+1:]...)
			s.lines <- line
			close(s.lines)
			return
		}
		token := s.request.Params.Meta["progressToken"]
		switch {
		case m.Method == "":
		case len(m.Params.Token) > 0 && bytes.Equal(m.Params.Token, token),
			subscription != "" && subscription == strings.Trim(string(s.request.ID), `"`):
			s.lines <- line
			return
		case s.request.Method != "subscriptions/listen":
			to = s
		}
	}
	if to == nil {
		to = b.get
	}
	if to != nil && m.Method != "" {
		to.lines <- line
	}
}

// listen makes s where messages go that belong to no request; nil for nowhere.
func (b *backend) listen(s *stream) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.get = s
}

// end ends the server as hosts do, and checks that nothing was changed on the
// way.
func (b *backend) end() {
	b.t.Helper()
	if err := b.in.Close(); err != nil {
		b.t.Error(err)
	}
	hung := time.AfterFunc(patience, func() { _ = b.run.cmd.Process.Kill() })
	<-b.done
	if err := b.run.cmd.Wait(); err != nil {
		b.t.Errorf("%s: %v\n%s", b.run.way.name, err, &b.run.stderr)
	}
	if !hung.Stop() {
		b.t.Errorf("%s: the server did not end", b.run.way.name)
	}
	b.run.same(b.t, b.sent.Bytes(), b.received.Bytes())
}
