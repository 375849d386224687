package containerd

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/containerd/internal/pid1"
	"github.com/mcpbox/mcpbox/sandbox/internal/boxspec"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// target is what a specification is lowered for.
type target struct {
	dir              string // of the run, on the host
	cgroup           string // the name of the box's
	rootUID, rootGID uint32 // of the host, for root inside
	// owner says whom a source belongs to, for a box that is not the user's; nil
	// is that they are the same.
	owner func(source string) (owner, error)
	runsc bool
	// socket reports whether a file of the host is a socket. gVisor cannot cover one,
	// and lets nobody connect to one (host-uds).
	socket func(path string) bool
	// rootless is where ids of the host are others; nil if they are not.
	rootless *rootless
}

// lowered is a specification in words of an OCI runtime, and what has to be made
// for it on the host.
type lowered struct {
	dir  string // of the run
	spec *specs.Spec
	plan pid1.Plan
	// skeleton is the uppermost layer of the root file system: what the image may
	// not have, or has differently.
	skeleton []node
	files    []node // in the run's directory
	sources  []int  // by index in spec.Mounts: the bind mounts of what has to be as the policy saw it
	// everywhere is that file systems of the box's own need places in the skeleton,
	// too.
	everywhere bool
	network    map[string]string
	owners     map[string]owner // of mapped mounts, by destination
}

// node is a directory, a file or a symbolic link.
type node struct {
	path string // absolute in the skeleton, a name in the run's directory
	kind nodeKind
	text string // content, or where the link leads
}

type nodeKind uint8

const (
	directory nodeKind = iota
	regular
	symlink
)

// Directories and files of a run.
const (
	skeletonName = "skeleton"
	filesName    = "files"
	sourcesName  = "sources"
)

// ownThreads is how many threads PID 1 has, at most.
const ownThreads = 16

// lower translates spec, and refuses what it cannot translate exactly. It changes
// neither spec nor the host.
func lower(spec *specs.Spec, t target) (*lowered, error) {
	if err := boxspec.Check(spec); err != nil {
		return nil, err
	}
	mode := spec.Annotations[sandbox.AnnotationUnixSockets]
	if mode == "private" && spec.Annotations[sandbox.AnnotationHostDirectories] == "true" {
		return nil, &sandbox.UnsupportedError{
			Feature: `unix_sockets = "private"`,
			Reason:  "directories of the host are declared, and in a container sockets that the host makes there later would be in reach",
			Fix:     `declare no directories, or set unix_sockets = "none" if the server can do without, or "host" to accept it`,
		}
	}
	p := spec.Process
	l := &lowered{dir: t.dir, plan: pid1.Plan{
		UID: int(p.User.UID), GID: int(p.User.GID), Args: p.Args, Env: p.Env, Cwd: p.Cwd, Kernel: !t.runsc,
	}}
	l.everywhere = t.runsc
	out := *spec
	l.spec = &out
	process := *p
	// What the program gets is told to PID 1 alone.
	process.Args, process.Env, process.Cwd = []string{pid1.Init}, []string{}, "/"
	process.Rlimits = slices.Clone(p.Rlimits)
	for i := range process.Rlimits {
		if r := &process.Rlimits[i]; r.Type == "RLIMIT_NPROC" {
			r.Soft, r.Hard = r.Soft+ownThreads, r.Hard+ownThreads
		}
	}
	if n := boxPids(spec); t.rootless != nil && n > 0 {
		limit := uint64(n) + ownThreads
		i := slices.IndexFunc(process.Rlimits, func(r specs.POSIXRlimit) bool { return r.Type == "RLIMIT_NPROC" })
		if i < 0 { // a runtime may refuse two of a kind
			i = len(process.Rlimits)
			process.Rlimits = append(process.Rlimits, specs.POSIXRlimit{Type: "RLIMIT_NPROC", Soft: limit, Hard: limit})
		}
		r := &process.Rlimits[i]
		r.Soft, r.Hard = min(r.Soft, limit), min(r.Hard, limit)
	}
	out.Process = &process
	// The snapshot, mounted by containerd in its directory of the container.
	out.Root = &specs.Root{Path: "rootfs", Readonly: true}
	out.Mounts = nil
	out.Annotations = nil // of ours; those of a runtime would be its orders
	out.Linux = l.lowerLinux(spec.Linux, t)
	if t.runsc {
		forRunsc(out.Linux)
		asRoot(&process)
	}
	if err := l.lowerMounts(spec.Mounts, t); err != nil {
		return nil, err
	}
	if !t.runsc { // gVisor has none of these
		l.plan.Landlock = l.landlockRules(mode, t.socket)
		out.Hooks = &specs.Hooks{CreateContainer: []specs.Hook{{Path: pid1.Hook, Args: []string{pid1.Hook, pid1.LimitArg}}}}
	}
	return l, nil
}

