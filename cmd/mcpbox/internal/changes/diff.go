package changes

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/diff"
)

// diffLimit bounds the files of which a difference is shown.
const diffLimit = 1 << 20

// Diff says in text what a change does to a file: a unified diff, or in one line
// why there is none. It is as the server has written it, control characters
// included.
func (e *Entry) Diff(s *Set, c *Change) (string, error) {
	if c.Before != nil && c.Before.Type != File || c.After != nil && c.After.Type != File || c.After == nil {
		return "", nil
	}
	before, why := []byte(nil), ""
	if c.Before != nil {
		before, why = hostText(s, c)
	}
	if why != "" {
		return why, nil
	}
	f, err := e.Content(s, c)
	if err != nil {
		return "", err
	}
	defer f.Close()
	after, why := text(f, c.After.Size)
	if why != "" {
		return why, nil
	}
	return string(diff.Diff("a/"+string(c.Path), before, "b/"+string(c.Path), after)), nil
}

// hostText reads the file that a change replaces.
func hostText(s *Set, c *Change) (data []byte, why string) {
	r := s.Roots[c.Root]
	dir, ino, err := openRoot(string(r.Path))
	if err != nil || ino != r.Ino {
		return nil, "(the directory is not there any more)"
	}
	defer dir.Close()
	if same, err := c.Before.sameAt(int(dir.Fd()), string(c.Path)); err != nil || !same {
		return nil, "(" + reasonHostChanged + ")"
	}
	f, err := openFile(int(dir.Fd()), string(c.Path))
	if err != nil {
		return nil, "(" + reasonHostChanged + ")"
	}
	defer f.Close()
	return text(f, c.Before.Size)
}

// text reads a file, if it is text.
func text(f *os.File, size int64) (data []byte, why string) {
	if size > diffLimit {
		return nil, fmt.Sprintf("(too large to be compared: %d bytes)", size)
	}
	data, err := io.ReadAll(io.LimitReader(f, diffLimit))
	switch {
	case err != nil:
		return nil, "(cannot be read: " + err.Error() + ")"
	case !utf8.Valid(data), bytes.IndexByte(data, 0) >= 0:
		return nil, fmt.Sprintf("(not text: %d bytes)", size)
	}
	return data, ""
}
