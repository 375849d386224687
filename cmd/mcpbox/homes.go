package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// homeDir is where the home of a server is kept whose policy wants it to last.
func homeDir(own dirs.Dirs, server string) string {
	return filepath.Join(own.State, "homes", server)
}

// makeHome makes the directory.
func makeHome(own dirs.Dirs, server string) error {
	for _, path := range []string{own.State, filepath.Join(own.State, "homes"), homeDir(own, server)} {
		if err := dirs.Private(path); err != nil {
			return err
		}
	}
	return nil
}

// furnishHome makes the places in a server's home at which something of the host
// is shown, since a box makes none on the host's file systems, and the links that
// lead there. Links are then taken out of the specification. What lies in the
// home was put there by a server: no link in it is followed.
func furnishHome(spec *specs.Spec, home, dir string) error {
	top, err := unix.Open(dir, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("open the server's home %s: %w", dir, err)
	}
	defer unix.Close(top)
	var kept []specs.Mount
	for _, m := range spec.Mounts {
		below, inside := strings.CutPrefix(m.Destination, home+"/")
		if !inside || shownBetween(kept, home, m.Destination) {
			kept = append(kept, m)
			continue
		}
		if err := furnish(top, below, m); err != nil {
			return fmt.Errorf("the server's home has something else where %s is to be: %w; move it away: %s", m.Destination, err, filepath.Join(dir, below))
		}
		if m.Type == "bind" {
			m.Options = append(slices.Clone(m.Options), "dest-elsewhere")
		}
		if m.Type != "symlink" {
			kept = append(kept, m)
		}
	}
	spec.Mounts = kept
	return nil
}

// shownBetween reports whether path lies in a mount below home that comes before.
func shownBetween(mounts []specs.Mount, home, path string) bool {
	return slices.ContainsFunc(mounts, func(m specs.Mount) bool {
		return strings.HasPrefix(m.Destination, home+"/") && strings.HasPrefix(path, m.Destination+"/")
	})
}

// furnish makes one place, and the directories above it.
func furnish(top int, path string, m specs.Mount) error {
	at, err := unix.Dup(top)
	if err != nil {
		return err
	}
	defer func() { unix.Close(at) }()
	names := strings.Split(path, "/")
	last := names[len(names)-1]
	for _, name := range names[:len(names)-1] {
		next, err := directory(at, name)
		if err != nil {
			return err
		}
		unix.Close(at)
		at = next
	}
	switch {
	case m.Type == "symlink":
		err := unix.Symlinkat(m.Source, at, last)
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
		buf := make([]byte, unix.PathMax)
		if n, err := unix.Readlinkat(at, last, buf); err != nil || string(buf[:n]) != m.Source {
			return unix.EEXIST
		}
		return nil
	case slices.Contains(m.Options, "bind"): // of a single file
		fd, err := unix.Openat(at, last, unix.O_CREAT|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0o600)
		if err != nil {
			return err
		}
		return unix.Close(fd)
	}
	fd, err := directory(at, last)
	if err != nil {
		return err
	}
	return unix.Close(fd)
}

// directory opens a directory, which it makes if there is none.
func directory(at int, name string) (int, error) {
	if err := unix.Mkdirat(at, name, 0o700); err != nil && !errors.Is(err, unix.EEXIST) {
		return -1, err
	}
	return unix.Openat(at, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}
