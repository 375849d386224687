package policy

import (
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// at returns the pattern nodes that hold in the canonical directory dir: any,
// and those that its last components lead to. A directory named .github that is
// declared itself is one in which workflows is a protected name. So is one in a bare
// repository.
func (ps patterns) at(h Host, dir string) []*pattern {
	list := []*pattern{ps.any}
	parts := strings.Split(strings.Trim(dir, "/"), "/")
	for from := range parts {
		node := ps.any.walk(parts[from:])
		if bare := "/" + path.Join(parts[:from]...); node == nil && isGitDirByName(h, bare) {
			node = ps.gitDir.walk(parts[from:])
		}
		// Inside a directory that is protected as a whole, what is declared
		// nevertheless is writable.
		if node != nil && !node.leaf && !slices.Contains(list, node) {
			list = append(list, node)
		}
	}
	return list
}

// walk returns what a path below a directory in which p holds means, or nil.
func (p *pattern) walk(parts []string) *pattern {
	for _, name := range parts {
		next := p.match(fold(name))
		if next == nil && !gitData(fold(name)) {
			next = p.again
		}
		if p = next; p == nil {
			return nil
		}
	}
	return p
}

// named looks for one of ScanOptions.Names by name, so that it is found however
// much else there is.
func (s *scan) named(name string) error {
	at := s.out.Root
	parts := strings.Split(name, "/")
	for i, part := range parts {
		at = path.Join(at, part)
		info, err := s.h.Lstat(at)
		switch {
		case absent(err):
			return nil
		case err != nil:
			return s.failed(path.Dir(at), err)
		case i == len(parts)-1 || info.Type == Symlink:
			s.out.Protected = append(s.out.Protected, Found{at, info.Type, info.Ino})
			return nil
		}
	}
	return nil
}

func absent(err error) bool { return errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotDir) }

// miss notes that a directory was not searched to the end.
func (s *scan) miss(t todo) {
	if s.out.Missed == "" || t.depth < s.out.missedDepth {
		s.out.Missed, s.out.missedDepth = t.dir, t.depth
	}
	s.out.Truncated = true
}

// unlisted ends a scan for which there was too much: what leads to a protected
// name is followed by name, so that no number of files hides it.
func (s *scan) unlisted() error {
	for i := 0; i < len(s.queue); i++ { // it may grow
		t := s.queue[i]
		s.miss(t)
		if s.ctx.Err() != nil || s.enough() {
			continue
		}
		t.active = slices.DeleteFunc(slices.Clone(t.active), func(p *pattern) bool { return p == s.pat.any })
		if err := s.byName(t, nil); err != nil {
			return err
		}
	}
	return nil
}

// byName looks for the names of a directory's patterns, other than those of the
// entries that are known already.
func (s *scan) byName(t todo, known []Entry) error {
	done := map[string]bool{}
	for _, e := range known {
		done[e.Name] = true
	}
	for _, a := range t.active {
		if a.again != nil && !s.out.options.Files {
			// Directories of any name matter here: all is protected at once.
			s.out.Protected = append(s.out.Protected, Found{Path: t.dir, Type: Directory})
			return nil
		}
		for _, child := range a.next {
			if done[child.name] {
				continue
			}
			done[child.name] = true
			info, err := s.h.Lstat(path.Join(t.dir, child.name))
			if absent(err) {
				continue
			}
			if err != nil {
				return s.failed(t.dir, err)
			}
			if err := s.entry(t, Entry{child.name, info.Type, info.Ino}); err != nil {
				return err
			}
		}
	}
	return nil
}

// isGitDirByName is isGitDir for a directory that was not read to the end.
func isGitDirByName(h Host, dir string) bool {
	return IsGitDir(func(mark string) bool {
		_, err := h.Lstat(path.Join(dir, mark))
		return err == nil
	})
}
