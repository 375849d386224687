// Package quarantine keeps which servers may not start, by whose word, and why.
//
//	STATE/quarantine/NAME.json
//
// A file is there as a whole or not at all, also after a power failure. What
// cannot be read keeps its server from starting, too.
package quarantine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"golang.org/x/sys/unix"
)

// Entry is one server in quarantine.
type Entry struct {
	Name   string    `json:"name"`
	Reason string    `json:"reason,omitempty"`
	By     string    `json:"by"` // who has put it there
	Since  time.Time `json:"since"`
	// Refused counts the starts that were refused, the last one at Last.
	Refused int64      `json:"refused"`
	Last    *time.Time `json:"last,omitempty"`
}

// MaxReason bounds Reason, in bytes.
const MaxReason = 2000

// Error is why a server does not start.
type Error struct{ Entry }

func (e *Error) Error() string {
	text := fmt.Sprintf("%s is in quarantine since %s, by %s", e.Name, e.Since.Local().Format("2006-01-02 15:04:05"), e.By)
	if e.Reason != "" {
		text += ": " + e.Reason
	}
	return text + "; to let it start again, type: mcpbox release " + e.Name
}

// NotFoundError is a server that is not in quarantine.
type NotFoundError struct {
	Name   string
	Others []string // that are
}

func (e *NotFoundError) Error() string {
	if len(e.Others) == 0 {
		return e.Name + " is not in quarantine, and no other server is"
	}
	return e.Name + " is not in quarantine; servers that are: " + strings.Join(e.Others, ", ")
}

const extension = ".json"

func place(state string) string { return filepath.Join(state, "quarantine") }

func path(state, name string) string { return filepath.Join(place(state), name+extension) }

// Set puts a server in quarantine. From when it returns, no start gets past
// [Check]. One that is there already keeps its count, with the new word.
func Set(state string, e Entry) error {
	if err := journal.CheckName(e.Name); err != nil {
		return err
	}
	if err := errors.Join(dirs.Private(state), dirs.Private(place(state))); err != nil {
		return err
	}
	return locked(state, func() error {
		if old, err := read(state, e.Name); err == nil {
			e.Refused, e.Last = old.Refused, old.Last
		}
		return write(state, e, true)
	})
}

// Release lets a server start again. One that is not in quarantine is a
// [*NotFoundError].
func Release(state, name string) error {
	if err := journal.CheckName(name); err != nil {
		return err
	}
	list, unreadable := List(state)
	if _, err := os.Lstat(path(state, name)); errors.Is(err, fs.ErrNotExist) {
		e := &NotFoundError{Name: name}
		for _, other := range list {
			e.Others = append(e.Others, other.Name)
		}
		return errors.Join(e, unreadable)
	}
	if err := dirs.Check(place(state)); err != nil {
		return err
	}
	return locked(state, func() error { return os.Remove(path(state, name)) })
}

// List is what is in quarantine, by name. A file that cannot be read is told in
// the error, beside the rest.
func List(state string) ([]Entry, error) {
	files, err := os.ReadDir(place(state))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list []Entry
	var bad []error
	for _, f := range files {
		name, ok := strings.CutSuffix(f.Name(), extension)
		if !ok || journal.CheckName(name) != nil {
			continue
		}
		switch e, err := read(state, name); {
		case err == nil:
			list = append(list, e)
		case !errors.Is(err, fs.ErrNotExist):
			bad = append(bad, err)
		}
	}
	slices.SortFunc(list, func(a, b Entry) int { return strings.Compare(a.Name, b.Name) })
	return list, errors.Join(bad...)
}

// Check returns an [*Error] if the server is in quarantine, and some other one if
// that cannot be known.
func Check(state, name string) error {
	e, err := read(state, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	}
	return &Error{e}
}

// Refuse is Check for a start, which it counts if that is refused.
func Refuse(state, name string) error {
	err := Check(state, name)
	if err == nil {
		return nil
	}
	// That it is refused does not depend on being counted.
	_ = locked(state, func() error {
		e, err := read(state, name)
		if err != nil {
			return err
		}
		now := time.Now().UTC()
		e.Refused, e.Last = e.Refused+1, &now
		return write(state, e, false)
	})
	return err
}

// maxFile is more than an entry takes.
const maxFile = 64 << 10

func read(state, name string) (Entry, error) {
	file, err := os.OpenFile(path(state, name), os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return Entry{}, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile))
	if err != nil {
		return Entry{}, err
	}
	var e Entry
	if err := json.Unmarshal(data, &e); err != nil || e.Name != name {
		return Entry{}, fmt.Errorf("%s says that %s is in quarantine, and cannot be read; to let it start again, type: mcpbox release %s", file.Name(), name, name)
	}
	return e, nil
}

// write puts a file in place at once. That it stays there through a power failure
// takes a while, which a count is not worth.
func write(state string, e Entry, lasting bool) error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	file, err := os.CreateTemp(place(state), ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(append(data, '\n'))
	if lasting {
		err = errors.Join(err, file.Sync())
	}
	err = errors.Join(err, file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path(state, e.Name))
	}
	if err != nil {
		os.Remove(file.Name())
		return err
	}
	if !lasting {
		return nil
	}
	dir, err := os.Open(place(state))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// locked does something while nobody else changes anything.
func locked(state string, do func() error) error {
	dir, err := os.OpenFile(place(state), os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_EX); err != nil {
		return os.NewSyscallError("flock", err)
	}
	return do()
}
