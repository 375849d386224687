package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// HomeMode says what becomes of what a program writes into its home directory.
type HomeMode string

const (
	// HomeTemporary: an empty home, in memory, that goes with the box.
	HomeTemporary HomeMode = "temporary"
	// HomePersistent: a home of the server's own, on disk, which is there the next
	// time. It is at the path of the user's, and nothing of the user's is in it.
	HomePersistent HomeMode = "persistent"
)

// HomeMode returns the mode, with the default for a policy that names none.
func (p *Policy) HomeMode() HomeMode {
	if p.Home == "" {
		return HomeTemporary
	}
	return p.Home
}

func (d *decoder) home(v value) {
	const want = `"temporary" or "persistent"`
	var s string
	if !d.read(v, &s, want) {
		return
	}
	switch m := HomeMode(s); m {
	case HomeTemporary, HomePersistent:
		d.p.Home = m
	default:
		d.fail(d.line(v.prim), "home cannot be %q; it has to be %s", s, want)
	}
}

// mountHome shows a home directory: an empty one, or that of Policy.HomeDir, which
// nobody but boxes writes to. Programs of the host do not look there, so that no
// name in it is protected.
func (b *builder) mountHome(tmpfsHome specs.Mount, exec []string) error {
	switch b.p.HomeMode() {
	case HomeTemporary:
		b.tree.put(rankSystem, tmpfsHome)
		return nil
	case HomePersistent:
	default:
		return fmt.Errorf("home cannot be %q; it has to be temporary or persistent", b.p.Home)
	}
	dir := b.p.HomeDir
	if dir == "" {
		// To explain or to check, before there is one.
		b.tree.put(rankSystem, tmpfsHome)
		return nil
	}
	pl, err := locate(b.h, dir)
	if errors.Is(err, fs.ErrNotExist) {
		b.tree.put(rankSystem, tmpfsHome)
		b.report.HomeDir = dir
		return nil
	}
	if err == nil && (pl.info.Type != Directory || len(pl.links) > 0 && pl.links[len(pl.links)-1].last) {
		err = errors.New("it is not a directory")
	}
	if err != nil {
		return fmt.Errorf("show the server's home %s: %w", dir, err)
	}
	m := bind(pl.path, Directory, slices.Concat([]string{"rw", "nosuid", "nodev"}, exec)...)
	m.Destination = b.home
	b.tree.put(rankHome, m)
	b.report.HomeDir = pl.path
	return nil
}
