package policy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// maxProtected bounds the mounts that the content of declared directories can
// cause.
const maxProtected = 2000

// scanDeclared looks through the declared directories, makes what has a
// protected name read-only in those that are writable, and masks the sockets in
// all.
func (b *builder) scanDeclared() error {
	names, err := b.protectNames()
	if err != nil {
		return err
	}
	b.names = names
	count := 0
	var links []rooted
	for _, d := range b.declared {
		m, ok := b.tree[d.path]
		if !ok || m.rank != rankDeclared || d.info.Type != Directory {
			continue // another mount shows it and was or will be scanned
		}
		o := ScanOptions{Skip: b.otherRoots(d.path)}
		if d.access == write {
			o.Names = names[d.path]
		}
		snap, err := ScanRoot(context.Background(), b.h, d.path, o)
		if err == nil && d.access == write {
			if err := snap.checkSearched(); err != nil {
				return &Error{d.origin, fmt.Sprintf("write %q: %v", d.text, err)}
			}
		}
		if err != nil {
			return &Error{d.origin, fmt.Sprintf("%s %q: %v; declare a smaller directory, or hide that one", d.access, d.text, err)}
		}
		if d.access == write {
			count += len(snap.Protected)
		}
		if count += len(snap.Sockets); count > maxProtected {
			return &Error{d.origin, fmt.Sprintf("%s %q: there are more than %d protected names and sockets inside; declare a smaller directory", d.access, d.text, maxProtected)}
		}
		if d.access == write {
			if !b.staged { // what is new at the end would be the host's own
				b.report.Roots = append(b.report.Roots, snap)
			}
			var configs []string
			for _, f := range snap.Protected {
				if f.Type == Symlink {
					links = append(links, rooted{d.path, f})
				} else {
					b.protect(d.path, f)
				}
				if name := fold(path.Base(f.Path)); f.Type == Regular && (name == "config" || name == "config.worktree") {
					configs = append(configs, f.Path)
				}
			}
			if err := b.protectGitPaths(d.path, configs); err != nil {
				return err
			}
		}
		b.maskSockets(snap)
		b.noteScan(snap, d.access)
	}
	// Where a link leads can lie in what is protected as a whole, which must be
	// known by then.
	for _, l := range links {
		if err := b.protectLink(l.root, l.Found); err != nil {
			return err
		}
	}
	slices.SortFunc(b.report.Protected, comparePaths)
	if len(b.declared) > 0 && b.p.Mode() != SocketsNone {
		b.note(Information, "late_sockets", "", "a unix socket that a program of the host makes in a declared directory later is not masked; from Landlock ABI 9 the kernel refuses it")
	}
	return nil
}

// otherRoots lists the mounts strictly inside root that a scan of root does not
// enter, and what is hidden there.
func (b *builder) otherRoots(root string) []string {
	var list []string
	for at, m := range b.tree {
		if m.rank == rankDeclared && below(at, root) {
			list = append(list, at)
		}
	}
	for _, pl := range b.hidden {
		if below(pl.path, root) {
			list = append(list, pl.path)
		}
	}
	slices.Sort(list)
	return list
}

// protectNames sorts the policy's own protected names by the writable root that
// they belong to, relative to it.
func (b *builder) protectNames() (map[string][]string, error) {
	names := map[string][]string{}
	for _, p := range b.p.Files.Protect {
		if !path.IsAbs(p.Text) && !strings.HasPrefix(p.Text, "~") {
			if _, err := expand(Path{Text: "/" + p.Text, Origin: p.Origin}, b.facts); err != nil {
				return nil, err
			}
			rel := path.Clean(p.Text)
			if p.Text == "" || rel == "." || rel == ".." || strings.HasPrefix(rel, "../") || strings.ContainsAny(rel, "*?[") {
				return nil, &Error{p.Origin, fmt.Sprintf("protect %q: not the name of a file inside a writable directory", p.Text)}
			}
			for _, d := range b.declared {
				// A directory inside another is searched with that one.
				if root, ok := b.writeRoot(d.path); ok && d.access == write {
					at := path.Join(d.path, rel)
					names[root] = append(names[root], at[len(root)+1:])
				}
			}
			continue
		}
		abs, err := expand(p, b.facts)
		if err != nil {
			return nil, err
		}
		// What is to be protected need not exist, but its directory has to.
		dir, err := locate(b.h, path.Dir(path.Clean(abs)))
		if err != nil {
			return nil, &Error{p.Origin, fmt.Sprintf("protect %q: %v", p.Text, err)}
		}
		at := path.Join(dir.path, path.Base(path.Clean(abs)))
		root, ok := b.writeRoot(path.Dir(at))
		if !ok {
			return nil, &Error{p.Origin, fmt.Sprintf("protect %q: it is not inside a writable directory; take the line out", p.Text)}
		}
		names[root] = append(names[root], at[len(root)+1:])
	}
	return names, nil
}

// rooted is a name with a writable root that it lies in.
type rooted struct {
	root string
	Found
}

// protect makes one name below a writable root read-only and keeps it in its
// place.
func (b *builder) protect(root string, f Found) {
	b.report.Protected = append(b.report.Protected, f.Path)
	b.pin(root, f.Path)
	b.tree.put(rankProtect, readOnly(f.Path, f.Type))
}

