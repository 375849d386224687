package bridge

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"
)

// MaxTerminalLine is how many bytes of one line of a server's stderr a
// terminal gets to see.
const MaxTerminalLine = 8 << 10

// ownPrefix is what lines begin with that mcpbox says itself.
const ownPrefix = "mcpbox:"

// CopyStderr passes a server's stderr on until src ends. It returns nil at the
// end of src, or the first error of either side; when dst fails it reads src to
// its end all the same, because a server must not block on a stderr that nobody
// takes.
//
// Without a terminal the bytes are passed on unchanged. A terminal obeys what
// it is shown, up to writing the clipboard (OSC 52) or answering queries into
// the shell's input, so it gets lines in which every control and format
// character stands as a visible escape such as \x1b or \u202e, and at most
// MaxTerminalLine bytes of each. A line that begins as those of mcpbox do, which
// tell people what to type, has "| " before it.
func CopyStderr(dst io.Writer, src io.Reader, terminal bool) error {
	out := &stderrWriter{dst: dst}
	if terminal {
		out.clean = &cleaner{}
	}
	buf := make([]byte, 16<<10)
	for {
		n, err := src.Read(buf)
		out.pass(buf[:n])
		if err == nil {
			continue
		}
		out.finish()
		if out.err == nil && !errors.Is(err, io.EOF) {
			out.err = err
		}
		return out.err
	}
}

// stderrWriter remembers the first failure and drops what follows it.
type stderrWriter struct {
	dst   io.Writer
	clean *cleaner // nil: bytes as they are
	err   error
}

func (w *stderrWriter) pass(b []byte) {
	if w.clean != nil {
		b = w.clean.add(b)
	}
	w.write(b)
}

func (w *stderrWriter) finish() {
	if w.clean != nil {
		w.write(w.clean.end())
	}
}

func (w *stderrWriter) write(b []byte) {
	if w.err == nil && len(b) > 0 {
		_, w.err = w.dst.Write(b)
	}
}

// cleaner makes lines safe to show.
type cleaner struct {
	line []byte // the unfinished line, at most MaxTerminalLine bytes of it
	cut  int    // how many more bytes it had
	out  []byte
}

// add takes bytes in and returns the lines that they complete. The result is
// valid until the next call.
func (c *cleaner) add(b []byte) []byte {
	c.out = c.out[:0]
	for len(b) > 0 {
		piece, rest, whole := bytes.Cut(b, []byte{'\n'})
		b = rest
		room := min(len(piece), MaxTerminalLine-len(c.line))
		c.line = append(c.line, piece[:room]...)
		c.cut += len(piece) - room
		if whole {
			c.flush()
		}
	}
	return c.out
}

// end returns the last line, which had no line feed.
func (c *cleaner) end() []byte {
	c.out = c.out[:0]
	if len(c.line) > 0 {
		c.flush()
	}
	return c.out
}

func (c *cleaner) flush() {
	line := c.line
	if c.cut == 0 {
		line = bytes.TrimSuffix(line, []byte{'\r'})
	}
	if bytes.HasPrefix(bytes.TrimLeftFunc(line, blank), []byte(ownPrefix)) {
		c.out = append(c.out, "| "...)
	}
	c.out = appendVisible(c.out, line)
	if c.cut > 0 {
		c.out = fmt.Appendf(c.out, " [%d more bytes cut]", c.cut)
	}
	c.out = append(c.out, '\n')
	c.line, c.cut = c.line[:0], 0
}

// appendVisible appends b with everything that could steer a terminal, or
// reorder or hide text, replaced by an escape. A tab passes.
func appendVisible(out, b []byte) []byte {
	for len(b) > 0 {
		r, size := utf8.DecodeRune(b)
		switch {
		case r == utf8.RuneError && size == 1: // also C1 controls sent as single bytes
			out = fmt.Appendf(out, `\x%02x`, b[0])
		case r == '\t' || !steers(r):
			out = append(out, b[:size]...)
		case r < utf8.RuneSelf:
			out = fmt.Appendf(out, `\x%02x`, r)
		case r > 0xffff:
			out = fmt.Appendf(out, `\U%08x`, r)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		b = b[size:]
	}
	return out
}

// blank reports what is not seen at the beginning of a line.
func blank(r rune) bool {
	return unicode.IsSpace(r) || unicode.Is(unicode.Mn, r) || r == 0x200c || r == 0x200d
}

// steers reports control characters (C0, DEL, C1), format characters (the
// bidirectional ones, tags, byte order mark) and the line and paragraph
// separators. The two joiners pass: text in several scripts, and emoji, need
// them.
func steers(r rune) bool {
	if r == 0x200c || r == 0x200d {
		return false
	}
	return unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}
