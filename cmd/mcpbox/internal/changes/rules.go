package changes

import (
	"strings"

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
