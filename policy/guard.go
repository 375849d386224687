package policy

import (
	"errors"
	"fmt"
	"path"
	"slices"
)

// access is what a path is declared for.
type access uint8

const (
	read access = iota
	write
)

func (a access) String() string {
	if a == write {
		return "write"
	}
	return "read"
}

// relation says how a declared path lies to a guarded one.
type relation uint8

const (
	same   relation = 1 << iota // the guarded path itself
	inside                      // below it
	above                       // a directory that holds it
)

// guarded is a path that policies cannot open, and in which relations.
type guarded struct {
	path        string
	what        string // completes "… is "
	read, write relation
	except      string // a directory inside that may be declared nevertheless
}

// guards lists what no policy can open.
//
// Inside covers directories whose content is dangerous, above covers those
// that would expose the guarded path, and same alone those that are merely too
// wide.
func guards(p *Policy, h Host) []guarded {
	f := h.Facts()
	const all = same | inside | above
	list := []guarded{
		{path: "/", what: "the whole file system", read: same, write: same},
		{path: "/proc", what: "the kernel's view of the host's processes", read: same | inside, write: same | inside},
		{path: "/sys", what: "the kernel's view of the host's devices", read: same | inside, write: same | inside},
		{path: "/dev", what: "the host's devices", read: same | inside, write: same | inside},
		{path: "/run", what: "the sockets and run-time state of the host", read: same | inside, write: same | inside, except: "/run/media"},
		{path: "/tmp", what: "shared by all programs of the host; the box has a /tmp of its own", read: same, write: same},
		{path: "/var/tmp", what: "shared by all programs of the host; the box has a /var/tmp of its own", read: same, write: same},
		{path: f.Home, what: "the whole home directory", read: same | above, write: same | above},
		{path: f.State, what: "mcpbox's own state", read: all, write: all},
		{path: f.Runtime, what: "mcpbox's own run-time state", read: all, write: all},
		{path: f.Config, what: "where mcpbox keeps its policies", read: all, write: all},
		{path: f.Cache, what: "mcpbox's package store", write: all},
		{path: f.Binary, what: "mcpbox itself", write: same | above},
	}
	for _, dir := range []string{"/usr", "/var", "/opt", "/srv", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix", "/gnu"} {
		list = append(list, guarded{path: dir, what: "part of the operating system", write: same})
	}
	for _, dir := range []string{"/etc", "/boot"} {
		list = append(list, guarded{path: dir, what: "the configuration of the operating system", write: same | inside})
	}
	for _, file := range p.Sources {
		if path.IsAbs(file) {
			list = append(list, guarded{path: file, what: "a policy of this run", write: same | above})
		}
	}
	for _, file := range clientConfigs(h) {
		list = append(list, guarded{path: file, what: "the configuration of an MCP client", write: same | above})
	}
	return list
}

// guard refuses paths. A path is compared in two ways, neither of which a
// symbolic link or a second mount of the same directory gets around: by device
// and inode number along its parents, and by its place on its file system, which
// also tells what is mounted below it.
type guard struct {
	h      Host
	list   []guarded
	found  []spot // for each of list
	mounts mountTable
}

// spot is where a guarded path, or the closest parent that exists, is.
type spot struct {
	there bool
	chain []ident // itself and its parents
	on    fsPath
}

func newGuard(p *Policy, h Host) (*guard, error) {
	list, err := h.Mounts()
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	g := &guard{h: h, mounts: list}
	for _, it := range guards(p, h) {
		if it.path == "" {
			continue
		}
		at, there, err := nearest(h, it.path)
		if err != nil {
			return nil, fmt.Errorf("guard %s: %w", it.path, err)
		}
		chain, err := parents(h, at)
		if err != nil {
			return nil, fmt.Errorf("guard %s: %w", it.path, err)
		}
		g.list = append(g.list, it)
		g.found = append(g.found, spot{there, chain, g.mounts.place(at)})
	}
	return g, nil
}

// check refuses a place for an access, with the reason.
func (g *guard) check(pl place, a access) error {
	chain, err := parents(g.h, pl.path)
	if err != nil {
		return err
	}
	if how := g.refuses(pl.path, a, func(s spot) relation { return chainRelation(chain, s) }); how != "" {
		return errors.New(how)
	}
	here := g.mounts.place(pl.path)
	if how := g.refuses(pl.path, a, func(s spot) relation { return here.relation(s) }); how != "" {
		return errors.New(how)
	}
	// A declared directory comes with what is mounted below it.
	for _, m := range g.mounts {
		if !below(m.Point, pl.path) {
			continue
		}
		if slices.Contains(kernelTypes, m.Type) {
			return fmt.Errorf("holds %s, where the kernel's %s is mounted; declare what is beside it", m.Point, m.Type)
		}
		there := fsPath{m.Dev, m.Root}
		if how := g.refuses(m.Point, a, func(s spot) relation { return there.relation(s) }); how != "" {
			return fmt.Errorf("has something mounted at %s that %s", m.Point, how)
		}
	}
	return nil
}

// refuses returns why a path cannot be declared, or "".
func (g *guard) refuses(p string, a access, rel func(spot) relation) string {
	for i, it := range g.list {
		mind := it.read
		if a == write {
			mind = it.write
		}
		if it.except != "" && below(p, it.except) {
			continue
		}
		switch rel(g.found[i]) & mind {
		case same:
			return "is " + it.what
		case inside:
			return fmt.Sprintf("lies in %s, which is %s", it.path, it.what)
		case above:
			return fmt.Sprintf("holds %s, which is %s", it.path, it.what)
		}
	}
	return ""
}

// own reports whether a place lies in a directory of mcpbox's own that no
// policy can open.
func (g *guard) own(pl place) (bool, error) {
	chain, err := parents(g.h, pl.path)
	if err != nil {
		return false, err
	}
	f := g.h.Facts()
	for i, it := range g.list {
		if slices.Contains([]string{f.State, f.Runtime, f.Config}, it.path) && chainRelation(chain, g.found[i])&(same|inside) != 0 {
			return true, nil
		}
	}
	return false, nil
}