// boxPids is the limit on processes, 0 if there is none.
func boxPids(spec *specs.Spec) int64 {
	if r := spec.Linux.Resources; r != nil && r.Pids != nil && r.Pids.Limit != nil {
		return *r.Pids.Limit
	}
	return 0
}

// enter names the network namespace of the box.
func (l *lowered) enter(network string) {
	for i := range l.spec.Linux.Namespaces {
		if ns := &l.spec.Linux.Namespaces[i]; ns.Type == specs.NetworkNamespace {
			ns.Path = network
		}
	}
}

func (l *lowered) lowerLinux(in *specs.Linux, t target) *specs.Linux {
	linux := *in
	linux.CgroupsPath = "/" + t.cgroup
	// PID 1 installs the filter, which has been compiled once and not, as a runtime
	// does it, for every start.
	if !t.runsc {
		linux.Seccomp = nil
	}
	linux.Namespaces = slices.Clone(in.Namespaces)
	// A runtime wants to be root inside for as long as it builds the box. That is
	// nobody on the host, too.
	linux.UIDMappings, linux.GIDMappings = slices.Clone(in.UIDMappings), slices.Clone(in.GIDMappings)
	if r := t.rootless; r != nil {
		// There is one, of the user (boxspec.Check).
		linux.UIDMappings[0].HostID, linux.GIDMappings[0].HostID = r.uid, r.gid
	}
	linux.UIDMappings = append(linux.UIDMappings, specs.LinuxIDMapping{ContainerID: 0, HostID: t.rootUID, Size: 1})
	linux.GIDMappings = append(linux.GIDMappings, specs.LinuxIDMapping{ContainerID: 0, HostID: t.rootGID, Size: 1})
	// Those of the network belong to the namespace, which is made elsewhere.
	linux.Sysctl, l.network = maps.Clone(in.Sysctl), map[string]string{}
	for key, value := range linux.Sysctl {
		if strings.HasPrefix(key, "net.") {
			l.network[key] = value
			delete(linux.Sysctl, key)
		}
	}
	resources := specs.LinuxResources{}
	if in.Resources != nil {
		resources = *in.Resources
	}
	if r := resources.Pids; r != nil && r.Limit != nil && *r.Limit > 0 {
		n := *r.Limit + ownThreads
		if t.runsc {
			n += runscThreads
		}
		resources.Pids = &specs.LinuxPids{Limit: &n}
	}
	if t.rootless != nil {
		// See rootless.go.
		linux.CgroupsPath, resources = "", specs.LinuxResources{}
	}
	resources.Devices = []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}
	linux.Resources = &resources
	return &linux
}

// lowerMounts translates mounts, which come with parents before children.
func (l *lowered) lowerMounts(mounts []specs.Mount, t target) error {
	for i, m := range mounts {
		if err := l.lowerMount(m, t); err != nil {
			return fmt.Errorf("mounts[%d] %s: %w", i, m.Destination, err)
		}
	}
	l.skeleton = append(l.skeleton, node{path: path.Dir(pid1.Init), kind: directory})
	for _, at := range []string{pid1.In, pid1.Out} {
		access := "ro"
		if t.runsc && at == pid1.Out {
			access = "rw" // gVisor writes to no FIFO otherwise. The directory is gone when the program runs.
		}
		l.skeleton = append(l.skeleton, node{path: at, kind: directory})
		l.spec.Mounts = append(l.spec.Mounts, specs.Mount{
			Destination: at, Type: "bind", Source: path.Join(t.dir, path.Base(at)), Options: []string{"bind", access, "nosuid", "nodev", "noexec", "private"},
		})
	}
	return nil
}

