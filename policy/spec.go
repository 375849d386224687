package policy

import (
	"fmt"
	"path"
	"runtime"
	"slices"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Program is what to run, as found on the host.
type Program struct {
	// Exec is the file that the kernel executes, absolute.
	Exec string
	// Argv is what the program gets as its arguments, its own name first. A
	// name that is not absolute is replaced by Exec, which the box can find.
	Argv []string
	// Prefixes are directories that the program needs to read, such as the
	// installation of an interpreter below the user's home.
	Prefixes []string
	// Files are single files that it needs to read.
	Files []string
	// PathDirs are put before the system's in PATH.
	PathDirs []string
	// Image is what runs in the place of the host's programs. Then Exec is not
	// used, Argv may be empty, which is the image's command, and a name in it is
	// looked up in the box.
	Image *Image
}

// hostname is the host name of every box.
const hostname = "mcpbox"

// builder carries one run of Spec.
type builder struct {
	h        Host
	facts    Facts
	p        *Policy
	prog     Program
	limits   Limits
	guard    *guard
	pat      patterns
	user     string // login name in the box
	home     string // canonical
	tree     tree
	declared []declared
	hidden   []place
	links    []link              // symbolic links on the way to what is shown
	staged   bool                // writable directories are
	names    map[string][]string // the policy's own protected names, by root
	absent   []string            // what git's configuration names and is not there
	report   *Report
}

// Spec builds the specification of a box in which prog may do what p says, and
// reports what it found on the way. It asks h and changes nothing. An error
// means that the policy cannot be enforced as written, and says what to change.
func Spec(p *Policy, prog Program, h Host) (*specs.Spec, *Report, error) {
	b := &builder{
		h: &remembering{h, map[string]Info{}}, facts: h.Facts(), p: p, prog: prog,
		limits: p.Limits.WithDefaults(h.Facts()), tree: tree{}, pat: newPatterns(), report: &Report{},
		staged: p.Files.Staged != nil && *p.Files.Staged,
	}
	if b.staged {
		b.limits.Staged = either(b.limits.Staged, DefaultStaged)
		b.report.Staged = true
	}
	for _, step := range []func() error{
		b.start, b.system, b.collect, b.checkVolumes, b.mountPrograms, b.mountDeclared, b.scanDeclared, b.maskHidden, b.mountSockets, b.connect,
		b.network, b.listStaged,
	} {
		if err := step(); err != nil {
			return nil, nil, err
		}
	}
	seccomp, err := Seccomp(p.Mode(), runtime.GOARCH)
	if err != nil {
		return nil, nil, err
	}
	args := slices.Clone(b.prog.Argv)
	if len(args) == 0 {
		args = []string{prog.Exec}
	}
	if prog.Image == nil && !path.IsAbs(args[0]) {
		args[0] = prog.Exec
	}
	uid, gid := uint32(b.facts.EUID), uint32(b.facts.EGID)
	oom := 500
	b.report.Limits = b.limits
	b.report.Runaway = p.Runaway.WithDefaults()
	b.report.Journal = p.Journal.WithDefaults()
	b.report.Mode = p.Mode()
	return &specs.Spec{
		Version:  specs.Version,
		Hostname: hostname,
		Root:     &specs.Root{Path: "rootfs", Readonly: true},
		Process: &specs.Process{
			User:            specs.User{UID: uid, GID: gid},
			Args:            args,
			Env:             b.environ(),
			Cwd:             b.workingDir(),
			NoNewPrivileges: true,
			Capabilities:    &specs.LinuxCapabilities{},
			Rlimits:         rlimits(b.limits),
			OOMScoreAdj:     &oom,
		},
		Mounts:      b.tree.mounts(),
		Annotations: b.annotations(),
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.UserNamespace}, {Type: specs.MountNamespace}, {Type: specs.PIDNamespace},
				{Type: specs.NetworkNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace},
				{Type: specs.CgroupNamespace},
			},
			UIDMappings:       []specs.LinuxIDMapping{{ContainerID: uid, HostID: uid, Size: 1}},
			GIDMappings:       []specs.LinuxIDMapping{{ContainerID: gid, HostID: gid, Size: 1}},
			RootfsPropagation: "private",
			MaskedPaths:       maskedPaths(),
			ReadonlyPaths:     readonlyPaths(),
			Seccomp:           seccomp,
			Sysctl:            sysctls(b.limits, p.Network.Connection()),
			Resources:         b.limits.resources(),
		},
	}, b.report, nil
}

