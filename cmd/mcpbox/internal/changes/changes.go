// Package changes keeps what servers have changed in staged directories until a
// person has it applied, or discards it.
//
// A run that has changed something leaves a change set, in a directory of its
// own:
//
//	STATE/changes/ID/pending.json   what was added, modified and removed
//	STATE/changes/ID/pending/1...   the new content of files, by number
//	STATE/changes/ID/undo.json      once it is applied: what would take it back
//	STATE/changes/ID/undo/1...
//
// Collect compares the upper layer of an overlay with the directory below it.
// Everything in that layer was made by the server: nothing in it is followed,
// executed or trusted, and each path is opened beneath its root, without links
// (openat2(2), RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS). Apply does the same on the
// host's side, where other programs may exchange directories for links at any
// moment.
//
// # What is never applied
//
// Names that programs of the host obey (policy.StagedRoot.Judge), and what would
// make a git repository around such names; all that was closed to the server;
// symbolic links that lead out of the directory; set-id
// bits; files with more than one name; devices, FIFOs and sockets; extended
// attributes that the host's file does not have. Nor anything that the host has
// changed since the server saw it.
package changes

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"time"
)

// Set is what one run has changed.
type Set struct {
	ID      string    `json:"id"`   // of the run
	Name    string    `json:"name"` // of the server
	Time    time.Time `json:"time"` // when the run ended, or when it was applied
	Roots   []Root    `json:"roots"`
	Changes []Change  `json:"changes"`
}

// Root is one staged directory.
type Root struct {
	Path   exact    `json:"path"`
	Ino    uint64   `json:"ino"`              // what it was when the server ran
	Names  []string `json:"names,omitempty"`  // see policy.StagedRoot
	Closed []exact  `json:"closed,omitempty"` // see policy.StagedRoot
}

// Change is one path that was added, modified or removed.
type Change struct {
	Root   int   `json:"root"` // index into Set.Roots
	Path   exact `json:"path"` // relative, clean
	Before *Node `json:"before,omitempty"`
	After  *Node `json:"after,omitempty"`
	// Content is the number of the file that holds what After has, or 0.
	Content int `json:"content,omitempty"`
	// Refused is why it is not applied, or "".
	Refused string `json:"refused,omitempty"`
}

// Node is a file, directory or link.
type Node struct {
	Type   Type   `json:"type"`
	Mode   uint32 `json:"mode"`           // permission bits
	Size   int64  `json:"size,omitempty"` // of a file
	Hash   []byte `json:"hash,omitempty"` // SHA-256 of a file, unless it was too large
	Target exact  `json:"target,omitempty"`

	// On the host, for Before: while none of them changes, neither has the file.
	Ino          uint64 `json:"ino,omitempty"`
	Mtime, Ctime int64  `json:",omitempty"` // nanoseconds
}

// Type is the kind of a node.
type Type string

const (
	File  Type = "file"
	Dir   Type = "directory"
	Link  Type = "link"
	Other Type = "special file" // never applied
)

// Kind is what happened to a path.
func (c *Change) Kind() string {
	switch {
	case c.Before == nil:
		return "added"
	case c.After == nil:
		return "removed"
	}
	return "modified"
}

// removes reports whether what is there goes, even if something else comes.
func (c *Change) removes() bool {
	return c.Before != nil && (c.After == nil || c.After.Type != c.Before.Type)
}

// At is the path on the host.
func (s *Set) At(c *Change) string { return path.Join(string(s.Roots[c.Root].Path), string(c.Path)) }

// Count counts the changes by kind, and those that are refused.
func (s *Set) Count() (added, modified, removed, refused int) {
	for i := range s.Changes {
		switch s.Changes[i].Kind() {
		case "added":
			added++
		case "removed":
			removed++
		default:
			modified++
		}
		if s.Changes[i].Refused != "" {
			refused++
		}
	}
	return
}

// Summary is Count in words.
func (s *Set) Summary() string {
	added, modified, removed, refused := s.Count()
	text := fmt.Sprintf("%d added, %d modified, %d removed", added, modified, removed)
	if refused > 0 {
		text += fmt.Sprintf(", %d of them refused", refused)
	}
	return text
}

// exact is text that JSON keeps byte for byte, though it need not be UTF-8.
type exact string

func (e exact) MarshalJSON() ([]byte, error) { return json.Marshal(strconv.QuoteToASCII(string(e))) }

func (e *exact) UnmarshalJSON(data []byte) error {
	var quoted string
	if err := json.Unmarshal(data, &quoted); err != nil {
		return err
	}
	text, err := strconv.Unquote(quoted)
	*e = exact(text)
	return err
}

// check refuses a set that could not have been written by this package: the
// directory is the user's own, but what is read from it decides what is written
// to.
func (s *Set) check() error {
	for _, c := range s.Changes {
		if c.Root < 0 || c.Root >= len(s.Roots) || !clean(string(c.Path)) || c.Before == nil && c.After == nil {
			return errors.New("it is damaged")
		}
	}
	return nil
}

// clean reports whether p is a relative path of plain names.
func clean(p string) bool {
	return p != "" && p != "." && p[0] != '/' && path.Clean(p) == p && p != ".." && !hasPrefix(p, "../")
}

func hasPrefix(s, prefix string) bool { return len(s) >= len(prefix) && s[:len(prefix)] == prefix }
