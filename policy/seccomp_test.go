package policy

import (
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// high is the half of a register that the kernel ignores in an int.
const high = 1 << 32

// TestSeccompTable lists what each call answers; 0 allows.
func TestSeccompTable(t *testing.T) {
	const (
		ok     = verdict(0)
		perm   = verdict(unix.EPERM)
		nosys  = verdict(unix.ENOSYS)
		family = verdict(unix.EAFNOSUPPORT)
		proto  = verdict(unix.EPROTONOSUPPORT)
	)
	const (
		inet, inet6 = unix.AF_INET, unix.AF_INET6
		stream      = unix.SOCK_STREAM
		dgram       = unix.SOCK_DGRAM
		flags       = unix.SOCK_CLOEXEC | unix.SOCK_NONBLOCK
	)
	type row struct {
		name string
		args []uint64
		want verdict
	}
	rows := []row{
		// N-1
		{"clone", []uint64{unix.CLONE_VM | unix.CLONE_THREAD | unix.CLONE_SIGHAND}, ok},
		{"clone", []uint64{uint64(unix.SIGCHLD)}, ok},
		{"clone", []uint64{unix.CLONE_NEWUSER | uint64(unix.SIGCHLD)}, perm},
		{"clone", []uint64{unix.CLONE_NEWUSER | high}, perm},
		{"clone", []uint64{unix.CLONE_NEWNS}, perm}, {"clone", []uint64{unix.CLONE_NEWNET}, perm},
		{"clone", []uint64{unix.CLONE_NEWPID}, perm}, {"clone", []uint64{unix.CLONE_NEWIPC}, perm},
		{"clone", []uint64{unix.CLONE_NEWUTS}, perm}, {"clone", []uint64{unix.CLONE_NEWCGROUP}, perm},
		{"clone", []uint64{unix.CLONE_NEWUSER | unix.CLONE_NEWNET}, perm},
		{"clone3", nil, nosys}, {"unshare", []uint64{unix.CLONE_NEWUSER}, perm}, {"unshare", []uint64{0}, perm}, {"setns", nil, perm},
		// mounts
		{"mount", nil, perm}, {"umount2", nil, perm}, {"pivot_root", nil, perm}, {"chroot", nil, perm},
		{"open_tree", nil, nosys}, {"move_mount", nil, nosys}, {"fsopen", nil, nosys}, {"fsconfig", nil, nosys}, {"fsmount", nil, nosys},
		{"fspick", nil, nosys}, {"mount_setattr", nil, nosys}, {"statmount", nil, nosys}, {"listmount", nil, nosys},
		// P-1, P-6, P-7, X-3, F-7, S-6
		{"ptrace", nil, perm}, {"process_vm_readv", nil, perm}, {"process_vm_writev", nil, perm}, {"process_madvise", nil, perm},
		{"kcmp", nil, perm}, {"pidfd_getfd", nil, perm}, {"perf_event_open", nil, perm}, {"bpf", nil, perm}, {"syslog", nil, perm},
		{"userfaultfd", nil, perm}, {"keyctl", nil, perm}, {"add_key", nil, perm}, {"request_key", nil, perm},
		{"open_by_handle_at", nil, perm}, {"name_to_handle_at", nil, perm}, {"modify_ldt", nil, perm}, {"iopl", nil, perm},
		{"ioperm", nil, perm}, {"swapon", nil, perm}, {"reboot", nil, perm}, {"acct", nil, perm}, {"quotactl", nil, perm},
		{"quotactl_fd", nil, perm}, {"kexec_load", nil, perm}, {"finit_module", nil, perm}, {"settimeofday", nil, perm},
		{"clock_settime", nil, perm}, {"sethostname", nil, perm}, {"vhangup", nil, perm}, {"fanotify_init", nil, perm},
		{"io_uring_setup", nil, nosys}, {"io_uring_enter", nil, nosys}, {"io_uring_register", nil, nosys}, {"memfd_secret", nil, nosys},
		{"no_such_call", nil, nosys},
		{"personality", []uint64{0}, ok}, {"personality", []uint64{8}, ok}, {"personality", []uint64{0x20000}, ok},
		{"personality", []uint64{0x20008}, ok}, {"personality", []uint64{0xffffffff}, ok},
		{"personality", []uint64{0x40000}, perm}, {"personality", []uint64{0x40008}, perm}, {"personality", []uint64{0x400000}, perm},
		{"personality", []uint64{0x40000 | high}, perm}, {"personality", []uint64{high}, nosys}, {"personality", []uint64{1}, nosys},
		{"personality", []uint64{0xfffffffe}, nosys},
		// U-6, U-7
		{"socket", []uint64{inet, stream}, ok}, {"socket", []uint64{inet6, stream | flags, unix.IPPROTO_TCP}, ok},
		{"socket", []uint64{inet, dgram, unix.IPPROTO_UDP}, ok}, {"socket", []uint64{inet6, dgram}, ok},
		{"socket", []uint64{inet, stream, 262}, proto}, {"socket", []uint64{inet6, stream, 262}, proto},
		{"socket", []uint64{inet, stream, 132}, proto}, {"socket", []uint64{inet, dgram, 1}, proto}, {"socket", []uint64{inet6, dgram, 58}, proto},
		{"socket", []uint64{inet, stream, 262 | high}, proto}, {"socket", []uint64{inet, stream, high}, proto},
		{"socket", []uint64{inet, unix.SOCK_RAW, unix.IPPROTO_ICMP}, perm}, {"socket", []uint64{inet6, unix.SOCK_RAW | flags, 58}, perm},
		{"socket", []uint64{inet, unix.SOCK_RAW | high}, perm}, {"socket", []uint64{inet, 10, 0}, perm},
		{"socket", []uint64{unix.AF_NETLINK, unix.SOCK_RAW, 0}, ok}, {"socket", []uint64{unix.AF_NETLINK, unix.SOCK_RAW | flags, 0}, ok},
		{"socket", []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER}, family},
		{"socket", []uint64{unix.AF_NETLINK, unix.SOCK_RAW, unix.NETLINK_NETFILTER | high}, family},
		{"socket", []uint64{unix.AF_NETLINK | high, unix.SOCK_RAW, unix.NETLINK_AUDIT}, family},
		{"socket", []uint64{inet | high, stream}, family}, {"socket", []uint64{unix.AF_ALG | high, 5}, family},
		{"socket", []uint64{unix.AF_UNIX | high, stream}, family}, {"socket", []uint64{^uint64(0), stream}, family},
		//
		{"ioctl", []uint64{0, unix.TCGETS}, ok}, {"ioctl", []uint64{0, unix.TIOCINQ}, ok}, {"ioctl", []uint64{0, unix.TIOCSTI ^ 0x100}, ok},
		{"ioctl", []uint64{0, unix.TIOCGWINSZ}, ok}, {"ioctl", []uint64{0, 0}, ok}, {"ioctl", []uint64{0, 0xffffffff}, ok},
		// W-4
		{"chmod", []uint64{0, 0o755}, ok}, {"chmod", []uint64{0, 0o1777}, ok}, {"chmod", []uint64{0, 0o4755}, perm}, {"chmod", []uint64{0, 0o2755}, perm},
		{"chmod", []uint64{0, 0o6755 | high}, perm}, {"fchmod", []uint64{0, 0o4000}, perm}, {"fchmodat", []uint64{0, 0, 0o2000}, perm},
		{"fchmodat2", []uint64{0, 0, 0o4000, 0x100}, perm}, {"fchmodat2", []uint64{0o4000, 0o4000, 0o644}, ok},
		{"mkdir", []uint64{0, 0o2775}, perm}, {"mkdirat", []uint64{0, 0, 0o2775}, perm}, {"mkdirat", []uint64{0o2000, 0, 0o775}, ok},
		{"creat", []uint64{0, 0o4755}, perm}, {"creat", []uint64{0, 0o644}, ok},
		{"open", []uint64{0, unix.O_RDONLY, 0o4755}, ok}, {"open", []uint64{0, unix.O_CREAT | unix.O_WRONLY, 0o4755}, perm},
		{"open", []uint64{0, unix.O_CREAT | high, 0o2755}, perm}, {"open", []uint64{0, unix.O_CREAT, 0o666}, ok},
		{"openat", []uint64{0, 0, unix.O_RDWR, 0o6000}, ok}, {"openat", []uint64{0, 0, unix.O_CREAT, 0o4755}, perm},
		{"openat", []uint64{0, 0, unix.O_TMPFILE | unix.O_RDWR, 0o4755}, perm}, {"openat", []uint64{0, 0, unix.O_TMPFILE, 0o2755}, perm},
		{"openat", []uint64{0, 0, unix.O_DIRECTORY, 0o4755}, ok}, {"openat", []uint64{0, 0, unix.O_TMPFILE | unix.O_RDWR, 0o600}, ok},
		{"openat", []uint64{0, 0, unix.O_TMPFILE | unix.O_CREAT, 0o4000 | high}, perm}, {"openat2", nil, nosys},
		{"fcntl", []uint64{3, unix.F_GETFL}, ok}, {"fcntl", []uint64{3, unix.F_DUPFD_CLOEXEC, 10}, ok}, {"fcntl", []uint64{3, unix.F_GETLEASE}, ok},
		{"fcntl", []uint64{3, unix.F_ADD_SEALS, 1}, ok}, {"fcntl", []uint64{3, unix.F_OFD_SETLK, 1}, ok},
		{"fcntl", []uint64{3, unix.F_SETLEASE, 0}, perm}, {"fcntl", []uint64{3, unix.F_NOTIFY, 0}, perm},
		{"fcntl", []uint64{3, 1<<32 | unix.F_SETLEASE, 0}, nosys},
		{"prlimit64", []uint64{0, 7}, ok}, {"prlimit64", []uint64{1, 7}, perm}, {"prlimit64", []uint64{1 << 32, 7}, perm},
		{"sched_setaffinity", []uint64{0, 8}, ok}, {"sched_setaffinity", []uint64{1, 8}, perm}, {"sched_setscheduler", []uint64{7, 5}, perm},
		{"sched_setattr", []uint64{1 | high}, perm}, {"sched_setparam", []uint64{0xffffffff}, perm}, {"sched_getaffinity", []uint64{1}, ok},
		{"setpriority", []uint64{unix.PRIO_PROCESS, 0, 19}, ok}, {"setpriority", []uint64{unix.PRIO_PGRP, 0, 19}, ok}, {"setpriority", []uint64{unix.PRIO_PROCESS, 1, 19}, perm},
		{"setpriority", []uint64{unix.PRIO_USER, 0, 19}, perm}, {"setpriority", []uint64{unix.PRIO_USER | high, 0, 19}, perm}, {"setpriority", []uint64{unix.PRIO_USER, 1000, 19}, perm},
		{"ioprio_set", []uint64{1, 0}, ok}, {"ioprio_set", []uint64{1, 1}, perm}, {"ioprio_set", []uint64{3, 0}, perm}, {"getpriority", []uint64{2, 0}, ok},
		{"mknod", []uint64{0, unix.S_IFREG | 0o644}, ok}, {"mknod", []uint64{0, 0o644}, ok}, {"mknodat", []uint64{0, 0, unix.S_IFIFO | 0o600}, ok},
		{"mknod", []uint64{0, unix.S_IFCHR | 0o600}, perm}, {"mknod", []uint64{0, unix.S_IFBLK}, perm}, {"mknodat", []uint64{0, 0, unix.S_IFCHR}, perm},
		{"mknodat", []uint64{0, 0, unix.S_IFSOCK | 0o600}, perm}, {"mknodat", []uint64{0, 0, unix.S_IFREG | 0o4755}, perm},
		{"mknod", []uint64{0, unix.S_IFIFO | 0o2600 | high}, perm}, {"mknod", []uint64{0, unix.S_IFLNK}, perm}, {"mknod", []uint64{0, unix.S_IFDIR}, perm},
	}
	for _, c := range []uint64{unix.TIOCSTI, unix.TIOCLINUX, unix.TIOCSETD, unix.TIOCCONS} {
		rows = append(rows, row{"ioctl", []uint64{0, c}, perm}, row{"ioctl", []uint64{0, c | high}, perm}, row{"ioctl", []uint64{0, c | 0xdeadbeef<<32}, perm})
	}
	for f := uint64(0); f < 64; f++ {
		if !slices.Contains([]uint64{unix.AF_UNIX, inet, inet6, unix.AF_NETLINK}, f) {
			rows = append(rows, row{"socket", []uint64{f, stream}, family}, row{"socket", []uint64{f, unix.SOCK_RAW, 3}, family})
		}
	}
	for _, goarch := range []string{"amd64", "arm64"} {
		for _, m := range modes {
			s := mustSeccomp(t, m, goarch)
			mine := rows
			if m == SocketsNone { // U-1
				mine = append(slices.Clone(rows),
					row{"socket", []uint64{unix.AF_UNIX, stream}, family}, row{"socket", []uint64{unix.AF_UNIX, dgram | flags}, family},
					row{"socketpair", []uint64{unix.AF_UNIX, stream}, ok}, row{"socketpair", []uint64{unix.AF_UNIX, stream | flags}, ok},
					row{"socketpair", []uint64{unix.AF_UNIX, unix.SOCK_SEQPACKET | flags}, ok},
					row{"socketpair", []uint64{unix.AF_UNIX, dgram}, perm}, row{"socketpair", []uint64{unix.AF_UNIX, unix.SOCK_RAW}, perm},
					row{"socketpair", []uint64{unix.AF_UNIX, dgram | flags | high}, perm},
					row{"socketpair", []uint64{unix.AF_UNIX | high, stream}, family}, row{"socketpair", []uint64{unix.AF_TIPC, stream}, family},
				)
			} else {
				mine = append(slices.Clone(rows),
					row{"socket", []uint64{unix.AF_UNIX, dgram}, ok}, row{"socketpair", []uint64{unix.AF_UNIX, dgram}, ok},
					row{"socketpair", []uint64{inet, stream}, family},
				)
			}
			for _, r := range mine {
				var args [6]uint64
				copy(args[:], r.args)
				if got := evaluate(s, r.name, args); len(got) != 1 || got[0] != r.want {
					t.Errorf("%s/%s: %s(%#x) = %v, want %v", goarch, m, r.name, r.args, got, r.want)
				}
			}
		}
	}
}

