package policy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// The bounds of a scan.
const (
	// ScanDepth is how deep below its root a scan looks for names.
	ScanDepth = 6
	// ScanEntries is how many directory entries a scan reads.
	ScanEntries = 50000
	// gitDepth bounds the way inside a git directory.
	gitDepth = 16
	// shallowDepth is how deep below its root a writable directory has to be
	// searched to the end. Most projects have what is protected there.
	shallowDepth = 2
)

// ScanOptions says what a scan looks for besides the protected names.
type ScanOptions struct {
	// Names are more protected names, relative to the root.
	Names []string
	// Skip are canonical directories not to enter.
	Skip []string
	// Files looks at each file and link as well, which costs a system call or
	// more for each, and goes on after any failure: for the end of a run, not
	// its start.
	Files bool
}

// Snapshot is what a scan found below one directory.
type Snapshot struct {
	Root      string
	Protected []Found // files and directories with a protected name
	Links     []Found // symbolic links
	Sockets   []string
	FIFOs     []string
	// Exposed are regular files with more than one name, and Leaving the links
	// that lead out of Root, with where they point: with ScanOptions.Files.
	Exposed []string
	Leaving map[string]string
	// Unread are directories that belong to somebody else and that the user,
	// and so the box, cannot read.
	Unread []string
	// Blocked are directories that could not be read and not looked into, of
	// the user's own: a program of the user's could open them.
	Blocked []Blocked
	// Truncated says that there were more than ScanEntries entries, or no time
	// for all of them.
	Truncated bool
	// Missed is the directory nearest to Root that was not searched to the end,
	// and Fullest the one with the most entries, of those that were read.
	Missed, Fullest string

	missedDepth int      // of Missed, where Truncated
	most        int      // entries read of Fullest
	gitDirs     []string // that files named .git point to
	options     ScanOptions
}

// Found is a file that a scan found.
type Found struct {
	Path string
	Type FileType
	Ino  uint64
}

// Blocked is a directory that a scan could not look into.
type Blocked struct {
	Path string
	Err  error
}

// scan walks breadth first, so that what is near the root is found before the
// bound on entries ends it.
type scan struct {
	ctx     context.Context
	h       Host
	pat     patterns
	skip    map[string]bool
	out     *Snapshot
	queue   []todo
	entries int
	files   []string // to look at
	blocked map[string]bool
}

// todo is a directory to list, and the pattern nodes that hold in it.
type todo struct {
	dir    string
	depth  int // components below the root
	active []*pattern
}

// ScanRoot looks through a directory, without following symbolic links, for
// protected names, links, sockets and FIFOs. What it cannot look into is in
// Snapshot.Blocked and Snapshot.Missed: there, protected names may have been
// overlooked. It stops early when ctx is done.
func ScanRoot(ctx context.Context, h Host, root string, o ScanOptions) (*Snapshot, error) {
	s := &scan{ctx: ctx, h: h, pat: newPatterns(), out: &Snapshot{Root: root, options: o}, skip: map[string]bool{}, blocked: map[string]bool{}}
	if o.Files {
		s.out.Leaving = map[string]string{}
	}
	for _, name := range skippedTrees {
		s.skip[name] = true
	}
	for _, dir := range o.Skip {
		s.skip[dir] = true
	}
	start := s.pat.at(h, root)
	if len(o.Names) > 0 {
		anchored := &pattern{}
		for _, name := range o.Names {
			anchored.add(name)
			if err := s.named(name); err != nil {
				return nil, fmt.Errorf("look for protected names: %w", err)
			}
		}
		start = append(start, anchored)
	}
	s.queue = []todo{{root, 0, start}}
	for len(s.queue) > 0 && !s.out.Truncated && !s.enough() {
		if ctx.Err() != nil {
			s.out.Truncated = true
			break
		}
		next := s.queue[0]
		s.queue = s.queue[1:]
		if err := s.list(next); err != nil {
			return nil, fmt.Errorf("look for protected names: %w", err)
		}
	}
	if s.out.Truncated {
		if err := s.unlisted(); err != nil {
			return nil, fmt.Errorf("look for protected names: %w", err)
		}
	}
	// Names come first: there may not be time for all files.
	if o.Files {
		s.lookAtFiles()
	} else if err := s.dropUnreachable(); err != nil {
		return nil, fmt.Errorf("look for protected names: %w", err)
	}
	slices.SortFunc(s.out.Protected, func(a, b Found) int { return comparePaths(a.Path, b.Path) })
	s.out.Protected = slices.CompactFunc(s.out.Protected, func(a, b Found) bool { return a.Path == b.Path })
	// What lies in a directory that is protected as a whole is protected.
	whole := ""
	s.out.Protected = slices.DeleteFunc(s.out.Protected, func(f Found) bool {
		if whole != "" && below(f.Path, whole) {
			return true
		}
		whole = f.Path
		return false
	})
	slices.Sort(s.out.Sockets)
	slices.Sort(s.out.FIFOs)
	return s.out, nil
}

