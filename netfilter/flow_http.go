package netfilter

import (
	"bytes"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// carryHTTP judges each request on its way out, and lets replies pass as they
// are. The head of the first reply is read on its way, to see whether the
// connection has become a WebSocket.
func carryHTTP(box, world *net.TCPConn, first []byte, to Event, c relayConfig) relayed {
	h := &httpFlow{box: box, world: world, meter: c.meter, idle: c.idle, status: make(chan int, 1)}
	var up, down error
	var both sync.WaitGroup
	both.Go(func() {
		up = h.requests(io.MultiReader(bytes.NewReader(first), h.reader(box)), to)
		switch {
		case errors.Is(up, errSwitched):
			up = h.copy(world, h.reader(box), &h.sent)
			world.CloseWrite()
		case up == nil:
			world.CloseWrite()
		default:
			// Of a request that is refused half-way the origin has to see that
			// it is not whole.
			reset(world)
			reset(box)
		}
	})
	both.Go(func() {
		down = h.replies()
		box.CloseWrite()
		// A client that wants no more closes, too; there is nothing to wait
		// for but bytes that nobody would read.
		h.ended.Store(true)
		box.SetReadDeadline(time.Now().Add(lingerTimeout))
	})
	both.Wait()
	r := relayed{sent: h.sent.n, received: h.received.n, err: up}
	if r.err == nil {
		r.err = down
	}
	return r
}

// lingerTimeout is how long a program may take to close a connection that the
// other side has closed.
const lingerTimeout = 30 * time.Second

// maxReplyHead bounds the head of the reply to a request for a WebSocket.
const maxReplyHead = 64 << 10

type httpFlow struct {
	box, world     *net.TCPConn
	meter          *meter
	idle           time.Duration
	sent, received counter
	status         chan int    // of the first reply; 0 if it is none
	ended          atomic.Bool // the replies have
}

// counter counts the bytes of one direction, for one goroutine.
type counter struct{ n int64 }

func (h *httpFlow) requests(src io.Reader, to Event) error {
	return forwardRequests(&metered{h.world, h.meter, &h.sent}, src, to.Name, to.Port, func() (bool, error) {
		code, ok := <-h.status
		return ok && code == 101, nil
	})
}

// replies carries what the origin sends.
func (h *httpFlow) replies() error {
	defer close(h.status)
	dst := &metered{h.box, h.meter, &h.received}
	var head []byte
	buf := make([]byte, 4<<10)
	for {
		h.world.SetReadDeadline(time.Now().Add(h.idle))
		n, err := h.world.Read(buf)
		if n > 0 {
			if _, err := dst.Write(buf[:n]); err != nil {
				return err
			}
			head = append(head, buf[:n]...)
		}
		code, done := firstStatus(&head)
		if done || len(head) > maxReplyHead {
			h.status <- code
			break
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return h.copy(h.box, h.reader(h.world), &h.received)
}

// firstStatus looks for the status of the first final reply, and cuts interim
// ones off head (RFC 9110, 15.2). 101 is final: what follows is not HTTP.
func firstStatus(head *[]byte) (code int, done bool) {
	for {
		code, n, err := readStatus(*head)
		switch {
		case errors.Is(err, errShort):
			return 0, false
		case err != nil:
			return 0, true
		case code >= 200 || code == 101:
			return code, true
		}
		*head = (*head)[n:]
	}
}

// copy moves what is left of one direction.
func (h *httpFlow) copy(dst io.Writer, src io.Reader, count *counter) error {
	_, err := io.Copy(&metered{dst, h.meter, count}, src)
	return err
}

// reader reads from c, for as long as something comes.
func (h *httpFlow) reader(c *net.TCPConn) io.Reader { return &patient{c, h} }

type patient struct {
	c *net.TCPConn
	h *httpFlow
}

func (p *patient) Read(b []byte) (int, error) {
	idle := p.h.idle
	if p.h.ended.Load() {
		idle = lingerTimeout
	}
	p.c.SetReadDeadline(time.Now().Add(idle))
	return p.c.Read(b)
}

// metered counts before it writes.
type metered struct {
	w     io.Writer
	meter *meter
	count *counter
}

func (m *metered) Write(b []byte) (int, error) {
	if err := m.meter.add(int64(len(b))); err != nil {
		return 0, err
	}
	n, err := m.w.Write(b)
	m.count.n += int64(n)
	return n, err
}
