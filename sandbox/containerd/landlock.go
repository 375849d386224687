package containerd

import (
	"slices"
	"strings"

	"github.com/mcpbox/mcpbox/sandbox/containerd/internal/pid1"
	"github.com/mcpbox/mcpbox/sandbox/internal/landlock"
)

// landlockRules says by path what the mounts allow already, and that in what belongs to
// the host neither sockets nor FIFOs are made. The image may be read as a whole.
func (l *lowered) landlockRules(unixSockets string, socket func(string) bool) landlock.Policy {
	p := landlock.Policy{UnixSockets: unixSockets == "private" || unixSockets == "host"}
	p.Rules = append(p.Rules, landlock.Rule{Path: "/", Access: "read"},
		// By way of /dev/stdout and /dev/stderr.
		landlock.Rule{Path: pid1.Path(pid1.Stdout), Access: "stream"}, landlock.Rule{Path: pid1.Path(pid1.Stderr), Access: "stream"})
	for _, m := range l.spec.Mounts {
		access := "write"
		readOnly := slices.Contains(m.Options, "ro") || slices.Contains(m.Options, "rro")
		switch {
		case m.Type == "proc", m.Type == "bind" && m.Source == "/dev/null" && m.Destination != "/dev/null":
			continue // what is masked needs no access
		case m.Type == "bind" && strings.HasPrefix(m.Source, "/dev/"):
			access = "device"
		case m.Type == "bind" && socket != nil && socket(m.Source):
			access = "socket"
		case readOnly:
			continue
		case m.Type == "tmpfs" && !l.holdsHost(m.Destination):
			access = "private"
		}
		p.Rules = append(p.Rules, landlock.Rule{Path: m.Destination, Access: access})
	}
	return p
}

// holdsHost reports whether something of the host is mounted below path: rights reach
// across mount points.
func (l *lowered) holdsHost(path string) bool {
	return slices.ContainsFunc(l.plan.Checks, func(c pid1.Check) bool { return strings.HasPrefix(c.Path, path+"/") })
}
