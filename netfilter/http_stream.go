package netfilter

import "io"

const (
	maxHead    = 64 << 10 // bytes of a request head, with the empty line
	idleBuffer = 4 << 10
	bodyBuffer = 32 << 10
	directCopy = 64 << 10 // from here on a body is copied past the buffer
)

// stream carries bytes from src to dst through a buffer, in which they are
// judged before they are let go.
type stream struct {
	dst io.Writer
	src io.Reader

	buf    []byte // what was read and not yet written
	judged int    // so much of buf may be written
	ended  error  // what the last Read of src returned with its bytes
	full   bool   // the last Read left no room
}

// ahead is what was read and not yet judged.
func (s *stream) ahead() []byte { return s.buf[s.judged:] }

// fill reads at least one byte more, after it has written what may be written.
// Its buffer holds up to most bytes, of which ahead must be fewer.
func (s *stream) fill(most int) error {
	if err := s.flush(); err != nil {
		return err
	}
	s.resize(most)
	for range 100 { // like io.ErrNoProgress elsewhere in the library
		if s.ended != nil {
			return s.ended
		}
		n, err := s.src.Read(s.buf[len(s.buf):cap(s.buf)])
		s.buf, s.ended = s.buf[:len(s.buf)+n], err
		if n > 0 {
			s.full = len(s.buf) == cap(s.buf)
			return nil
		}
	}
	return io.ErrNoProgress
}

// resize makes room for the next Read: a buffer that was filled doubles, up to
// most.
func (s *stream) resize(most int) {
	size := cap(s.buf)
	if len(s.buf) == size || s.full {
		size = min(max(2*size, idleBuffer), most)
	}
	if size > cap(s.buf) {
		s.buf = append(make([]byte, 0, size), s.buf...)
	}
}

// shrink gives a large buffer back that nothing is in, since connections wait
// for most of their lives.
func (s *stream) shrink() {
	if len(s.buf) == 0 && cap(s.buf) > idleBuffer {
		s.buf, s.full = nil, false
	}
}

// flush writes what has been judged.
func (s *stream) flush() error {
	if s.judged == 0 {
		return nil
	}
	_, err := s.dst.Write(s.buf[:s.judged])
	rest := copy(s.buf, s.ahead())
	s.buf, s.judged = s.buf[:rest], 0
	return err
}

// pass lets the next n bytes, which have been read, go to dst at once.
func (s *stream) pass(n int) error {
	s.judged += n
	return s.flush()
}

// replace drops the next n bytes, which have been read, and writes others to dst
// instead.
func (s *stream) replace(n int, by []byte) error {
	if err := s.flush(); err != nil {
		return err
	}
	_, err := s.dst.Write(by)
	rest := copy(s.buf, s.buf[n:])
	s.buf = s.buf[:rest]
	return err
}

// noMore waits for the end of src, which must be what comes next.
func (s *stream) noMore() error {
	if len(s.ahead()) == 0 {
		err := s.fill(idleBuffer)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return refuse("HTTP request after one of GET, HEAD or DELETE with a body")
}

// abandon lets go all that was read, and ends the judging.
func (s *stream) abandon() error {
	if err := s.pass(len(s.ahead())); err != nil {
		return err
	}
	return errSwitched
}

// body carries n bytes of any kind.
func (s *stream) body(n int64) error {
	if err := s.carry(n); err != nil {
		return err
	}
	return s.flush()
}

// carry judges n bytes of any kind to be good. Some may wait in the buffer.
func (s *stream) carry(n int64) error {
	for {
		have := min(n, int64(len(s.ahead())))
		s.judged += int(have)
		n -= have
		switch {
		case n == 0:
			return nil
		case n >= directCopy && s.ended == nil:
			if err := s.flush(); err != nil {
				return err
			}
			if _, err := io.CopyN(s.dst, s.src, n); err != nil {
				return inside(err)
			}
			return nil
		}
		if err := s.fill(bodyBuffer); err != nil {
			return inside(err)
		}
	}
}

// inside is err, found inside a request, where an end is one that came too
// early.
func inside(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
