// Package journal writes what a run was allowed, was denied and consumed: one
// file for each run, one JSON object for each line.
//
//	STATE/journal/NAME/20260301T101530.123456789Z-1f0c9a7e.jsonl
//
// Every record has "time" (RFC 3339, UTC, nanoseconds) and "event"; the other
// fields depend on the event. A record is one write to a file opened for
// appending, so a killed launcher leaves whole lines. Text from outside cannot
// steer a terminal that shows the file: control and format characters are
// \u escapes.
package journal

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
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

// Journal is the open journal of one run. Its methods may be called from any
// goroutine.
type Journal struct {
	path string
	id   string
	now  func() time.Time

	mu   sync.Mutex
	file *os.File
}

// Open starts the journal of a run of the server name below the state
// directory. A run without a journal must not start, so the caller ends on an
// error. Call it before anything untrusted exists.
func Open(state, name string) (*Journal, error) { return open(state, name, time.Now) }

func open(state, name string, now func() time.Time) (*Journal, error) {
	if err := CheckName(name); err != nil {
		return nil, err
	}
	dir := state
	for _, part := range []string{"", "journal", name} {
		dir = filepath.Join(dir, part)
		if err := dirs.Private(dir); err != nil {
			return nil, fmt.Errorf("open journal: %w", err)
		}
	}
	var random [4]byte
	_, _ = rand.Read(random[:]) // never fails, see crypto/rand
	id := hex.EncodeToString(random[:])
	path := filepath.Join(dir, now().UTC().Format("20060102T150405.000000000Z")+"-"+id+".jsonl")
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open journal: %w", err)
	}
	return &Journal{path: path, id: id, now: now, file: file}, nil
}

// Path is the journal's file.
func (j *Journal) Path() string { return j.path }

// ID is the run's identity, eight hexadecimal digits, as in the file's name.
func (j *Journal) ID() string { return j.id }

// Close ends the journal. Closing again does nothing.
func (j *Journal) Close() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return nil
	}
	err := j.file.Close()
	j.file = nil
	if err != nil {
		return fmt.Errorf("close journal: %w", err)
	}
	return nil
}

// Add writes an event into the journal at path, for a launcher that cannot. The
// file has to be there.
func Add(path string, e Event) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|syscall.O_NOFOLLOW|syscall.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	j := &Journal{path: path, now: time.Now, file: file}
	return errors.Join(j.Event(e), j.Close())
}

// append writes one record with one write.
func (j *Journal) append(r record) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.file == nil {
		return errors.New("write journal: it is closed")
	}
	line, err := encode(r, j.now())
	if err != nil {
		return fmt.Errorf("write journal %s: %w", j.path, err)
	}
	if _, err := j.file.Write(line); err != nil {
		return fmt.Errorf("write journal: %w", err)
	}
	return nil
}