// under is the mount that at lies in, of those that are lowered; nil is the root.
func (l *lowered) under(at string) *specs.Mount {
	var found *specs.Mount
	for i := range l.spec.Mounts {
		if m := &l.spec.Mounts[i]; strings.HasPrefix(at, m.Destination+"/") && (found == nil || len(found.Destination) < len(m.Destination)) {
			found = m
		}
	}
	return found
}

func (l *lowered) lowerMount(m specs.Mount, t target) error {
	at := m.Destination
	if !path.IsAbs(at) || path.Clean(at) != at || at == "/" {
		return fmt.Errorf("destination is not a clean absolute path below /")
	}
	if at == "/run" || at == path.Dir(pid1.Init) || strings.HasPrefix(at, path.Dir(pid1.Init)+"/") {
		return &sandbox.UnsupportedError{Feature: "a mount on " + at, Reason: "mcpbox's own is there in a container"}
	}
	if len(m.UIDMappings)+len(m.GIDMappings) > 0 {
		return &sandbox.UnsupportedError{Feature: "mount id mappings", Reason: "chosen by the backend itself"}
	}
	if (m.Type == "symlink" || m.Type == "file") && len(m.Options) > 0 {
		return fmt.Errorf("a %s takes no options", m.Type)
	}
	if t.runsc && (ofRunsc(m) || m.Source == "/dev/null" && t.socket != nil && t.socket(at)) {
		return nil
	}
	parent := l.under(at)
	switch m.Type {
	case "symlink":
		return l.lowerLink(at, m.Source, parent)
	case "file":
		if parent == nil {
			l.skeleton = append(l.skeleton, node{at, regular, m.Source})
			return nil
		}
		name := path.Join(filesName, fmt.Sprint(len(l.files)))
		l.files = append(l.files, node{name, regular, m.Source})
		l.add(specs.Mount{Destination: at, Type: "bind", Source: path.Join(t.dir, name), Options: []string{"bind", "ro", "nosuid", "nodev", "private"}}, parent, regular)
		return nil
	case "proc":
		l.add(m, parent, directory)
		return nil
	case "tmpfs":
		if !hasOption(m.Options, "size") {
			return fmt.Errorf("a tmpfs needs a size")
		}
		m.Options = append(slices.Clone(m.Options), fmt.Sprintf("uid=%d", l.plan.UID), fmt.Sprintf("gid=%d", l.plan.GID))
		l.add(m, parent, directory)
		return nil
	case "bind":
		return l.lowerBind(m, t, parent)
	case "staged":
		return &sandbox.UnsupportedError{Feature: "staged directories", Reason: "not done by the containerd backend",
			Fix: `set staged = false to let the server write to your directories themselves, or backend = "native"`}
	}
	return &sandbox.UnsupportedError{Feature: "mount type " + m.Type, Reason: "not known to the containerd backend"}
}

// lowerLink puts a symbolic link where it can be made: into the skeleton, or by
// PID 1 into a file system of the box's own. Runtimes make those of /dev themselves.
func (l *lowered) lowerLink(at, text string, parent *specs.Mount) error {
	standard := map[string]string{"/dev/fd": "/proc/self/fd", "/dev/stdin": "/proc/self/fd/0", "/dev/stdout": "/proc/self/fd/1", "/dev/stderr": "/proc/self/fd/2"}
	switch {
	case standard[at] == text:
	case parent == nil:
		l.skeleton = append(l.skeleton, node{at, symlink, text})
	case parent.Type == "tmpfs" && !slices.Contains(parent.Options, "ro"):
		l.plan.Links = append(l.plan.Links, pid1.Link{Path: at, Text: text})
	default:
		return &sandbox.UnsupportedError{Feature: "symbolic link " + at, Reason: "it lies in what is not the box's own"}
	}
	return nil
}

