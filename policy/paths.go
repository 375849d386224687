package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"
)

// expand turns the text of a path into an absolute path, without asking the
// machine anything. "~" is the user's home; variables, other users' homes and
// patterns are not expanded, so that a path means the same for everybody who
// reads it.
func expand(p Path, f Facts) (string, error) {
	fail := func(format string, args ...any) (string, error) {
		return "", &Error{p.Origin, fmt.Sprintf("%q: ", p.Text) + fmt.Sprintf(format, args...)}
	}
	text := p.Text
	if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
		return fail("a path cannot hold the control character %q", text[i])
	}
	if i := strings.IndexByte(text, '$'); i >= 0 && i+1 < len(text) && startsVariable(text[i+1]) {
		return fail("variables are not expanded; write the path out, or start it with ~/")
	}
	switch {
	case text == "":
		return fail("a path cannot be empty")
	case text == "~" || strings.HasPrefix(text, "~/"):
		text = f.Home + text[1:]
	case text[0] == '~':
		return fail("only ~ and ~/… are expanded; write %s's home directory out", strings.SplitN(text[1:], "/", 2)[0])
	case text[0] != '/' && p.Origin.File != "":
		return fail("a path in a file has to start with / or ~/, since a policy holds wherever it is used from")
	case text[0] != '/':
		text = f.Cwd + "/" + text
	}
	if text[0] != '/' {
		return fail("not an absolute path")
	}
	return text, nil
}

func startsVariable(c byte) bool {
	return c == '{' || c == '(' || c == '_' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// place is a file of the host, by its one path without symbolic links.
type place struct {
	path  string
	info  Info
	links []link
}

// link is a symbolic link on the way to a place.
type link struct {
	at, text string
	last     bool // nothing follows it: the path is a name of the link itself
}

// The bounds of the way that a path may lead.
const (
	// maxLinks is how many symbolic links a path may go through, as in the
	// kernel.
	maxLinks = 40
	// maxSteps is how many files are looked at. The kernel has no such bound,
	// and follows links as long as paths can be for as often as it may.
	maxSteps = 256
	// maxRest is how many components the links so far can leave to follow.
	maxRest = 4096
)

const (
	errLoop   = syscall.ELOOP
	errNotDir = syscall.ENOTDIR

	errPathLength = syscall.ENAMETOOLONG
)

var errTooLong = errors.New("too long to follow")

// locate follows an absolute path, with the kernel's meaning of "..": the
// parent of where the path led so far.
func locate(h Host, p string) (place, error) {
	var links []link
	at, info, known := "/", Info{}, false
	rest := strings.Split(p, "/")
	for steps := 0; len(rest) > 0; {
		name := rest[0]
		rest = rest[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			at, known = path.Dir(at), false
			continue
		}
		if known && info.Type != Directory {
			return place{}, &fs.PathError{Op: "follow", Path: at, Err: errNotDir}
		}
		if steps++; steps > maxSteps || len(rest) > maxRest {
			return place{}, &fs.PathError{Op: "follow", Path: p, Err: errTooLong}
		}
		next := path.Join(at, name)
		i, err := h.Lstat(next)
		if err != nil {
			return place{}, err
		}
		if i.Type != Symlink {
			at, info, known = next, i, true
			continue
		}
		if len(links) == maxLinks {
			return place{}, &fs.PathError{Op: "follow", Path: p, Err: errLoop}
		}
		text, err := h.Readlink(next)
		if err != nil {
			return place{}, err
		}
		links = append(links, link{next, text, !slices.ContainsFunc(rest, func(s string) bool { return s != "" })})
		rest = append(strings.Split(text, "/"), rest...)
		if strings.HasPrefix(text, "/") {
			at, known = "/", false
		}
	}
	if !known {
		var err error
		if info, err = h.Lstat(at); err != nil {
			return place{}, err
		}
	}
	if strings.HasSuffix(p, "/") && info.Type != Directory {
		return place{}, &fs.PathError{Op: "follow", Path: p, Err: errNotDir}
	}
	return place{at, info, links}, nil
}

// locatePath expands and follows a path of a policy. The error says what to
// change.
func locatePath(h Host, p Path) (place, error) {
	abs, err := expand(p, h.Facts())
	if err != nil {
		return place{}, err
	}
	pl, err := locate(h, abs)
	switch {
	case err == nil:
		return pl, nil
	case errors.Is(err, fs.ErrNotExist):
		hint := "create it, or take the line out"
		if strings.ContainsAny(p.Text, "*?[") {
			hint = "patterns are not expanded; name a directory"
		}
		return place{}, &Error{p.Origin, fmt.Sprintf("%q does not exist; %s", p.Text, hint)}
	}
	return place{}, &Error{p.Origin, fmt.Sprintf("%q: %v", p.Text, err)}
}

// within reports whether the canonical path p is root or lies below it.
func within(p, root string) bool {
	return p == root || root == "/" || strings.HasPrefix(p, root) && len(p) > len(root) && p[len(root)] == '/'
}

// below reports whether p lies strictly below root.
func below(p, root string) bool { return p != root && within(p, root) }

// remembering answers each Lstat once, so that one run of Spec sees one state
// of the machine and asks less.
type remembering struct {
	Host
	infos map[string]Info
}

func (r *remembering) Lstat(p string) (Info, error) {
	if i, ok := r.infos[p]; ok {
		return i, nil
	}
	i, err := r.Host.Lstat(p)
	if err == nil {
		r.infos[p] = i
	}
	return i, err
}
