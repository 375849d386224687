package policy

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// declared is a path that the policy shows to the program.
type declared struct {
	place
	access access
	origin Origin
	text   string
}

// collect finds the declared paths, and refuses those that no policy can have.
// Where one path is declared for reading and writing it is writable; a deeper
// path holds against the one around it; what is hidden is hidden in any case.
func (b *builder) collect() error {
	for _, p := range b.p.Files.Hide {
		pl, err := locatePath(b.h, p)
		if err != nil {
			return err
		}
		b.hidden = append(b.hidden, pl)
		// Where the path is a link, its name goes as well as what it leads to.
		for _, l := range pl.links {
			if l.last {
				b.hidden = append(b.hidden, place{path: l.at, info: Info{Type: Symlink}})
			}
		}
		b.noteLink(p, pl)
	}
	for _, list := range []struct {
		paths  []Path
		access access
	}{{b.p.Files.Write, write}, {b.p.Files.Read, read}} {
		for _, p := range list.paths {
			if err := b.declare(p, list.access); err != nil {
				return err
			}
		}
	}
	slices.SortStableFunc(b.declared, func(x, y declared) int { return comparePaths(x.path, y.path) })
	return nil
}

func (b *builder) declare(p Path, a access) error {
	pl, err := locatePath(b.h, p)
	if err != nil {
		return err
	}
	if err := b.guard.check(pl, a); err != nil {
		return &Error{p.Origin, fmt.Sprintf("%s %q: %s %v", a, p.Text, leads(p, pl, b.facts), err)}
	}
	switch pl.info.Type {
	case Regular, Directory:
	case Socket:
		return &Error{p.Origin, fmt.Sprintf("%s %q: it is a unix socket; set unix_sockets = \"host\" and list it in files.sockets", a, p.Text)}
	default:
		return &Error{p.Origin, fmt.Sprintf("%s %q: it is a %s, which no policy can open", a, p.Text, pl.info.Type)}
	}
	if a == write {
		if name := b.protectedName(pl); name != "" {
			return &Error{p.Origin, fmt.Sprintf("write %q: %s is a protected name, which is never writable; declare it for reading", p.Text, name)}
		}
	}
	b.noteLink(p, pl)
	b.noteGroupOwner(pl)
	b.links = append(b.links, pl.links...)
	for _, hidden := range b.hidden {
		if within(pl.path, hidden.path) {
			b.note(Information, "hidden", pl.path, "hidden, although declared: hide beats read and write")
			return nil
		}
	}
	for i := range b.declared {
		if b.declared[i].path == pl.path { // write was first
			return nil
		}
	}
	b.declared = append(b.declared, declared{pl, a, p.Origin, p.Text})
	return nil
}

// leads says where a path of the policy leads, if not where it says.
func leads(p Path, pl place, f Facts) string {
	if abs, err := expand(p, f); err == nil && path.Clean(abs) != pl.path {
		return "it leads to " + pl.path + ", which"
	}
	return "it"
}

// protectedName returns the protected name that the place is, or that it lies
// in if that is one of a home directory's. Other protected directories can hold
// work of their own: .claude/worktrees, for one.
func (b *builder) protectedName(pl place) string {
	rest := pl.path
	for rest != "" {
		rest = strings.TrimPrefix(rest, "/")
		if b.pat.protects(rest, pl.info.Type) {
			return rest
		}
		_, rest, _ = strings.Cut(rest, "/")
	}
	parts := strings.Split(pl.path[1:], "/")
	for from := range parts {
		if bare := "/" + path.Join(parts[:from]...); isGitDirByName(b.h, bare) {
			if node := b.pat.gitDir.walk(parts[from:]); node != nil && node.leaf {
				return path.Join(parts[from:]...)
			}
		}
	}
	for up := pl.path; below(up, b.home); up = path.Dir(up) {
		if rel := up[len(b.home)+1:]; slices.Contains(homeKeys, fold(rel)) {
			return rel
		}
	}
	return ""
}

// homeKeys are the protected directories of a home in which nothing at all can
// be declared writable.
var homeKeys = []string{
	".ssh", ".gnupg", ".local/bin", ".local/share/applications",
	".config/autostart", ".config/systemd", ".config/fish", ".config/git",
}

