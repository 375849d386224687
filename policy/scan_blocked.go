package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// failed decides about a directory that could not be looked into. One of
// somebody else's is as closed to the box. One of the user's own is not: the
// box could open it.
func (s *scan) failed(dir string, err error) error {
	if errors.Is(err, fs.ErrPermission) {
		at, mine := s.closed(dir)
		if mine {
			s.block(at, err)
		} else if !s.blocked[at] {
			s.blocked[at] = true
			s.out.Unread = append(s.out.Unread, at)
		}
		return nil
	}
	if errors.Is(err, errPathLength) {
		s.block(path.Dir(dir), errPathLength)
		return nil
	}
	if s.out.options.Files {
		s.block(dir, err)
		return nil
	}
	return err
}

func (s *scan) block(dir string, err error) {
	if !s.blocked[dir] {
		s.blocked[dir] = true
		s.out.Blocked = append(s.out.Blocked, Blocked{dir, err})
	}
}

// closed returns the directory whose mode keeps dir from being looked into, dir
// itself or one that it lies in, and whether the user could change that.
func (s *scan) closed(dir string) (at string, mine bool) {
	for at = dir; ; at = path.Dir(at) {
		info, err := s.h.Lstat(at)
		if err == nil {
			f := s.h.Facts()
			return at, int(info.UID) == f.UID || int(info.UID) == f.EUID
		}
		if at == s.out.Root || at == "/" {
			return at, true // not known to be anybody else's
		}
	}
}

// dropUnreachable takes what nobody can reach out of the lists of what to mount
// over: a directory can be readable without leading anywhere.
func (s *scan) dropUnreachable() error {
	var failure error
	unreachable := func(p string) bool {
		_, err := s.h.Lstat(p)
		if err == nil {
			return false
		}
		if !absent(err) {
			failure = errors.Join(failure, s.failed(path.Dir(p), err))
		}
		return true
	}
	s.out.Protected = slices.DeleteFunc(s.out.Protected, func(f Found) bool { return unreachable(f.Path) })
	s.out.Sockets = slices.DeleteFunc(s.out.Sockets, unreachable)
	s.out.FIFOs = slices.DeleteFunc(s.out.FIFOs, unreachable)
	return failure
}

// checkSearched refuses a writable directory in which protected names may have
// been overlooked. The error says what to do about it.
func (snap *Snapshot) checkSearched() error {
	for _, b := range snap.Blocked {
		if errors.Is(b.Err, errPathLength) {
			return fmt.Errorf("%s holds paths that are too long to look at, so what is there could not be protected; type: rm -r %s", b.Path, shellWord(b.Path))
		}
	}
	switch {
	case len(snap.Blocked) == 1:
		dir := shellWord(snap.Blocked[0].Path)
		return fmt.Errorf("%s cannot be read, so what is in it could not be protected; type: chmod u+rx %s (or, if you do not need it: rm -r %s)", snap.Blocked[0].Path, dir, dir)
	case len(snap.Blocked) > 1:
		return fmt.Errorf("%s and %d more directories cannot be read, so what is in them could not be protected; type: find %s -type d ! -perm -500 -exec chmod u+rx {} ';'",
			snap.Blocked[0].Path, len(snap.Blocked)-1, shellWord(snap.Root))
	case snap.Truncated && snap.missedDepth <= shallowDepth:
		return fmt.Errorf("there are more than %d files and directories inside, %d or more of them in %s, so protected names could not be looked for in all of %s; delete what you do not need there, list it in files.hide of a policy, or declare a smaller directory",
			ScanEntries, snap.most, snap.Fullest, snap.Missed)
	}
	return nil
}

// shellWord quotes a path, which a program may have chosen, for a command line
// to type.
func shellWord(p string) string {
	plain := func(r rune) bool {
		return r < 0x80 && (r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+@%:,=", r))
	}
	if p != "" && strings.IndexFunc(p, func(r rune) bool { return !plain(r) }) < 0 {
		return p
	}
	if strings.IndexFunc(p, func(r rune) bool { return r < ' ' || r >= 0x7f }) < 0 {
		return "'" + strings.ReplaceAll(p, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for i := range len(p) {
		switch c := p[i]; {
		case c == '\'' || c == '\\':
			b.WriteByte('\\')
			b.WriteByte(c)
		case c < ' ' || c >= 0x7f:
			fmt.Fprintf(&b, `\%03o`, c)
		default:
			b.WriteByte(c)
		}
	}
	b.WriteByte('\'')
	return b.String()
}
