package changes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Entry is a change set in the state directory.
type Entry struct {
	ID      string
	Pending *Set // what can be applied, or nil
	Undo    *Set // what would take back what was applied, or nil

	dir string
}

// Name is the server's.
func (e *Entry) Name() string { return e.any().Name }

// any is one of the two sets.
func (e *Entry) any() *Set {
	if e.Pending != nil {
		return e.Pending
	}
	return e.Undo
}

// setDirs are the directories of all change sets.
func setDirs(state string) (list []string) {
	dir := filepath.Join(state, "changes")
	names, _ := os.ReadDir(dir) // it need not be there
	for _, n := range names {
		if n.IsDir() && !strings.HasPrefix(n.Name(), ".") {
			list = append(list, filepath.Join(dir, n.Name()))
		}
	}
	return list
}

func has(dir string, p part) bool {
	_, err := os.Lstat(filepath.Join(dir, string(p)+".json"))
	return err == nil
}

// List reads all change sets, the oldest first. The error is of those that cannot
// be read; the others are in the list nevertheless.
func List(state string) ([]*Entry, error) {
	var list []*Entry
	var bad []error
	for _, dir := range setDirs(state) {
		e := &Entry{ID: filepath.Base(dir), dir: dir}
		if err := e.read(); err != nil {
			bad = append(bad, err)
		} else if e.any() != nil {
			list = append(list, e)
		}
	}
	slices.SortStableFunc(list, func(x, y *Entry) int { return x.any().Time.Compare(y.any().Time) })
	return list, errors.Join(bad...)
}

func (e *Entry) read() (err error) {
	if e.Pending, err = load(e.dir, pending); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if e.Undo, err = load(e.dir, undo); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Find returns the change sets that have word as their id, or as the name of
// their server. Those that cannot be read are an error if no other is called so.
func Find(state, word string) ([]*Entry, error) {
	list, err := List(state)
	found := slices.DeleteFunc(list, func(e *Entry) bool { return e.ID != word && e.Name() != word })
	if len(found) == 0 && err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("there are no changes of %q; to see what there is, type: mcpbox changes", word)
	}
	return found, nil
}

// Content is the new content of a file that a set has.
func (e *Entry) Content(s *Set, c *Change) (*os.File, error) {
	p := pending
	if s == e.Undo {
		p = undo
	}
	w := writer{dir: e.dir, part: p}
	return os.Open(w.file(c.Content))
}

// Discard removes a change set for good. What was applied stays.
func (e *Entry) Discard() error {
	held, err := lock(e.dir)
	if err != nil {
		return fmt.Errorf("discard %s: %w", e.ID, err)
	}
	defer held.Close()
	gone := filepath.Join(filepath.Dir(e.dir), unfinished+e.ID)
	if err := os.Rename(e.dir, gone); err != nil {
		return err
	}
	return os.RemoveAll(gone)
}
