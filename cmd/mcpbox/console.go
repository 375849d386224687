package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// The rules of what mcpbox says:
//
//   - The stdout of run is the protocol and nothing else. Other commands write
//     what they were asked for to stdout.
//   - mcpbox speaks on stderr, one line per event, each with the prefix
//     "mcpbox: ", in lower case, without a final period.
//   - Nothing is said about what went well.
//   - An error says what happened, why, and what to type.
//   - Text from outside never reaches a terminal with control characters in it.
type console struct {
	in       *os.File
	out, err *os.File
	// turn, where it is not nil, is that of what is said on stderr, and holds one.
	// Nobody waits for a stderr that is not read then: see hurried.
	turn  chan struct{}
	stuck *atomic.Bool
}

// hurried is a console for run. A host need not read stderr, and a server can fill
// it, and must not hold up the end of its run by that.
func (c console) hurried() console {
	c.turn, c.stuck = make(chan struct{}, 1), new(atomic.Bool)
	return c
}

// sayTime is for how long a line waits for a stderr that is full.
const sayTime = 500 * time.Millisecond

// say writes one line to stderr, whatever stands in args: names that a server
// has chosen are among them.
func (c console) say(format string, args ...any) {
	c.write(fmt.Sprintf("mcpbox: %s\n", printable(fmt.Sprintf(format, args...))))
}

// write has a line written. A hurried console gives it up where one before it still
// waits.
func (c console) write(line string) {
	if c.turn == nil {
		io.WriteString(c.err, line)
		return
	}
	patience := sayTime
	if c.stuck.Load() {
		patience = 0
	}
	select {
	case c.turn <- struct{}{}:
	case <-time.After(patience):
		c.stuck.Store(true)
		return
	}
	written := make(chan struct{})
	go func() {
		io.WriteString(c.err, line)
		c.stuck.Store(false)
		<-c.turn
		close(written)
	}()
	select {
	case <-written:
	case <-time.After(sayTime):
		c.stuck.Store(true) // or it has been written just now, and the next one sees that
	}
}

// sayError writes one line for each error that err joins.
func (c console) sayError(err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			c.sayError(e)
		}
		return
	}
	c.say("%v", err)
}

// printable escapes what a terminal might obey.
func printable(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, unprintable) < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && n == 1: // a lone byte, such as C1 in eight bits
			fmt.Fprintf(&b, "\\x%02x", s[0])
		case unprintable(r):
			fmt.Fprintf(&b, "\\u%04x", r)
		default:
			b.WriteRune(r)
		}
		s = s[n:]
	}
	return b.String()
}

func unprintable(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// Exit codes of run (the rest are the server's own). The other commands exit
// with 1.
const (
	exitFailure     = 125 // of mcpbox itself, or of the policy
	exitNotRunnable = 126
	exitNotFound    = 127
	exitSignalBase  = 128 // plus the number of the signal
)

// codedError carries an exit code up to main.
type codedError struct {
	code int
	err  error // nil if all has been said
}

func (e *codedError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *codedError) Unwrap() error { return e.err }

// report says err, unless it was said before, and returns the exit code.
func (c console) report(err error, otherwise int) int {
	if err == nil {
		return 0
	}
	var coded *codedError
	if errors.As(err, &coded) {
		if coded.err != nil {
			c.sayError(coded.err)
		}
		return coded.code
	}
	c.sayError(err)
	return otherwise
}

// fprint writes s and a line feed to w, and forgets errors: there is nobody
// left to tell.
func fprint(w io.Writer, s string) {
	io.WriteString(w, strings.TrimRight(s, "\n")+"\n")
}

// printableText is printable for text of several lines.
func printableText(s string) string {
	lines := strings.Split(s, "\n")
	for i, l := range lines {
		lines[i] = printable(l)
	}
	return strings.Join(lines, "\n")
}

// plural counts things.
func plural(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}
