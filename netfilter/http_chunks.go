package netfilter

import "bytes"

// maxChunkLine is how long the line with the size of a chunk may be: 15 digits
// and its end.
const maxChunkLine = 15 + 2

// chunks carries a body in the chunked coding (RFC 9112 section 7.1), in its
// plainest form: a size in hexadecimal digits without leading zeros, nothing
// after it, data, CR LF; no trailer fields after the last. Extensions of
// chunks, space around sizes and trailers are what servers have disagreed
// about, and clients do not send them.
func (s *stream) chunks() error {
	for {
		size, err := s.chunkSize()
		if err != nil {
			return err
		}
		if err := s.carry(size); err != nil {
			return err
		}
		if err := s.chunkEnd(size == 0); err != nil {
			return err
		}
		if size == 0 {
			return s.flush()
		}
	}
}

// chunkSize takes the line with the size of the next chunk.
func (s *stream) chunkSize() (int64, error) {
	for {
		line := s.ahead()[:min(len(s.ahead()), maxChunkLine)]
		size, n := int64(0), 0
		for ; n < len(line) && n < maxChunkLine-2; n++ {
			digit, ok := hexDigit(line[n])
			if !ok {
				break
			}
			size = size<<4 | int64(digit)
		}
		switch {
		case n > 1 && line[0] == '0':
			return 0, refuse("HTTP chunk size with a leading zero")
		case n < len(line) && (n == 0 || line[n] != '\r'), n+1 < len(line) && line[n+1] != '\n':
			return 0, refuse("HTTP chunk size %q", line[:n+1])
		case n+1 < len(line):
			s.judged += n + 2
			return size, nil
		}
		if err := s.fill(bodyBuffer); err != nil {
			return 0, inside(err)
		}
	}
}

// chunkEnd takes the CR LF after the data of a chunk, or the empty line after the
// last.
func (s *stream) chunkEnd(last bool) error {
	for {
		line := s.ahead()[:min(len(s.ahead()), 2)]
		switch {
		case !bytes.HasPrefix(crlf, line) && last:
			return refuse("HTTP request with trailer fields")
		case !bytes.HasPrefix(crlf, line):
			return refuse("HTTP chunk whose size does not fit its data")
		case len(line) == 2:
			s.judged += 2
			return nil
		}
		if err := s.fill(bodyBuffer); err != nil {
			return inside(err)
		}
	}
}

func hexDigit(c byte) (value byte, ok bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}
