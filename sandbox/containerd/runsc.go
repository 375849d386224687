package containerd

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/containerd/internal/pid1"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// gVisor's runsc takes runc's place in the shim that both share: it understands the
// same commands. What is to be different for it, it takes as flags before them, from
// a script in the run's directory.
//
//	network=host        The sandbox uses the sockets of the network namespace that it
//	                    is started in, which is the one of the launcher's making.
//	                    Without it gVisor would copy addresses and routes of interfaces
//	                    that are not there, into a network of its own that leads nowhere.
//	host-fifo=open      FIFOs of the host may be opened: those to PID 1.
//	oci-seccomp         The filter holds inside, for what it is worth: it is kept by
//	                    gVisor's kernel, which the program runs on, not by the host's.
//	host-uds=none       No socket of the host.
//	overlay2=none       Writes to what is declared go to the host, rather than to memory.
var runscFlags = []string{"--network=host", "--host-fifo=open", "--host-uds=none", "--overlay2=none", "--oci-seccomp", "--file-access=shared"}

const runscName = "runsc"

// runscThreads is how many threads gVisor may have for itself. Each of the box's has
// one or more on the host as well, so the limit on processes is a bound, and no count.
const runscThreads = 128

// runscBinary writes the script, and returns its path.
func runscBinary(dir string) (string, error) {
	path, err := exec.LookPath("runsc")
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		return "", &sandbox.UnsupportedError{Feature: `runtime = "runsc"`, Reason: "runsc is not installed", Fix: `to install it on Debian, type: sudo apt-get install runsc; or set runtime = "runc"`, Err: err}
	}
	if strings.ContainsAny(path+dir, "'\n") {
		return "", fmt.Errorf("runsc is at %q, and the run's directory %q, which cannot be quoted", path, dir)
	}
	pin := fmt.Sprintf("'%s' %s '%s'", filepath.Join(dir, skeletonName, pid1.Init), pid1.PinArg, filepath.Join(dir, sourcesName))
	at := filepath.Join(dir, runscName)
	script := strings.NewReplacer("PIN", pin, "RUNSC", "'"+path+"'", "FLAGS", strings.Join(runscFlags, " ")).Replace(runscScript)
	return at, writeFile(at, strings.NewReader(script), 0o700)
}

// runscScript has a container deleted by force: that it was frozen when it was
// killed, runsc would take for a reason to keep it. The shim deletes those only that
// have ended.
//
// Where one is created, what is declared is mounted first (pid1.PinArg).
const runscScript = `#!/bin/sh
create=
for arg; do
	shift
	set -- "$@" "$arg"
	if [ "$arg" = delete ]; then set -- "$@" --force; fi
	if [ "$arg" = create ]; then create=y; fi
done
if [ "$create" ]; then exec PIN RUNSC FLAGS "$@"; fi
exec RUNSC FLAGS "$@"
`

// forRunsc leaves out the user namespace: gVisor's kernel has one of its own on the
// host, as nobody, and users inside are that kernel's. What opens files for it, its
// gofer, is the user who runs runsc; it sees what is mounted, and nothing else.
func forRunsc(linux *specs.Linux) {
	linux.Namespaces = slices.DeleteFunc(linux.Namespaces, func(ns specs.LinuxNamespace) bool { return ns.Type == specs.UserNamespace })
	linux.UIDMappings, linux.GIDMappings = nil, nil
	linux.Seccomp = filterForRunsc(linux.Seccomp)
}

// filterForRunsc has the filter say ENOSYS where it says so elsewhere. For any error
// that a filter names runsc takes EPERM, and then a C library does not try clone(2)
// in the place of clone3(2), so that no program of it has threads. What a tracer is
// to be asked about is ENOSYS where there is none (seccomp(2)), and the same filter
// keeps programs from tracing.
func filterForRunsc(s *specs.LinuxSeccomp) *specs.LinuxSeccomp {
	if s == nil {
		return nil
	}
	out := *s
	missing := func(action specs.LinuxSeccompAction, errno *uint) bool {
		return action == specs.ActErrno && errno != nil && *errno == uint(unix.ENOSYS)
	}
	if missing(out.DefaultAction, out.DefaultErrnoRet) {
		out.DefaultAction, out.DefaultErrnoRet = specs.ActTrace, nil
	}
	out.Syscalls = slices.Clone(s.Syscalls)
	for i, rule := range out.Syscalls {
		if missing(rule.Action, rule.ErrnoRet) {
			out.Syscalls[i].Action, out.Syscalls[i].ErrnoRet = specs.ActTrace, nil
		}
	}
	return &out
}

// asRoot has PID 1 be root of gVisor's kernel, and the program nobody there: that
// kernel keeps no process from what another of the same user has open, and does not
// keep signals from PID 1, by whose life the launcher's death is noticed.
func asRoot(p *specs.Process) {
	p.User.UID, p.User.GID = 0, 0
	caps := []string{"CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID"}
	p.Capabilities = &specs.LinuxCapabilities{Bounding: caps, Effective: caps, Permitted: caps}
}

// ofRunsc reports whether gVisor has a mount itself: it has devices of its own, and
// none of the host's.
func ofRunsc(m specs.Mount) bool {
	return m.Destination == "/dev" || m.Type == "bind" && m.Source == m.Destination && strings.HasPrefix(m.Destination, "/dev/")
}

// forGofer says "ro" for "rro", which runsc does not know. It means as much there: what
// is mounted on the host below a directory is, to gVisor, part of that one mount.
func forGofer(options []string) []string {
	for i, o := range options {
		if o == "rro" {
			options[i] = "ro"
		}
	}
	return options
}
