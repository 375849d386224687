package netfilter

import "io"

// head returns the next request head, to the empty line that ends it, without
// taking it from the stream. io.EOF means that src ended before its first byte.
//
// Bytes are looked at as they come: one that no head may hold, or a request line
// that is none, is refused before the rest arrives, which it may never do.
func (s *stream) head() ([]byte, error) {
	s.shrink()
	var scan headScan
	for {
		end, err := scan.advance(s.ahead())
		if err != nil {
			return nil, err
		}
		if end > 0 {
			return s.ahead()[:end], nil
		}
		if len(s.ahead()) >= maxHead {
			return nil, refuse("HTTP request head of more than %d bytes", maxHead)
		}
		empty := len(s.ahead()) == 0
		if err := s.fill(maxHead); err == io.EOF && empty {
			return nil, io.EOF
		} else if err != nil {
			return nil, inside(err)
		}
	}
}

// headScan finds the end of a head in bytes that arrive bit by bit.
type headScan struct {
	at    int // bytes looked at
	line  int // where the line that at is in begins
	lines int // lines before that
}

// advance looks at the bytes of data that it has not seen; data is longer each
// time and begins with the same bytes. It returns the length of the head once
// its end is there, else 0.
//
// Lines end with CR LF alone: a server that takes a lone LF or CR for an end of
// line, as RFC 9112 section 2.2 lets it, would see fields that we do not.
// Bytes beyond ASCII are refused, although RFC 9110 section 5.5 lets a server
// bear them, because text libraries take U+0085 for an end of line and U+00A0
// for space.
func (h *headScan) advance(data []byte) (end int, err error) {
	for ; h.at < len(data); h.at++ {
		switch c := data[h.at]; {
		case c == '\r':
			if h.at+1 == len(data) {
				return 0, nil // not until what follows is here
			}
			if data[h.at+1] != '\n' {
				return 0, refuse("CR without LF in an HTTP head")
			}
			empty := h.at == h.line
			if h.lines == 0 {
				if err := checkRequestLine(data[:h.at]); err != nil {
					return 0, err
				}
			}
			h.at++
			h.line = h.at + 1
			h.lines++
			if empty {
				return h.line, nil
			}
		case c == '\n':
			if h.lines == 0 { // lines of other protocols often end so
				if err := checkRequestLine(data[:h.at]); isForeign(err) {
					return 0, err
				}
			}
			return 0, refuse("LF without CR in an HTTP head")
		case c != '\t' && (c < ' ' || c > '~'):
			return 0, refuse("byte %#02x in an HTTP head", c)
		}
	}
	return 0, nil
}

// checkRequestLine refuses what is no request line before the fields are there.
func checkRequestLine(line []byte) error {
	if len(line) == 0 {
		return refuse("empty line before an HTTP request")
	}
	_, err := parseRequestLine(line)
	return err
}
