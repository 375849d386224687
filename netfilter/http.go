package netfilter

import (
	"errors"
	"io"
)

// errSwitched says that a connection has left HTTP for another protocol.
var errSwitched = errors.New("the connection speaks another protocol than HTTP now")

// forwardRequests copies the HTTP/1 requests that src carries to dst, byte for
// byte but for two edits of heads, as long as each is meant for the host name (canonical) at port, and
// until src ends between two of them, which is no error.
//
// The origin must not find in these bytes a request that we have not judged.
// So nothing is guessed, and only requests pass that every server divides into
// the same heads and bodies (RFC 9112; "request smuggling", CVE-2005-2088 and
// its many heirs): see [parseHead] for heads and [stream.chunks] for bodies.
// The Host field must be there once and equal name, letter case and a
// trailing dot aside, and port, which it may leave out; the target of a
// request to a proxy must say the same.
//
// What it cannot see is an origin that answers without reading a body and then
// takes that body for a request. With GET, HEAD and DELETE, where it happens
// (RFC 9110 sections 9.3.1, 9.3.2 and 9.3.5), such a request is the last of its
// connection: the origin is told so, by "Connection: close", and what follows is
// refused. With POST it is a fault of the origin, which leads to other hosts on
// the same server and nowhere else.
//
// The other edit takes the offer to go on with HTTP/2 (Upgrade: h2c) out of a
// request, as any origin may overlook it.
//
// No byte of a request head reaches dst before the whole head was judged. Heads
// of several requests that arrive together are written one after the other, so
// that all before a refused one reach dst. Bodies are handed on as they come.
//
// One change of protocol is possible, to WebSocket and by the first request of
// a connection. After that head is written, switched is asked to wait for the
// reply; if it says that the origin answered 101, what has been read of src is
// written too and errSwitched returned: the rest of src is nobody's HTTP any
// more. With a nil switched such a request is refused.
//
// Errors: a *refusal, errSwitched, io.ErrUnexpectedEOF if src ends inside a
// request, and the errors of src, dst and switched as they are.
//
// Memory does not depend on what src sends: 4 KiB while it waits for a request,
// at most maxHead for a head and 32 KiB for a body. Longer stretches of a body
// go by io.CopyN, so that two TCP connections are joined by splice(2).
func forwardRequests(dst io.Writer, src io.Reader, name string, port uint16, switched func() (bool, error)) error {
	s := &stream{dst: dst, src: src}
	for first := true; ; first = false {
		head, err := s.head()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		r, err := parseHead(head, name, port)
		if err != nil {
			return err
		}
		if r.upgrade && (!first || switched == nil) {
			return refuse("HTTP upgrade on a connection that is in use")
		}
		if r.plain || r.last {
			err = s.replace(len(head), edited(head, r.last))
		} else {
			err = s.pass(len(head))
		}
		if err != nil {
			return err
		}
		if r.upgrade {
			if yes, err := switched(); err != nil {
				return err
			} else if yes {
				return s.abandon()
			}
		}
		if r.chunked {
			err = s.chunks()
		} else {
			err = s.body(r.length)
		}
		if err != nil {
			return err
		}
		if r.last {
			return s.noMore()
		}
	}
}
