package netfilter

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// lingerTimeout is how long a program may take to close a connection that the
// other side has closed: there is nothing to wait for but bytes that nobody
// reads.
const lingerTimeout = 30 * time.Second

// headTimeout is how long the first request head may take to arrive. Only tests
// change it.
var headTimeout = 10 * time.Second

// maxReplyHead bounds what is looked at of the first reply.
const maxReplyHead = 64 << 10

// carryHTTP joins two connections as splice does, but judges each request on its
// way out. Replies pass as they are; only the head of the first is looked at, to
// see whether the connection has become a WebSocket.
func carryHTTP(box, world *net.TCPConn, first []byte, to Event, c relayConfig) relayed {
	r := newRelay(&vessels, box, world, c.meter)
	h := &httpFlow{relay: r, status: make(chan int, 1)}
	var both sync.WaitGroup
	both.Go(func() { r.finish(h.requests(first, to), box, sideBox) })
	both.Go(func() { r.finish(h.replies(), world, sideWorld) })
	err := r.close(r.wait(c), &both)
	return relayed{h.sent, h.received, err}
}

type httpFlow struct {
	*relay
	sent, received int64
	status         chan int // of the first reply; closed if there is none
}

// requests carries what the program asks, until it has no more to ask.
func (h *httpFlow) requests(first []byte, to Event) error {
	begun := false
	dst := &metered{Writer: h.world, relay: h.relay, count: &h.sent}
	h.box.SetReadDeadline(time.Now().Add(headTimeout))
	dst.before = func() {
		if !begun {
			begun = true
			h.box.SetReadDeadline(time.Time{})
		}
	}
	src := io.MultiReader(bytes.NewReader(first), h.box)
	err := forwardRequests(dst, src, to.Name, to.Port, func() (bool, error) {
		h.stuck()
		defer h.unstuck()
		return <-h.status == 101, nil
	})
	if errors.Is(err, errSwitched) {
		_, err = io.Copy(dst, h.box)
	}
	switch {
	case isForeign(err) && begun:
		err = &refusal{reason: err.Error()} // it was HTTP so far
	case errors.Is(err, os.ErrDeadlineExceeded) && !begun:
		err = errUnfinished
	case errors.Is(err, os.ErrDeadlineExceeded):
		err = nil // of replies: nobody listens any more
	}
	if err == nil {
		h.world.CloseWrite() // if that fails, replies hears it
	}
	return err
}

// replies carries what the origin sends.
func (h *httpFlow) replies() error {
	defer func() { h.box.SetReadDeadline(time.Now().Add(lingerTimeout)) }()
	if err := h.firstReply(); err != nil {
		return err
	}
	d := direction{relay: h.relay, src: h.world, dst: h.box, srcName: sideWorld, dstName: sideBox}
	err := d.carry()
	h.received += d.moved
	if d.v != nil {
		d.v.close()
	}
	return err
}

// firstReply carries the replies up to the first that is final, or to the end,
// and tells its status.
func (h *httpFlow) firstReply() error {
	defer close(h.status)
	dst := &metered{Writer: h.box, relay: h.relay, count: &h.received}
	var head []byte
	buf := make([]byte, 4<<10)
	for len(head) <= maxReplyHead {
		n, err := h.world.Read(buf)
		if n > 0 {
			head = append(head, buf[:n]...)
			code, done := finalStatus(&head)
			if done {
				h.status <- code
			}
			if _, err := dst.Write(buf[:n]); err != nil || done {
				return err
			}
		}
		if err == io.EOF {
			return nil // again to be heard by what carries the rest
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// finalStatus looks for the status of the first final reply, and cuts interim
// ones off head (RFC 9110, 15.2). 101 is final: what follows is not HTTP.
func finalStatus(head *[]byte) (code int, done bool) {
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

// metered counts before it writes.
type metered struct {
	io.Writer
	relay  *relay
	count  *int64
	before func() // called before each Write, unless it is nil
}

func (m *metered) Write(b []byte) (int, error) {
	if m.before != nil {
		m.before()
	}
	granted := int(m.relay.meter.take(int64(len(b))))
	m.relay.stuck() // for all that is known
	n, err := m.Writer.Write(b[:granted])
	m.relay.unstuck()
	*m.count += int64(n)
	m.relay.last.Store(int64(time.Since(m.relay.began)))
	if err == nil && granted < len(b) {
		err = errBudget
	}
	return n, err
}
