package native

import (
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/internal/boxspec"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// newPlan translates spec into what the stages do, and refuses whatever it
// cannot translate exactly. The filters are not in it yet.
func newPlan(spec *specs.Spec) (*wire.Plan, error) {
	if err := boxspec.Check(spec); err != nil {
		return nil, err
	}
	p := spec.Process
	plan := &wire.Plan{
		Hostname: spec.Hostname,
		Masked:   spec.Linux.MaskedPaths,
		ReadOnly: spec.Linux.ReadonlyPaths,
		UID:      int(p.User.UID),
		GID:      int(p.User.GID),
		Args:     p.Args,
		Env:      p.Env,
		Cwd:      p.Cwd,
		Umask:    0o022,
	}
	if p.User.Umask != nil {
		plan.Umask = int(*p.User.Umask)
	}
	if p.OOMScoreAdj != nil {
		plan.OOMScore = *p.OOMScoreAdj
	}
	for i, m := range spec.Mounts {
		wm, err := planMount(m)
		if err != nil {
			return nil, fmt.Errorf("mounts[%d] %s: %w", i, m.Destination, err)
		}
		plan.Mounts = append(plan.Mounts, wm)
	}
	var err error
	if plan.Rlimits, err = planRlimits(spec); err != nil {
		return nil, err
	}
	if plan.Sysctls, err = planSysctls(spec.Linux.Sysctl); err != nil {
		return nil, err
	}
	plan.Landlock = landlockRules(plan.Mounts, spec.Annotations[sandbox.AnnotationUnixSockets])
	return plan, nil
}

// resolveUnixABI is the Landlock ABI from which on the kernel can tell the box's
// own sockets from the host's (LANDLOCK_ACCESS_FS_RESOLVE_UNIX).
const resolveUnixABI = 9

// checkSockets refuses private sockets where they would not be private: where a
// directory of the host is in the box, in which a host program may listen.
func checkSockets(annotations map[string]string, abi int) error {
	if annotations[sandbox.AnnotationUnixSockets] != "private" || annotations[sandbox.AnnotationHostDirectories] != "true" || abi >= resolveUnixABI {
		return nil
	}
	return &sandbox.UnsupportedError{
		Feature: `unix_sockets = "private"`,
		Reason: fmt.Sprintf("directories of the host are declared, and without Landlock ABI %d (this kernel has %d) "+
			"sockets that the host makes there later would be in reach", resolveUnixABI, abi),
		Fix: `declare no directories, or set unix_sockets = "none" if the server can do without, or "host" to accept it`,
	}
}

// planMount translates one mount. The identity of a source is filled in later,
// by openSources.
func planMount(m specs.Mount) (wire.Mount, error) {
	w := wire.Mount{Kind: m.Type, Target: m.Destination, Source: m.Source}
	if !path.IsAbs(w.Target) || path.Clean(w.Target) != w.Target || w.Target == "/" {
		return w, fmt.Errorf("destination is not a clean absolute path below /")
	}
	if len(m.UIDMappings)+len(m.GIDMappings) > 0 {
		return w, &sandbox.UnsupportedError{Feature: "mount id mappings", Reason: "chosen by the native backend itself"}
	}
	switch m.Type {
	case "symlink", "file":
		if len(m.Options) > 0 {
			return w, fmt.Errorf("a %s takes no options", m.Type)
		}
		return w, nil
	case "bind", "tmpfs", "proc":
	case "staged":
		w.Recursive = true
	default:
		return w, &sandbox.UnsupportedError{Feature: "mount type " + m.Type, Reason: "not known to the native backend"}
	}
	readOnly, recursiveRO := false, false
	for _, o := range m.Options {
		key, _, valued := strings.Cut(o, "=")
		switch {
		case o == "bind" && m.Type == "bind":
		case o == "rbind" && m.Type == "bind":
			w.Recursive = true
		case o == "dest-nofollow" && m.Type == "bind":
			w.NoFollow = true
		case o == "dest-elsewhere" && m.Type == "bind":
			w.Elsewhere = true
		case o == "rw":
		case o == "ro":
			readOnly = true
		case o == "rro":
			readOnly, recursiveRO = true, true
		case o == "nosuid":
			w.Attr |= unix.MOUNT_ATTR_NOSUID
		case o == "nodev":
			w.Attr |= unix.MOUNT_ATTR_NODEV
		case o == "noexec":
			w.Attr |= unix.MOUNT_ATTR_NOEXEC
		case valued && (m.Type == "tmpfs" || m.Type == "staged" && key != "mode") && slices.Contains([]string{"size", "nr_inodes", "mode"}, key):
			w.Options = append(w.Options, o)
		default:
			return w, &sandbox.UnsupportedError{Feature: "mount option " + o, Reason: "not known to the native backend"}
		}
	}
	if readOnly {
		w.Attr |= unix.MOUNT_ATTR_RDONLY
	}
	switch {
	case w.Attr&unix.MOUNT_ATTR_NOSUID == 0:
		return w, fmt.Errorf("option nosuid is missing")
	case w.Recursive && readOnly && !recursiveRO:
		// rbind,ro leaves submounts writable under runc; mean one thing.
		return w, fmt.Errorf("rbind,ro is ambiguous: say rro")
	case (m.Type == "tmpfs" || m.Type == "staged") && !hasOption(w.Options, "size"):
		return w, fmt.Errorf("a %s needs a size", m.Type)
	case m.Type == "staged" && readOnly:
		return w, fmt.Errorf("a staged mount cannot be read-only")
	}
	return w, nil
}

func hasOption(options []string, key string) bool {
	return slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(o, key+"=") })
}

// landlockRules says by path what the mounts allow already.
func landlockRules(mounts []wire.Mount, unixSockets string) wire.Landlock {
	l := wire.Landlock{UnixSockets: unixSockets == "private" || unixSockets == "host"}
	l.Rules = append(l.Rules, wire.PathRule{Path: "/", Access: "list"})
	for _, m := range mounts {
		access := ""
		readOnly := m.Attr&unix.MOUNT_ATTR_RDONLY != 0
		switch {
		case m.Kind == "proc":
			access = "proc"
		case m.Kind == "file", m.Kind == "tmpfs" && readOnly:
			access = "read"
		case m.Kind == "tmpfs" && !holdsBind(mounts, m.Target):
			access = "private"
		case m.Kind == "tmpfs":
			access = "write"
		case m.Kind == "symlink", m.Source == "/dev/null" && m.Target != "/dev/null":
			continue // a link has no content; what is masked needs no access
		case m.Type == unix.S_IFCHR:
			access = "device"
		case m.Type == unix.S_IFSOCK:
			access = "socket"
		case readOnly:
			access = "read"
		default:
			access = "write"
		}
		l.Rules = append(l.Rules, wire.PathRule{Path: m.Target, Access: access})
	}
	return l
}

// holdsBind reports whether something of the host is mounted below path.
func holdsBind(mounts []wire.Mount, path string) bool {
	return slices.ContainsFunc(mounts, func(m wire.Mount) bool {
		return m.FromHost() && strings.HasPrefix(m.Target, path+"/")
	})
}
