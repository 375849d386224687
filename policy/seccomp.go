package policy

import (
	"errors"
	"fmt"
	"slices"

	base "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Seccomp returns the system call filter of a box for the architecture that
// goarch names in the way of runtime.GOARCH.
//
// It allows what moby/profiles allows a container without capabilities, less
// what an MCP server has no use for, and answers everything else with ENOSYS,
// so that programs take the path they have for an older kernel. What is known
// and dangerous gets EPERM instead. A foreign ABI of the same processor (i386
// and x32, 32-bit ARM) has no entry: the backend ends a process that uses one.
func Seccomp(mode SocketMode, goarch string) (*specs.LinuxSeccomp, error) {
	arch, ok := map[string]specs.Arch{"amd64": specs.ArchX86_64, "arm64": specs.ArchAARCH64}[goarch]
	if !ok {
		return nil, errors.New("build the system call filter: no filter for " + goarch + "; amd64 and arm64 have one")
	}
	names, err := baseNames(goarch)
	if err != nil {
		return nil, err
	}
	var r ruleSet
	r.allow(names)
	r.deny(uint(unix.EPERM), deniedCalls())
	r.process()
	r.priorities()
	r.sockets(mode)
	r.descriptors()
	r.terminal()
	r.modes()
	nosys := uint(unix.ENOSYS)
	return &specs.LinuxSeccomp{
		DefaultAction:   specs.ActErrno,
		DefaultErrnoRet: &nosys,
		Architectures:   []specs.Arch{arch},
		Syscalls:        r.rules,
	}, nil
}

// baseNames lists the calls that the base profile allows whatever their
// arguments are, without those that have rules of their own here.
func baseNames(goarch string) ([]string, error) {
	drop := map[string]bool{}
	for _, list := range [][]string{deniedCalls(), ruledCalls(), removedCalls()} {
		for _, name := range list {
			drop[name] = true
		}
	}
	var names []string
	for _, s := range base.DefaultProfile().Syscalls {
		if s.Action != specs.ActAllow || !applies(s, goarch) {
			continue
		}
		for _, name := range s.Names {
			if drop[name] {
				continue
			}
			// A condition that this code does not know must not become "always".
			if len(s.Args) > 0 {
				return nil, fmt.Errorf("build the system call filter: the base profile has a condition on %s", name)
			}
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// applies evaluates an entry's filters for a program without capabilities. A
// minimal kernel version is taken as met: an unknown call fails anyway.
func applies(s *base.Syscall, goarch string) bool {
	if in := s.Includes; in != nil {
		if len(in.Caps) > 0 || len(in.Arches) > 0 && !slices.Contains(in.Arches, goarch) {
			return false
		}
	}
	if ex := s.Excludes; ex != nil && slices.Contains(ex.Arches, goarch) {
		return false
	}
	return true
}

// deniedCalls are those that programs probe for and take EPERM as "not
// permitted" rather than "old kernel", or whose use deserves a clear answer.
func deniedCalls() []string {
	return []string{
		// other processes
		"ptrace", "kcmp", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd",
		// kernel keyring, which user namespaces share
		"add_key", "keyctl", "request_key",
		// kernel surface that needs no capability, or reveals the kernel
		"bpf", "perf_event_open", "userfaultfd", "syslog", "modify_ldt",
		// mounts and namespaces, old interface; the new one gets ENOSYS
		"mount", "umount", "umount2", "pivot_root", "chroot", "unshare", "setns",
		// files by handle, past every directory
		"open_by_handle_at", "name_to_handle_at", "fanotify_init",
		// the machine
		"acct", "quotactl", "quotactl_fd", "swapon", "swapoff", "reboot", "kexec_load", "kexec_file_load",
		"create_module", "init_module", "finit_module", "delete_module", "iopl", "ioperm", "vhangup",
		"settimeofday", "stime", "clock_settime", "clock_settime64", "sethostname", "setdomainname",
	}
}

// removedCalls are allowed by the base profile and get ENOSYS here.
func removedCalls() []string {
	return []string{
		"openat2",       // its mode is in memory, out of a filter's reach; callers fall back to openat
		"memfd_secret",  // memory that no limit counts in full
		"statmount",     // tells about mounts
		"listmount",     // tells about mounts
		"fanotify_mark", // useless without fanotify_init
		// Asynchronous input and output is counted for all users together
		// (fs.aio-max-nr); who uses it can do without.
		"io_setup", "io_submit", "io_getevents", "io_pgetevents", "io_pgetevents_time64", "io_cancel", "io_destroy",
		"socketcall", "ipc", // multiplexers of 32-bit ABIs, past the rules on socket
	}
}

// ruledCalls have rules on their arguments in this package.
func ruledCalls() []string {
	return []string{
		"clone", "clone3", "personality", "prlimit64", "sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "setpriority", "ioprio_set", "fcntl", "socket", "socketpair", "ioctl", "mknod", "mknodat",
		"open", "openat", "creat", "mkdir", "mkdirat", "chmod", "fchmod", "fchmodat", "fchmodat2",
	}
}
