package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// StagedRoot is a staged directory, and what of it is not to be changed on the
// host, whatever a program has done in its view.
type StagedRoot struct {
	Path string // canonical
	// Names are the policy's own protected names, relative to Path.
	Names []string
	// Closed are paths that the program could not change: read-only, hidden or
	// masked in the box. Others are named by git's configuration and were not
	// there. All are relative to Path, each with what is below it.
	Closed []string
}

// stage is the mount of a writable directory whose changes are kept apart.
func (b *builder) stage(d declared) (specs.Mount, error) {
	if d.info.Type != Directory {
		return specs.Mount{}, &Error{d.origin, fmt.Sprintf("write %q: it is a file, and only directories can be staged; declare %s, or set staged = false", d.text, path.Dir(d.path))}
	}
	for _, m := range b.guard.mounts {
		if below(m.Point, d.path) {
			// The view is of one file system: it would show what lies under
			// the mount, and the kernel refuses that.
			return specs.Mount{}, &Error{d.origin, fmt.Sprintf("write %q: it cannot be staged with the file system that is mounted inside, at %s; declare a smaller directory, or set staged = false", d.text, m.Point)}
		}
	}
	return staged(d.path, b.limits.Staged), nil
}

// listStaged says what must not be changed in each staged directory.
func (b *builder) listStaged() error {
	for at, m := range b.tree {
		if m.Type == "staged" {
			b.report.StagedRoots = append(b.report.StagedRoots, &StagedRoot{Path: at, Names: b.names[at]})
		}
	}
	slices.SortFunc(b.report.StagedRoots, func(x, y *StagedRoot) int { return comparePaths(x.Path, y.Path) })
	for _, r := range b.report.StagedRoots {
		for at := range b.tree { // another staged directory among them
			if below(at, r.Path) {
				r.Closed = append(r.Closed, at[len(r.Path)+1:])
			}
		}
		for _, at := range b.absent {
			if below(at, r.Path) {
				r.Closed = append(r.Closed, at[len(r.Path)+1:])
			}
		}
		slices.SortFunc(r.Closed, comparePaths)
		r.Closed = slices.Compact(r.Closed)
	}
	return nil
}

// Judge returns a function that says why rel, a clean path relative to a staged
// directory, must not become a file of type t on the host, nor cease to be one:
// the protected name that it is, or lies in. "" means that it may. isGitDir says
// of a directory, relative to the root as well, whether git would take it for a
// repository.
//
// Names hold at every depth here, also inside git's own directories: what a
// person is shown one by one need not be searched for.
func (r *StagedRoot) Judge(h Host, isGitDir func(rel string) bool) func(rel string, t FileType) string {
	pat := newPatterns()
	start := pat.at(h, r.Path)
	if len(r.Names) > 0 {
		anchored := &pattern{}
		for _, name := range r.Names {
			anchored.add(name)
		}
		start = append(start, anchored)
	}
	closed := map[string]bool{}
	for _, c := range r.Closed {
		closed[fold(c)] = true
	}
	return func(rel string, t FileType) string {
		active := start
		parts := strings.Split(rel, "/")
		for i, part := range parts {
			upTo := strings.Join(parts[:i+1], "/")
			if closed[fold(upTo)] {
				return upTo
			}
			if isGitDir(strings.Join(parts[:i], "/")) {
				active = append(active[:len(active):len(active)], pat.gitDir)
			}
			next := []*pattern{pat.any}
			name := fold(part)
			for _, a := range active {
				m := a.match(name)
				switch {
				case m == nil && a.again != nil && !gitData(name):
					next = append(next, a.again)
				case m == nil:
				case m.leaf, i == len(parts)-1 && (t == Symlink || m.file && t != Directory):
					return upTo
				default:
					next = append(next, m)
				}
			}
			active = next
		}
		return ""
	}
}