// start checks what everything else rests on.
func (b *builder) start() error {
	if len(b.p.Files.Sockets) > 0 && b.p.Mode() != SocketsHost {
		return &Error{b.p.Files.Sockets[0].Origin, `files.sockets is set, but unix_sockets is "` + string(b.p.Mode()) + `"; set unix_sockets = "host"`}
	}
	switch b.p.Mode() {
	case SocketsNone, SocketsPrivate, SocketsHost:
	default:
		return fmt.Errorf("unix_sockets cannot be %q; it has to be none, private or host", b.p.UnixSockets)
	}
	if err := b.p.CheckBackend(); err != nil {
		return err
	}
	if err := b.p.Network.check(); err != nil {
		return err
	}
	if err := b.limits.check(); err != nil {
		return err
	}
	if err := b.checkEnv(); err != nil {
		return err
	}
	if err := b.startImage(); err != nil {
		return err
	}
	if b.prog.Image == nil && !path.IsAbs(b.prog.Exec) {
		return fmt.Errorf("run %q: not an absolute path", b.prog.Exec)
	}
	var err error
	if b.guard, err = newGuard(b.p, b.h); err != nil {
		return err
	}
	// The home directory of a box is at the path of the user's, so that paths
	// look as they do outside. It need not exist on the host.
	home, there, err := nearest(b.h, b.facts.Home)
	if err != nil {
		return fmt.Errorf("find the home directory: %w", err)
	}
	if !there {
		home = path.Clean(b.facts.Home)
	} else if pl, err := locate(b.h, b.facts.Home); err == nil {
		b.links = append(b.links, pl.links...)
	}
	b.home = home
	b.user = b.facts.User
	if b.user == "root" && b.facts.EUID != 0 {
		b.user = "user" // started by root, but not root inside
	}
	for _, dir := range []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/dev", "/proc", "/sys", "/run", "/nix", "/gnu"} {
		if within(home, dir) || below(dir, home) {
			return fmt.Errorf("make a home directory: the user's is %s, which would lie over the system's files; set HOME to a directory of the user's own", b.facts.Home)
		}
	}
	b.report.Home = home
	b.noteGroups()
	return nil
}

// rlimits bounds each process. A core dump limit of 1, unlike 0, also keeps the
// kernel from handing memory to a crash handler of the host; see core(5).
func rlimits(l Limits) []specs.POSIXRlimit {
	var list []specs.POSIXRlimit
	for _, r := range []struct {
		name  string
		value int64
	}{
		{"RLIMIT_CORE", 1},
		{"RLIMIT_MEMLOCK", 1 << 20},
		{"RLIMIT_MSGQUEUE", 64 << 10},
		{"RLIMIT_NICE", 0},
		{"RLIMIT_NOFILE", l.OpenFiles},
		{"RLIMIT_NPROC", l.Pids},
		{"RLIMIT_RTPRIO", 0},
		{"RLIMIT_SIGPENDING", 1024},
	} {
		list = append(list, specs.POSIXRlimit{Type: r.name, Hard: uint64(r.value), Soft: uint64(r.value)})
	}
	return list
}

// sysctls bounds what no process is charged for: System V and POSIX IPC, whose
// objects outlive whoever made them. Where every address leads to mcpbox, it
// also keeps the kernel from answering pings in the place of all the world.
func sysctls(l Limits, n NetworkMode) map[string]string {
	const page = 4096
	set := map[string]string{
		"kernel.shmall":        strconv.FormatInt(l.Tmp/page, 10), // pages in all segments together
		"kernel.shmmni":        "128",                             // segments
		"kernel.msgmni":        "32",                              // message queues
		"kernel.sem":           "32000 32000 500 128",             // the last is the number of sets
		"fs.mqueue.queues_max": "16",
	}
	if n == NetworkFiltered {
		set["net.ipv4.icmp_echo_ignore_all"] = "1"
	}
	return set
}

// annotations says what a backend has to know beside the specification.
func (b *builder) annotations() map[string]string {
	a := map[string]string{AnnotationUnixSockets: string(b.p.Mode())}
	if len(b.declared) > 0 {
		a[AnnotationHostDirectories] = "true"
	}
	if b.limits.Require != "" {
		a[AnnotationRequire] = string(b.limits.Require)
	}
	return a
}

// workingDir is the image's, if it names one; else the host's working directory
// where the policy shows it, else the home of the box.
func (b *builder) workingDir() string {
	b.report.Cwd = b.home
	if im := b.prog.Image; im != nil && im.WorkingDir != "" {
		b.report.Cwd = path.Clean(im.WorkingDir)
		return b.report.Cwd
	}
	if pl, err := locate(b.h, b.facts.Cwd); err == nil && pl.info.Type == Directory {
		for _, d := range b.declared {
			if within(pl.path, d.path) && b.tree.shows(pl.path) {
				b.report.Cwd = pl.path
			}
		}
	}
	return b.report.Cwd
}
