package netfilter

// readStatus reads the first response head that data begins with: its status
// code, and its length to the end of the empty line. Interim responses (RFC 9110
// section 15.2) count like others, so who waits for the answer to an upgrade goes
// on after 100 and 103.
//
// errShort means that the head is not complete; every other error is a *refusal:
// of what is no HTTP/1 response, or one whose lines do not end with CR LF, or
// longer than maxHead. Nobody may be told that a connection has left HTTP
// because of a head that its client reads otherwise.
func readStatus(data []byte) (code, headLen int, err error) {
	const shape = "HTTP/1.x nnn "
	for i := range min(len(data), len(shape)) {
		c, want := data[i], shape[i]
		switch {
		case want == 'x' && (c == '0' || c == '1'):
		case want == 'n' && '0' <= c && c <= '9':
			code = code*10 + int(c-'0')
		case i == len(shape)-1 && c == '\r': // no reason phrase, and no space before it
		case c != want || want == 'n':
			return 0, 0, refuse("the reply %q is not HTTP/1", short(data))
		}
	}
	line := 0
	for i := 0; i < len(data) && i < maxHead; i++ {
		switch c := data[i]; {
		case c == '\n' && (i == 0 || data[i-1] != '\r'), c == 0:
			return 0, 0, refuse("byte %#02x in the head of an HTTP reply", c)
		case c == '\r' && i+1 < len(data) && data[i+1] != '\n':
			return 0, 0, refuse("CR without LF in the head of an HTTP reply")
		case c == '\n' && i == line+1:
			if code < 100 {
				return 0, 0, refuse("HTTP status %03d", code)
			}
			return code, i + 1, nil
		case c == '\n':
			line = i + 1
		}
	}
	if len(data) >= maxHead {
		return 0, 0, refuse("HTTP reply head of more than %d bytes", maxHead)
	}
	return 0, 0, errShort
}