// TestSeccompAllows names calls that runtimes cannot do without.
func TestSeccompAllows(t *testing.T) {
	for _, goarch := range []string{"amd64", "arm64"} {
		s := mustSeccomp(t, SocketsNone, goarch)
		for _, name := range []string{
			"read", "write", "mmap", "mprotect", "execve", "execveat", "exit_group", "futex", "futex_waitv", "rseq", "membarrier",
			"epoll_pwait", "eventfd2", "pipe2", "connect", "bind", "listen", "accept4", "sendmsg", "recvmsg", "getrandom", "statx",
			"faccessat2", "copy_file_range", "inotify_init1", "memfd_create", "pidfd_open", "pidfd_send_signal", "prctl", "seccomp",
			"landlock_create_ruleset", "landlock_restrict_self", "sched_getaffinity", "sysinfo", "wait4", "waitid", "kill", "tgkill",
			"setsid", "rename", "renameat2", "unlinkat", "symlinkat", "linkat", "utimensat", "fallocate", "flock", "close_range",
		} {
			if got := evaluate(s, name, [6]uint64{}); got[0] != 0 {
				t.Errorf("%s: %s = %v", goarch, name, got)
			}
		}
	}
	if _, err := Seccomp(SocketsNone, "mips"); err == nil {
		t.Error("an architecture without a filter gets one")
	}
}

// TestOutside checks the generator of complements against counting.
func TestOutside(t *testing.T) {
	for _, points := range [][]uint64{nil, {0}, {255}, {0, 6, 17}, {0x12, 0x1c, 0x1d, 0x23}, {1, 2, 3, 4, 5}, {7, 7}} {
		blocks := outside(points, 8)
		for n := uint64(0); n < 256; n++ {
			in := 0
			for _, b := range blocks {
				if n&b.mask == b.value {
					in++
				}
			}
			if want := slices.Contains(points, n); (in == 0) != want || in > 1 {
				t.Errorf("outside(%v): %d is in %d blocks", points, n, in)
			}
		}
	}
	for n := uint64(0); n < 256; n++ {
		in := slices.ContainsFunc(differs(0xb, 1), func(b block) bool { return n&b.mask == b.value })
		if in != (n&0xb != 1) {
			t.Errorf("differs(0xb, 1): %d is in: %v", n, in)
		}
	}
}