// mountPrograms shows the program and what it needs to start, unless it lies in
// what is shown anyway.
func (b *builder) mountPrograms() error {
	var through []place // by way of links
	for _, p := range append(slices.Clone(b.prog.Prefixes), b.prog.Files...) {
		pl, err := locate(b.h, p)
		if err != nil {
			return fmt.Errorf("show the program's files: %w", err)
		}
		if err := b.guard.check(pl, read); err != nil {
			return fmt.Errorf("show the program's files: %s %w; install the program elsewhere", p, err)
		}
		if pl.info.Type != Directory && pl.info.Type != Regular {
			return fmt.Errorf("show the program's files: %s is a %s", p, pl.info.Type)
		}
		if len(pl.links) > 0 {
			through = append(through, pl)
			continue
		}
		if b.inDeclared(pl.path) || b.tree.shows(pl.path) {
			continue
		}
		b.tree.put(rankProgram, readOnly(pl.path, pl.info.Type))
		b.report.Programs = append(b.report.Programs, pl.path)
	}
	// A link only leads to what is shown for itself. One that leads elsewhere
	// has been put there since the program was found.
	for _, pl := range through {
		if !b.inDeclared(pl.path) && !b.tree.shows(pl.path) {
			return fmt.Errorf("show the program's files: %s has changed while they were looked at, and leads to %s now; start it again", pl.links[0].at, pl.path)
		}
		b.links = append(b.links, pl.links...)
	}
	slices.SortFunc(b.report.Programs, comparePaths)
	return nil
}

func (b *builder) inDeclared(p string) bool {
	return slices.ContainsFunc(b.declared, func(d declared) bool { return within(p, d.path) })
}

// mountDeclared shows the declared paths. One that the mount around it shows in
// the same way needs none of its own.
func (b *builder) mountDeclared() error {
	for _, d := range b.declared {
		m := readOnly(d.path, d.info.Type)
		if d.access == write {
			m = readWrite(d.path, d.info.Type)
			if b.staged {
				var err error
				if m, err = b.stage(d); err != nil {
					return err
				}
			}
			b.report.Write = append(b.report.Write, d.path)
		} else {
			b.report.Read = append(b.report.Read, d.path)
		}
		if around, ok := b.tree.covering(d.path); ok && around.ofHost() && around.Destination == around.Source &&
			slices.Contains(around.Options, "rro") == (d.access == read) && !b.inProtected(around.Destination, d.path) {
			continue
		}
		// What the host has there replaces what the box would get by default.
		for at, m := range b.tree {
			if m.rank == rankSystem && below(at, d.path) {
				delete(b.tree, at)
			}
		}
		b.tree.put(rankDeclared, m)
		// A read-only island in a writable directory could be moved away with
		// a directory around it, and another put in its place.
		if root, ok := b.writeRoot(path.Dir(d.path)); ok && d.access == read {
			b.pin(root, d.path)
		}
	}
	return nil
}

// inProtected reports whether p lies in a directory below root that has a
// protected name. Such a path needs a mount of its own to be writable.
func (b *builder) inProtected(root, p string) bool {
	for up := p; below(up, root); up = path.Dir(up) {
		for from := path.Dir(up); within(from, root); from = path.Dir(from) {
			if b.pat.protects(strings.TrimPrefix(up[len(from):], "/"), Directory) {
				return true
			}
			if from == "/" {
				break
			}
		}
	}
	return false
}

// writeRoot returns the writable declared directory that p lies in, unless a
// read-only one lies between.
func (b *builder) writeRoot(p string) (string, bool) {
	for ; p != "/"; p = path.Dir(p) {
		if m, ok := b.tree[p]; ok && m.rank != rankPin {
			return p, m.rank == rankDeclared && slices.Contains(m.Options, "rw")
		}
	}
	return "", false
}

// pin keeps the directories between a writable root and p from being renamed,
// which would let another p be made: a mount point cannot be.
func (b *builder) pin(root, p string) {
	if b.tree[root].Type == "staged" {
		// There a directory of the host cannot be renamed at all (EXDEV, in
		// overlayfs.rst of the kernel), nor removed while a mount is in it.
		return
	}
	for up := path.Dir(p); below(up, root); up = path.Dir(up) {
		b.tree.put(rankPin, readWrite(up, Directory))
	}
}
