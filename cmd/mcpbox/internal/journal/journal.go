// Package journal writes what a run was allowed, was denied and consumed: one
// JSON object for each line, in one file for each run, or more of a long one.
//
//	STATE/journal/NAME/20260301T101530.123456789Z-1f0c9a7e.jsonl             the run
//	STATE/journal/NAME/20260301T101530.123456789Z-1f0c9a7e.2.jsonl           its second segment
//	STATE/journal/NAME/20260301T101530.123456789Z-1f0c9a7e.messages.jsonl    its messages
//	STATE/journal/NAME/20260301T101530.123456789Z-1f0c9a7e.messages.2.jsonl
//
// Every record has "time" (RFC 3339, UTC, nanoseconds) and "event"; the other
// fields depend on the event. Text from outside cannot steer a terminal that
// shows the file: control and format characters are \u escapes. Values of the
// server's variables do not stand in it, see [Config].
//
// # The chain
//
// The last fields of a record are "n", its number in its stream, from 1, and
// "prev", the SHA-256 of the line before it, line feed included. The run and its
// messages are a stream each, which goes on through its segments. The first
// record has "after" instead: how far the journals of the runs before it were.
// [Verify] checks all that.
//
// # What is lost
//
// Records are single writes to a file opened for appending, those of messages
// several at once, at most 100 ms late. A launcher that is killed leaves whole
// lines, perhaps with part of one at the end, which is no record: the kernel
// gives up a write that it has begun (write(2) says only that it may be short).
//
// What cannot be written, say for want of space, is taken back to the last whole
// line, counted, and told in a record "gap" as soon as there is room. There always
// is for that and for the record of the end: space for it is allocated ahead.
//
// # What is kept
//
// A run's journal is bounded. Of the streams, which have half of the bound each,
// the first segment is kept, and as many of the last ones as there is room for.
// So no flood of messages can wash away what the server did otherwise, nor either
// of them how the run began. The journals of a server's runs are bounded, too;
// the oldest are removed.
package journal

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/policy"
	"golang.org/x/sys/unix"
)

// NameError says that a server's name cannot name a directory.
type NameError struct{ Name string }

func (e *NameError) Error() string {
	return fmt.Sprintf("server name %q: a name has 1 to 64 characters of A-Z a-z 0-9 . _ - and does not start with a dot; choose one with --name", e.Name)
}

// CheckName returns a [*NameError] unless name is usable as a server's name:
// [A-Za-z0-9._-]{1,64}, not starting with a dot.
func CheckName(name string) error {
	if len(name) < 1 || len(name) > 64 || name[0] == '.' {
		return &NameError{name}
	}
	for i := range len(name) {
		switch c := name[i]; {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '.', c == '_', c == '-':
		default:
			return &NameError{name}
		}
	}
	return nil
}

// Config says what to write.
type Config struct {
	State  string         // mcpbox's directory for state
	Name   string         // the server's
	Policy policy.Journal // a zero field means its default
	// Secrets are texts that no record holds: "[redacted]" stands for them.
	Secrets []string
}

// Journal is the open journal of one run. Its methods may be called from any
// goroutine.
type Journal struct {
	path    string
	id      string
	now     func() time.Time
	bodies  policy.BodyMode
	secrets secrets
	lock    *os.File // the first segment again, locked for as long as the run lives
	past    *past

	mu       sync.Mutex
	run      *stream
	messages *stream
	batch    batch // messages to be written
	flushing *time.Timer
	lost     losses
	retry    *time.Timer // while something is lost
	failed   chan struct{}
	cause    error // of that
	closed   bool
}

var errClosed = errors.New("write journal: it is closed")

// Open starts the journal of a run below the state directory. A run without a
// journal must not start, so the caller ends on an error. Call it before anything
// untrusted exists.
func Open(c Config) (*Journal, error) { return open(c, time.Now) }

func open(c Config, now func() time.Time) (*Journal, error) {
	if err := CheckName(c.Name); err != nil {
		return nil, err
	}
	dir := c.State
	for _, part := range []string{"", "journal", c.Name} {
		dir = filepath.Join(dir, part)
		if err := dirs.Private(dir); err != nil {
			return nil, fmt.Errorf("open journal: %w", err)
		}
	}
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails, see crypto/rand
	rules := c.Policy.WithDefaults()
	j := &Journal{
		id: hex.EncodeToString(random[:]), now: now, bodies: rules.Bodies, secrets: newSecrets(c.Secrets), failed: make(chan struct{}),
	}
	base := filepath.Join(dir, now().UTC().Format(stamp)+"-"+j.id)
	j.path = base + extension
	j.run = &stream{base: base, most: rules.Max / 2, reserve: reserve, now: now}
	j.messages = &stream{base: base + messagesInfix, most: rules.Max / 2, now: now}
	if err := j.run.open(1); err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	var err error
	if j.lock, err = lockFile(j.path, unix.LOCK_EX); err != nil {
		j.run.close()
		return nil, fmt.Errorf("open journal: %w", err)
	}
	j.past = lookBack(dir, filepath.Base(base), rules.Keep-rules.Max)
	return j, nil
}

// Path is the journal's first file, which stays for as long as anything of it.
func (j *Journal) Path() string { return j.path }

// ID is the run's identity, eight hexadecimal digits, as in the file's name.
func (j *Journal) ID() string { return j.id }

// Failed is closed when a record could not be written for the first time. What
// follows from that is the caller's to decide.
func (j *Journal) Failed() <-chan struct{} { return j.failed }

// Close ends the journal. The error tells of records that are lost and that no
// record tells of. Closing again does nothing.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return nil
	}
	j.flush()
	err := j.tell(true)
	j.closed = true
	for _, t := range []*time.Timer{j.flushing, j.retry} {
		if t != nil {
			t.Stop()
		}
	}
	j.past.removing.Wait()
	if j.run.n == 0 && err == nil { // nothing has happened
		err = os.Remove(j.path)
	}
	err = errors.Join(err, j.messages.close(), j.run.close())
	j.lock.Close()
	return err
}

// append writes one record of the run. The last ones, which close it, may use the
// space that is kept for them.
func (j *Journal) append(r record, last bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return errClosed
	}
	text, err := j.encode(r)
	if err != nil {
		return fmt.Errorf("write journal %s: %w", j.path, err)
	}
	return j.write(j.run, batch{text, []int{len(text)}}, r.event(), last)
}

// encode makes the text of a record, without its place in the chain.
func (j *Journal) encode(r record) ([]byte, error) {
	text, err := encode(r, j.now())
	return j.secrets.redact(text), err
}

// write has a stream take records, or counts them among what is lost.
func (j *Journal) write(s *stream, b batch, event string, last bool) error {
	j.begin()
	err := j.tell(last)
	done := 0
	if err == nil {
		done, err = s.write(b, last)
	}
	if done < len(b.ends) {
		j.lose(event, len(b.ends)-done, err)
	}
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}

// lockFile opens a file and locks it with flock(2).
func lockFile(path string, how int) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), how); err != nil {
		file.Close()
		return nil, os.NewSyscallError("flock", err)
	}
	return file, nil
}

// begin is before the first record is written: that one tells of the runs before
// it.
func (j *Journal) begin() {
	if j.run.n == 0 {
		j.past.looking.Wait()
		j.run.after = j.past.positions
	}
}

// makeRoom removes the oldest runs, if there is no room for all, once that is
// written down.
func (j *Journal) makeRoom() error {
	r, any := j.past.removal()
	if !any {
		return nil
	}
	if err := j.append(r, false); err != nil {
		return err
	}
	j.past.remove()
	return nil
}
