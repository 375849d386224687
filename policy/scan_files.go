package policy

import (
	"errors"
	"path"
	"slices"
	"strings"
)

// gitFile reads a file named .git, which says where the git directory of a
// worktree or submodule is, and searches that if it lies below the same root.
// Those inside another .git are found from there. A file that cannot be read as
// such, or is larger than git reads, leads git nowhere either.
func (s *scan) gitFile(p string) {
	if s.enough() || s.ctx.Err() != nil {
		return
	}
	data, err := s.h.ReadFile(p)
	if err != nil {
		return
	}
	// git takes line ends of either kind off, and has strings that end at a
	// zero byte; see read_gitfile_gently in its setup.c.
	text, ok := strings.CutPrefix(strings.TrimRight(string(data), "\r\n"), "gitdir: ")
	if !ok {
		return
	}
	text, _, _ = strings.Cut(text, "\x00")
	if !path.IsAbs(text) {
		text = path.Dir(p) + "/" + text
	}
	pl, err := locate(s.h, text)
	if err != nil || pl.info.Type != Directory || !below(pl.path, s.out.Root) {
		return
	}
	if strings.Contains(fold(pl.path)+"/", "/.git/") || slices.Contains(s.out.gitDirs, pl.path) {
		return
	}
	s.out.gitDirs = append(s.out.gitDirs, pl.path)
	depth := strings.Count(pl.path, "/") - strings.Count(s.out.Root, "/")
	s.queue = append(s.queue, todo{pl.path, depth, []*pattern{s.pat.gitDir}})
}

// lookAtFiles finds what the tree shares with the rest of the host. Links come
// first: they are fewer, and worse.
func (s *scan) lookAtFiles() {
	for _, l := range s.out.Links {
		if s.ctx.Err() != nil {
			s.out.Truncated = true
			return
		}
		s.lookAtLink(l.Path)
	}
	for _, p := range s.files {
		if s.ctx.Err() != nil {
			s.out.Truncated = true
			return
		}
		info, err := s.h.Lstat(p)
		if err != nil && !absent(err) {
			s.block(path.Dir(p), err)
		}
		if err == nil && info.Type == Regular && info.Nlink > 1 {
			s.out.Exposed = append(s.out.Exposed, p)
		}
	}
}

func (s *scan) lookAtLink(p string) {
	text, err := s.h.Readlink(p)
	if err != nil {
		return // gone, or no longer a link
	}
	to := text
	if !path.IsAbs(to) {
		to = path.Dir(p) + "/" + to
	}
	// The text alone may stay inside and still lead out through another
	// link; where it leads nowhere yet, the text is all there is.
	pl, err := locate(s.h, to)
	if errors.Is(err, errTooLong) {
		s.out.Leaving[p] = errTooLong.Error()
		return
	}
	if err == nil {
		to = pl.path
	}
	if !within(path.Clean(to), s.out.Root) {
		s.out.Leaving[p] = text
	}
}

// GitMarks are the names by which git knows a repository.
var GitMarks = [...]string{"HEAD", "commondir", "objects", "refs"}

// IsGitDir reports whether git may take a directory for a repository; has says of
// each of GitMarks whether it is there. Git looks for objects and refs in the
// directory that commondir names, if there is one, and takes configuration from
// there as well: see is_git_directory in its setup.c.
func IsGitDir(has func(mark string) bool) bool {
	return has("HEAD") && (has("commondir") || has("objects") && has("refs"))
}

// isGitDir is IsGitDir for a directory with these entries.
func isGitDir(entries []Entry) bool {
	return IsGitDir(func(mark string) bool {
		mark = fold(mark)
		return slices.ContainsFunc(entries, func(e Entry) bool { return fold(e.Name) == mark })
	})
}

// gitData reports whether a directory of a git directory holds data only.
func gitData(name string) bool {
	switch name {
	case "objects", "refs", "logs", "lfs", "rebase-merge", "rebase-apply", "rr-cache":
		return true
	}
	return false
}