// enough reports whether there is more than a box can protect, at its start.
func (s *scan) enough() bool {
	return !s.out.options.Files && len(s.out.Protected) > maxProtected
}

func (s *scan) list(t todo) error {
	left := ScanEntries - s.entries
	entries, err := s.h.ReadDir(t.dir, left+1)
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist) && t.depth > 0:
		return nil // gone since its parent was listed
	default:
		return s.failed(t.dir, err)
	}
	more := len(entries) > left
	if more {
		entries = entries[:left]
	}
	s.entries += len(entries)
	if len(entries) > s.out.most {
		s.out.Fullest, s.out.most = t.dir, len(entries)
	}
	if !slices.Contains(t.active, s.pat.gitDir) && (isGitDir(entries) || more && isGitDirByName(s.h, t.dir)) {
		// A bare repository. Whoever made the directory chose its names, so it
		// is searched like any other as well.
		t.active = append(t.active[:len(t.active):len(t.active)], s.pat.gitDir)
	}
	for _, e := range entries {
		if err := s.entry(t, e); err != nil {
			return err
		}
	}
	if !more {
		return nil
	}
	s.miss(t)
	return s.byName(t, entries)
}

func (s *scan) entry(t todo, e Entry) error {
	p := strings.TrimSuffix(t.dir, "/") + "/" + e.Name
	switch e.Type {
	case Socket:
		s.out.Sockets = append(s.out.Sockets, p)
	case FIFO:
		s.out.FIFOs = append(s.out.FIFOs, p)
	case Symlink:
		s.out.Links = append(s.out.Links, Found{p, e.Type, e.Ino})
	case Regular:
		if s.out.options.Files {
			s.files = append(s.files, p)
		}
	}
	name := fold(e.Name)
	var deeper []*pattern
	protected, git := false, false
	for _, a := range t.active {
		m := a.match(name)
		if m == nil {
			if a.again != nil && !gitData(name) && t.depth < gitDepth {
				deeper = append(deeper, a.again)
			} else if a.again != nil && !gitData(name) && e.Type == Directory {
				protected = true // as a whole, since it is not searched
			}
			git = git || a.git && gitData(name)
			continue
		}
		// A link on the way to a protected name could be exchanged for a
		// directory, and so is protected itself.
		if m.leaf || e.Type == Symlink || m.file && e.Type != Directory {
			protected = true
		} else {
			deeper = append(deeper, m)
			git = git || m.git
		}
	}
	if protected {
		s.out.Protected = append(s.out.Protected, Found{p, e.Type, e.Ino})
		if e.Type == Regular && (name == ".git" || name == "git~1") {
			s.gitFile(p)
		}
		return nil
	}
	if e.Type != Directory || s.skip[p] {
		return nil
	}
	if !git && !s.skip[e.Name] && slices.Contains(t.active, s.pat.any) && t.depth < ScanDepth {
		deeper = append(deeper, s.pat.any)
	}
	if len(deeper) > 0 {
		s.queue = append(s.queue, todo{p, t.depth + 1, deeper})
	}
	return nil
}
