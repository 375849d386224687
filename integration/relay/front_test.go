package relay

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
)

// front is a server for Streamable HTTP, each of whose sessions is a server on
// stdio. It passes on the bytes of each message as they came. Messages of the
// revisions without sessions go to a server that all of them share.
//
// It is as much of the transport as the conformance suite asks for and not more.
type front struct {
	start func() *backend
	http  *httptest.Server

	mu       sync.Mutex
	sessions map[string]*backend
	shared   []*backend // more than one where clients have used the same ids
	all      []*backend
}

// newFront starts a front, whose servers are started by start.
func newFront(start func() *backend) *front {
	f := &front{start: start, sessions: map[string]*backend{}}
	f.http = httptest.NewServer(f)
	return f
}

// end ends the front, and then every server.
func (f *front) end() {
	f.http.CloseClientConnections()
	f.http.Close()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.all {
		b.end()
	}
	f.all = nil
}

func (f *front) open() *backend {
	b := f.start()
	f.all = append(f.all, b)
	return b
}

func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	// DNS rebinding: a page in a browser that got here by a name of its own.
	host, _, err := net.SplitHostPort(r.Host)
	if ip := net.ParseIP(host); err != nil || host != "localhost" && (ip == nil || !ip.IsLoopback()) {
		http.Error(w, "not for this host", http.StatusForbidden)
		return
	}
	session := r.Header.Get("Mcp-Session-Id")
	f.mu.Lock()
	b := f.sessions[session]
	f.mu.Unlock()
	switch {
	case r.Method == http.MethodPost:
		f.post(w, r, session, b)
	case session == "":
		http.Error(w, "no session", http.StatusMethodNotAllowed)
	case b == nil:
		http.NotFound(w, r)
	case r.Method == http.MethodGet:
		s := newStream(message{})
		b.listen(s)
		defer b.listen(nil)
		s.serve(w, r)
	case r.Method == http.MethodDelete:
		f.mu.Lock()
		delete(f.sessions, session)
		f.mu.Unlock()
	default:
		http.Error(w, "no such method", http.StatusMethodNotAllowed)
	}
}

func (f *front) post(w http.ResponseWriter, r *http.Request, session string, b *backend) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var m message
	if err := json.Unmarshal(body, &m); err != nil || bytes.Contains(body, []byte("\n")) {
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"not one line of JSON"}}`)
		return
	}
	stateless := m.stateless() || r.Header.Get("Mcp-Protocol-Version") >= "2026-07-28"
	switch {
	case stateless:
		b = f.sharedBy(m)
	case m.Method == "initialize":
		f.mu.Lock()
		session, b = rand.Text(), f.open()
		f.sessions[session] = b
		f.mu.Unlock()
		w.Header().Set("Mcp-Session-Id", session)
	case session == "":
		http.Error(w, "no session", http.StatusBadRequest)
		return
	case b == nil:
		http.NotFound(w, r)
		return
	}
	if !m.isRequest() {
		b.send(body, nil)
		w.WriteHeader(http.StatusAccepted)
		return
	}
	s := newStream(m)
	b.send(body, s)
	s.serve(w, r)
	if stateless && r.Context().Err() != nil {
		// "Closing the response stream [...] the server MUST treat as cancellation"
		b.send(fmt.Appendf(nil, `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":%s}}`, m.ID), nil)
	}
}

// sharedBy is a server for a message without a session: one that has no request
// in flight with its id.
func (f *front) sharedBy(m message) *backend {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, b := range f.shared {
		if !m.isRequest() || !b.inFlight(m.ID) {
			return b
		}
	}
	b := f.open()
	f.shared = append(f.shared, b)
	return b
}

// serve sends what comes on s to the client: an error that comes first as the
// body of an error, anything else as events.
func (s *stream) serve(w http.ResponseWriter, r *http.Request) {
	flush := http.NewResponseController(w).Flush
	w.Header().Set("Content-Type", "text/event-stream")
	first := true
	if s.request.Method == "" {
		_ = flush() // the client waits for the head
	}
	for {
		select {
		case <-r.Context().Done():
			return
		case line, ok := <-s.lines:
			if !ok {
				return
			}
			if status := s.status(line); first && status != 0 {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(status)
				w.Write(line)
				return
			}
			first = false
			fmt.Fprintf(w, "event: message\ndata: %s\n\n", line)
			if flush() != nil {
				return
			}
		}
	}
}

// status is the status of HTTP that the revisions without sessions have for an
// error, or 0.
func (s *stream) status(line []byte) int {
	var m message
	if err := json.Unmarshal(line, &m); err != nil || m.Error == nil || !s.request.stateless() {
		return 0
	}
	switch m.Error.Code {
	case -32601:
		return http.StatusNotFound
	case -32600, -32020, -32021, -32022:
		return http.StatusBadRequest
	}
	return 0
}