// protectLink masks a link with a protected name, and protects what it leads to.
func (b *builder) protectLink(root string, f Found) error {
	b.report.Protected = append(b.report.Protected, f.Path)
	b.pin(root, f.Path)
	// The link itself could be exchanged for a file: it is masked. So programs
	// cannot follow it, but neither can they write through it.
	b.tree.put(rankMask, mask(f.Path, Symlink))
	b.note(Information, "masked_link", f.Path, "is a link with a protected name; it is masked in the box")
	pl, err := locate(b.h, f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, errLoop), errors.Is(err, errNotDir), errors.Is(err, fs.ErrPermission):
		return nil
	case errors.Is(err, errTooLong):
		return fmt.Errorf("protect %s: it is a link with a protected name, and the way that it leads is too long to follow; type: rm %s", f.Path, shellWord(f.Path))
	case err != nil:
		return fmt.Errorf("follow %s: %w", f.Path, err)
	}
	if target, ok := b.writeRoot(pl.path); ok && pl.path != target && (pl.info.Type == Regular || pl.info.Type == Directory) {
		b.protect(target, Found{Path: pl.path, Type: pl.info.Type})
	} else if ok && pl.path == target {
		b.note(Warning, "masked_link", f.Path, "leads to a whole writable directory, which stays writable")
	}
	return nil
}

func (b *builder) maskSockets(snap *Snapshot) {
	for _, p := range snap.Sockets {
		b.tree.put(rankMask, mask(p, Socket))
		b.report.MaskedSockets = append(b.report.MaskedSockets, p)
	}
	for _, p := range snap.FIFOs {
		if root, ok := b.writeRoot(p); ok && b.tree[root].Type == "staged" {
			continue // overlayfs makes it one of the box's own
		} else if ok {
			b.note(Information, "fifo", p, "is a FIFO: the program can talk to what opens it on the host")
			continue
		}
		// A read-only mount does not keep a program from writing to one.
		b.tree.put(rankMask, mask(p, FIFO))
		b.note(Information, "masked_fifo", p, "is a FIFO in a read-only directory; it is masked in the box")
	}
}

// maskHidden covers what the policy hides, where it would show.
func (b *builder) maskHidden() error {
	for _, pl := range b.hidden {
		shown := b.tree.shows(pl.path)
		if !shown {
			if m, ok := b.tree[pl.path]; pl.info.Type != Symlink && (!ok || m.rank != rankMask) {
				b.note(Information, "hidden", pl.path, "would not be there anyway")
			}
			continue
		}
		if root, ok := b.writeRoot(path.Dir(pl.path)); ok {
			b.pin(root, pl.path)
		}
		for at := range b.tree {
			if below(at, pl.path) {
				delete(b.tree, at)
			}
		}
		b.tree.put(rankMask, mask(pl.path, pl.info.Type))
		b.report.Hidden = append(b.report.Hidden, pl.path)
	}
	return nil
}

// mountSockets shows the host's sockets that the policy lists.
func (b *builder) mountSockets() error {
	for _, p := range b.p.Files.Sockets {
		pl, err := locatePath(b.h, p)
		if err != nil {
			return err
		}
		if pl.info.Type != Socket {
			return &Error{p.Origin, fmt.Sprintf("socket %q: it is a %s, not a unix socket", p.Text, pl.info.Type)}
		}
		if own, err := b.guard.own(pl); err != nil || own {
			return &Error{p.Origin, fmt.Sprintf("socket %q: it is mcpbox's own, which no policy can open", p.Text)}
		}
		for _, hidden := range b.hidden {
			if within(pl.path, hidden.path) {
				return &Error{p.Origin, fmt.Sprintf("socket %q: it is hidden by the same policy", p.Text)}
			}
		}
		b.noteLink(p, pl)
		b.noteSocket(pl)
		b.links = append(b.links, pl.links...)
		m := bind(pl.path, Socket, "rro", "nosuid", "nodev", "noexec")
		// A socket inside a declared directory was masked; it is declared.
		b.tree[pl.path] = mounted{m, rankDeclared}
		b.report.Sockets = append(b.report.Sockets, pl.path)
	}
	return nil
}

// connect makes the symbolic links by which the user and the program name what
// is shown, and checks that the program can be found at all.
func (b *builder) connect() error {
	links := b.links
	if b.prog.Image == nil {
		pl, err := locate(b.h, b.prog.Exec)
		if err != nil {
			return fmt.Errorf("run %s: %w", b.prog.Exec, err)
		}
		if !b.tree.shows(pl.path) {
			return fmt.Errorf("run %s: the box does not show %s; add --ro %s", b.prog.Exec, pl.path, path.Dir(pl.path))
		}
		links = append(links, pl.links...)
		links = append(links, b.programLinks()...)
	}
	for _, l := range links {
		on, ok := b.tree.covering(l.at)
		if ok && (on.rank != rankHome && (on.Type != "tmpfs" || on.rank != rankSystem) || on.Destination == l.at) {
			continue // there already, or hidden
		}
		b.tree.put(rankSystem, symlink(l.at, l.text))
	}
	return nil
}

// programLinks are those on the way to the program as it was named, and to the
// directories of its PATH.
func (b *builder) programLinks() (links []link) {
	for _, dir := range append(slices.Clone(b.prog.PathDirs), b.prog.Argv[:min(1, len(b.prog.Argv))]...) {
		if pl, err := locate(b.h, dir); err == nil && path.IsAbs(dir) {
			links = append(links, pl.links...)
		}
	}
	return links
}