func (l *lowered) lowerBind(m specs.Mount, t target, parent *specs.Mount) error {
	if !path.IsAbs(m.Source) || path.Clean(m.Source) != m.Source {
		return fmt.Errorf("source is not a clean absolute path")
	}
	readOnly := false
	var options []string
	for _, o := range m.Options {
		switch o {
		case "bind", "rbind", "nosuid", "nodev", "noexec", "rw":
			options = append(options, o)
		case "ro", "rro":
			readOnly = true
			options = append(options, o)
		case "dest-elsewhere":
		case "dest-nofollow":
			return &sandbox.UnsupportedError{Feature: "hiding the symbolic link " + m.Destination, Reason: "container runtimes follow links",
				Fix: `remove the link, declare a directory without it, or set backend = "native"`}
		default:
			return &sandbox.UnsupportedError{Feature: "mount option " + o, Reason: "not known to the containerd backend"}
		}
	}
	switch {
	case !slices.Contains(options, "nosuid"):
		return fmt.Errorf("option nosuid is missing")
	case slices.Contains(options, "rbind") && readOnly && !slices.Contains(options, "rro"):
		return fmt.Errorf("rbind,ro is ambiguous: say rro")
	}
	if t.runsc {
		options = forGofer(options)
	}
	m.Options = append(options, "private")
	kind := regular
	if slices.Contains(options, "rbind") {
		m.Options[len(m.Options)-1] = "rprivate"
		kind = directory
	}
	device := strings.HasPrefix(m.Source, "/dev/")
	if t.owner != nil && !device {
		if err := l.mapOwner(&m, readOnly, t.owner); err != nil {
			return err
		}
	}
	l.sources = append(l.sources, len(l.spec.Mounts))
	l.plan.Checks = append(l.plan.Checks, pid1.Check{Path: m.Destination, ReadOnly: readOnly, Mapped: !readOnly && len(m.UIDMappings) > 0})
	l.add(m, parent, kind)
	return nil
}

// owner is a user and a group of the host.
type owner struct{ uid, gid uint32 }

// mapOwner has what the box may write to, and what lies in it, belong to the box's
// user inside, and to its owner outside. What it may only read, it reads as any user
// of the machine would.
func (l *lowered) mapOwner(m *specs.Mount, readOnly bool, of func(string) (owner, error)) error {
	var o owner
	inside := false
	for at, other := range l.owners {
		if inside = strings.HasPrefix(m.Destination, at+"/"); inside {
			o = other
			break
		}
	}
	if !inside {
		if readOnly {
			return nil
		}
		var err error
		if o, err = of(m.Source); err != nil {
			return err
		}
		if l.owners == nil {
			l.owners = map[string]owner{}
		}
		l.owners[m.Destination] = o
	}
	m.UIDMappings = []specs.LinuxIDMapping{{ContainerID: o.uid, HostID: uint32(l.plan.UID), Size: 1}}
	m.GIDMappings = []specs.LinuxIDMapping{{ContainerID: o.gid, HostID: uint32(l.plan.GID), Size: 1}}
	return nil
}

// add takes a mount over, with a place for it where the image may have none. In
// file systems of the box's own the runtime makes the place; on the host there is
// one.
func (l *lowered) add(m specs.Mount, parent *specs.Mount, kind nodeKind) {
	if parent == nil || l.everywhere && parent.Type != "bind" {
		l.skeleton = append(l.skeleton, node{path: m.Destination, kind: kind})
	}
	l.spec.Mounts = append(l.spec.Mounts, m)
}

func hasOption(options []string, key string) bool {
	return slices.ContainsFunc(options, func(o string) bool { return strings.HasPrefix(o, key+"=") })
}
