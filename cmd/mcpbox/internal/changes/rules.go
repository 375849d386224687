package changes

import (
	"path"
	"strings"

	"github.com/mcpbox/mcpbox/policy"
	"golang.org/x/sys/unix"
)

// rulesOf refuses what is never applied, by the change alone.
func rulesOf(ch *Change) string {
	for _, n := range []*Node{ch.Before, ch.After} {
		if n != nil && n.Type == Other {
			return "it is a device, a FIFO or a socket"
		}
	}
	after := ch.After
	switch {
	case after == nil:
		return ""
	case after.Mode&unix.S_ISUID != 0, after.Mode&unix.S_ISGID != 0 && after.Type != Dir:
		// A directory inherits the set-group-ID bit from the one around it.
		return "it is set-id"
	case after.Type == Link:
		return linkRule(string(ch.Path), string(after.Target))
	}
	return ""
}

// linkRule refuses a link that leads out of its root, or could once another link
// is there: after a name, ".." may lead anywhere.
func linkRule(at, target string) string {
	const leaves = "it is a link that leads out of the directory"
	if target == "" || target[0] == '/' {
		return leaves
	}
	up, down := 0, false
	for _, part := range strings.Split(target, "/") {
		switch part {
		case "", ".":
		case "..":
			if down {
				return leaves
			}
			up++
		default:
			down = true
		}
	}
	if up > strings.Count(at, "/") {
		return leaves
	}
	return ""
}

// judges are the rules of each root's names.
type judges []func(rel string, t policy.FileType) string

// newJudges prepares the rules of a set's roots; dirs are the roots on the host.
func (s *Set) newJudges(h policy.Host, dirs []int) judges {
	var list judges
	for i, r := range s.Roots {
		root := &policy.StagedRoot{Path: string(r.Path), Names: r.Names}
		for _, c := range r.Closed {
			root.Closed = append(root.Closed, string(c))
		}
		list = append(list, root.Judge(h, s.gitDirs(i, dirs[i])))
	}
	return list
}

// gitDirs reports whether git would take a directory for a repository, if what
// the set adds were there beside what the host has.
func (s *Set) gitDirs(root, dir int) func(string) bool {
	marks := []string{"HEAD", "objects", "refs"}
	adds := map[string]bool{}
	for i := range s.Changes {
		if c := &s.Changes[i]; c.Root == root && c.After != nil {
			d, name := path.Split(string(c.Path))
			for _, m := range marks {
				if strings.EqualFold(name, m) {
					adds[path.Join(d, m)] = true
				}
			}
		}
	}
	known := map[string]bool{}
	return func(rel string) bool {
		is, ok := known[rel]
		if !ok {
			is = true
			for _, m := range marks {
				at := path.Join(rel, m)
				is = is && (adds[at] || exists(dir, at))
			}
			known[rel] = is
		}
		return is
	}
}

func exists(dir int, rel string) bool {
	fd, err := openBeneath(dir, rel, unix.O_PATH|unix.O_NOFOLLOW)
	if err == nil {
		unix.Close(fd)
	}
	return err == nil
}

// judge refuses protected and closed names, whatever stood or stands there.
func (j judges) judge(c *Change) string {
	for _, n := range []*Node{c.Before, c.After} {
		if n == nil {
			continue
		}
		t := map[Type]policy.FileType{File: policy.Regular, Dir: policy.Directory, Link: policy.Symlink, Other: policy.Device}[n.Type]
		if name := j[c.Root](string(c.Path), t); name != "" {
			return name + " is not the server's to change"
		}
	}
	return ""
}
