package policy

import (
	"errors"
	"io/fs"
	"path"
	"slices"
)

// kernelTypes are file systems through which the kernel shows and changes
// itself. They have no business in a box wherever they are mounted: in a
// directory that is prepared for chroot, for one.
var kernelTypes = []string{
	"bpf", "binfmt_misc", "cgroup", "cgroup2", "configfs", "debugfs", "devpts", "devtmpfs", "efivarfs", "fusectl",
	"proc", "pstore", "securityfs", "selinuxfs", "sysfs", "tracefs",
}

// ident names a file whatever path leads to it.
type ident struct{ dev, ino uint64 }

// parents returns the identities of the canonical path p and its parents, up
// to the root.
func parents(h Host, p string) ([]ident, error) {
	var chain []ident
	for ; ; p = path.Dir(p) {
		info, err := h.Lstat(p)
		if err != nil {
			return nil, err
		}
		chain = append(chain, ident{info.Dev, info.Ino})
		if p == "/" {
			return chain, nil
		}
	}
}

// nearest returns the canonical path of p, or of its closest parent there is.
func nearest(h Host, p string) (at string, there bool, err error) {
	for there = true; ; there = false {
		pl, err := locate(h, p)
		if err == nil {
			return pl.path, there, nil
		}
		if p == "/" || !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errNotDir) {
			return "", false, err
		}
		p = path.Dir(path.Clean(p))
	}
}

// chainRelation says how a path with these parents lies to a guarded one.
func chainRelation(chain []ident, s spot) relation {
	switch {
	case chain[0] == s.chain[0] && s.there:
		return same
	case slices.Contains(s.chain, chain[0]):
		return above // also of what is not there yet
	case s.there && slices.Contains(chain, s.chain[0]):
		return inside
	}
	return 0
}

// fsPath is a place on a file system, whatever of it is mounted where.
type fsPath struct{ dev, path string }

// relation says how a lies to a guarded path.
func (a fsPath) relation(s spot) relation {
	switch {
	case a.dev != s.on.dev:
		return 0
	case a.path == s.on.path && s.there:
		return same
	case within(s.on.path, a.path):
		return above
	case s.there && below(a.path, s.on.path):
		return inside
	}
	return 0
}

// mountTable is the host's mounts.
type mountTable []Mount

// place finds where on its file system the canonical path p is.
func (t mountTable) place(p string) fsPath {
	var best *Mount
	for i := range t {
		if within(p, t[i].Point) && (best == nil || len(t[i].Point) >= len(best.Point)) {
			best = &t[i]
		}
	}
	if best == nil {
		return fsPath{path: p}
	}
	return fsPath{best.Dev, path.Join(best.Root, p[len(best.Point):])}
}
