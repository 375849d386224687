package changes

import (
	"path"
	"slices"
	"strings"

	"github.com/mcpbox/mcpbox/policy"
	"golang.org/x/sys/unix"
)

// judges are the rules of each root's names.
type judges []judgeOf

type judgeOf struct {
	name func(rel string, t policy.FileType) string // see policy.StagedRoot.Judge
	git  *gitDirs
}

// newJudges prepares the rules of a set's roots; dirs are the roots on the host.
func (s *Set) newJudges(h policy.Host, dirs []int) judges {
	var list judges
	for i, r := range s.Roots {
		root := &policy.StagedRoot{Path: string(r.Path), Names: r.Names}
		for _, c := range r.Closed {
			root.Closed = append(root.Closed, string(c))
		}
		git := s.gitDirs(i, dirs[i])
		list = append(list, judgeOf{root.Judge(h, git.is), git})
	}
	return list
}

// judge refuses protected and closed names, whatever stood or stands there, and
// what would make a repository of a directory that has such names already.
//
// Of what takes a change back only that is judged which comes again. It was there
// before, but what lies around it may have been applied since: a file that meant
// nothing can be the configuration of a repository now, or the last that a repository
// lacks.
func (j judges) judge(c *Change, from part) string {
	rules := j[c.Root]
	stands := []*Node{c.Before, c.After}
	if from == undo {
		stands = stands[1:]
	}
	for _, n := range stands {
		if n == nil {
			continue
		}
		t := map[Type]policy.FileType{File: policy.Regular, Dir: policy.Directory, Link: policy.Symlink, Other: policy.Device}[n.Type]
		if name := rules.name(string(c.Path), t); name != "" {
			return name + " is not the server's to change"
		}
	}
	if c.After != nil {
		return rules.git.completes(string(c.Path))
	}
	return ""
}

// gitDirs tells which directories git takes for repositories, if what a set adds
// is there beside what the host has.
type gitDirs struct {
	dir   int             // the root on the host
	adds  map[string]bool // marks
	known map[string]bool
}

func (s *Set) gitDirs(root, dir int) *gitDirs {
	g := &gitDirs{dir, map[string]bool{}, map[string]bool{}}
	for i := range s.Changes {
		if c := &s.Changes[i]; c.Root == root && c.After != nil {
			d, name := path.Split(string(c.Path))
			if m := mark(name); m != "" {
				g.adds[path.Join(d, m)] = true
			}
		}
	}
	return g
}

// mark is the one of policy.GitMarks that a name is, or "".
func mark(name string) string {
	i := slices.IndexFunc(policy.GitMarks[:], func(m string) bool { return strings.EqualFold(m, name) })
	if i < 0 {
		return ""
	}
	return policy.GitMarks[i]
}

func (g *gitDirs) is(rel string) bool {
	is, ok := g.known[rel]
	if !ok {
		is = policy.IsGitDir(func(m string) bool {
			at := path.Join(rel, m)
			return g.adds[at] || exists(g.dir, at)
		})
		g.known[rel] = is
	}
	return is
}

// completes says why rel must not be added: with it, git would obey what lies in
// its directory already, and could be put there as long as git did not.
func (g *gitDirs) completes(rel string) string {
	d, name := path.Split(rel)
	if mark(name) == "" || !g.is(path.Clean("/" + d)[1:]) {
		return ""
	}
	if policy.IsGitDir(func(m string) bool { return exists(g.dir, path.Join(d, m)) }) {
		return "" // it is one
	}
	for _, n := range policy.GitNames() {
		if exists(g.dir, path.Join(d, n)) {
			return "it would make a git repository of its directory, where " + n + " is already"
		}
	}
	return ""
}

func exists(dir int, rel string) bool {
	fd, err := openBeneath(dir, rel, unix.O_PATH|unix.O_NOFOLLOW)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}
