package changes

import (
	"errors"
	"fmt"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// inspect looks at every chosen change before any is made, and takes out those
// that cannot be.
func (a *applier) inspect() ([]Refusal, error) {
	var refused []Refusal
	reasons := map[key]string{}
	for _, c := range a.chosen {
		reason, err := a.look(c)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.set.At(c), err)
		}
		if reason != "" {
			reasons[keyOf(c)] = reason
		}
	}
	// What has to be there for another to be made, or to be gone.
	for again := true; again; {
		again = false
		for _, c := range a.chosen {
			if reasons[keyOf(c)] == "" {
				if reason, err := a.dependsOn(c, reasons); err != nil {
					return nil, fmt.Errorf("%s: %w", a.set.At(c), err)
				} else if reason != "" {
					reasons[keyOf(c)], again = reason, true
				}
			}
		}
	}
	a.chosen = slices.DeleteFunc(a.chosen, func(c *Change) bool {
		reason := reasons[keyOf(c)]
		if reason != "" {
			refused = append(refused, Refusal{a.set.At(c), reason})
			delete(a.by, keyOf(c))
		}
		return reason != ""
	})
	return refused, nil
}

// parent opens the directory that a change is in, on the host, and returns the
// name in it.
func (a *applier) parent(c *Change) (dir int, name string, err error) {
	d, name := path.Split(string(c.Path))
	dir, err = openBeneath(a.dirs[c.Root], path.Clean(d), openDir)
	return dir, name, err
}

// look says why a change cannot be made, by its rules and by what is there.
func (a *applier) look(c *Change) (string, error) {
	if a.from == pending {
		for _, reason := range []string{c.Refused, rulesOf(c)} {
			if reason != "" {
				return reason, nil
			}
		}
	}
	if reason := a.judges.judge(c, a.from); reason != "" {
		return reason, nil
	}
	dir, name, err := a.parent(c)
	switch {
	case err == nil:
		defer unix.Close(dir)
	case errors.Is(err, unix.ENOENT), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP) && a.remade(c):
		if c.Before == nil || c.After == nil {
			return "", nil // its directory is gone, or will be made: see dependsOn
		}
		return reasonHostChanged, nil
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.EXDEV):
		return "there is a link or a mount on the way to it now", nil
	default:
		return "", err
	}
	if c.After != nil && c.After.Type == Link && a.from == pending {
		// Through links that the host has.
		at := path.Dir(string(c.Path)) + "/" + string(c.After.Target)
		fd, err := unix.Openat2(a.dirs[c.Root], at, &unix.OpenHow{
			Flags: unix.O_PATH | unix.O_CLOEXEC, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_MAGICLINKS,
		})
		if err == unix.EXDEV {
			return "it is a link that leads out of the directory", nil
		}
		if err == nil {
			unix.Close(fd)
		}
	}
	same, err := c.Before.same(dir, name)
	if err != nil || same {
		return "", err
	}
	if done, err := c.After.done(dir, name); err != nil || done {
		return "", err
	}
	if now, err := nodeAt(dir, name); err == nil && now != nil && now.Type == Dir && a.begun[keyOf(c)] {
		return "", nil // made, and not yet filled
	}
	return reasonHostChanged, nil
}

// remade reports whether a directory on the way to c is to stand where something
// else does now.
func (a *applier) remade(c *Change) bool {
	for up := path.Dir(string(c.Path)); up != "."; up = path.Dir(up) {
		if p := a.by[key{c.Root, up}]; p != nil && p.removes() && p.After != nil && p.After.Type == Dir {
			return true
		}
	}
	return false
}

const reasonHostChanged = "it has changed on the host since"

// done reports whether what is at a name is n already, permissions included.
func (n *Node) done(dir int, name string) (bool, error) {
	if n == nil || n.Type == Link {
		return n.same(dir, name)
	}
	now, err := nodeAt(dir, name)
	if err != nil || now == nil || now.Type != n.Type || now.Mode&0o777 != n.Mode&0o777 {
		return false, err
	}
	if n.Type == Dir {
		return true, nil
	}
	now.hashed(dir, name, n.Size)
	return n.Type == File && n.Hash != nil && slices.Equal(n.Hash, now.Hash), nil
}

// noDirectory reports whether a path led through something that is no directory,
// or is not there.
func noDirectory(err error) bool {
	return errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP)
}

// isDone reports whether a change is made.
func (a *applier) isDone(c *Change) (bool, error) {
	dir, name, err := a.parent(c)
	if noDirectory(err) {
		return c.After == nil, nil
	}
	if err != nil {
		return false, err
	}
	defer unix.Close(dir)
	return c.After.done(dir, name)
}

// dependsOn says why a change cannot be made for what it needs: the directory
// that it is to be in, and of a directory that goes, that all in it does.
func (a *applier) dependsOn(c *Change, refused map[key]string) (string, error) {
	if up := path.Dir(string(c.Path)); c.After != nil && up != "." {
		k := key{c.Root, up}
		if p := a.by[k]; p != nil && p.After != nil && p.After.Type == Dir {
			if refused[k] != "" {
				return "the directory that it is in is refused", nil
			}
		} else if fd, err := openBeneath(a.dirs[c.Root], up, unix.O_PATH|unix.O_DIRECTORY); err != nil {
			return "the directory that it is in is not there", nil
		} else {
			unix.Close(fd)
		}
	}
	if !c.removes() || c.Before.Type != Dir {
		return "", nil
	}
	fd, err := openBeneath(a.dirs[c.Root], string(c.Path), openDir)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return "", nil // gone already
	}
	if err != nil {
		return "", err
	}
	defer unix.Close(fd)
	list, err := names(fd, maxChanges)
	if err != nil {
		return "", err
	}
	for _, name := range list {
		k := key{c.Root, path.Join(string(c.Path), name)}
		if child := a.by[k]; child == nil || !child.removes() || refused[k] != "" {
			return "the host has " + name + " in it, which stays", nil
		}
	}
	return "", nil
}
