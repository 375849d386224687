package escape

// slot is what comes of making a user namespace where the second one, which
// takes the only one that is allowed, was left out: it succeeds, unless the
// namespace of an attack before is not gone yet. No other kind can be made.
const slot = "yes|ENOSPC"

var namespaceRows = []row{
	{"N-1/unshare-user", yes, "EPERM", but{seccomp: "ENOSPC", all: yes}},
	{"N-1/clone-user", yes, "EPERM", but{seccomp: "ENOSPC", all: slot}},
	{"N-1/clone3-user", yes, "ENOSYS", but{seccomp: "ENOSPC", all: slot}},
	{"N-1/clone-high-bits", yes, "EPERM", but{seccomp: "ENOSPC", all: slot}},
	{"N-1/mount-inside", yes, "EPERM", but{seccomp: "ENOSPC", all: slot}},
	{"N-9/fsopen-inside", yes, "EPERM", but{seccomp: "ENOSPC", all: slot}},
	{"N-9/nftables-inside", yes, "EPERM", but{seccomp: "ENOSPC", all: slot}},
	{"N-9/raw-socket-inside", yes, "EPERM", but{seccomp: "ENOSPC", all: slot}},
	{"N01/setns-child", yes, "EPERM", but{seccomp: "ENOSPC", all: slot}},
	{"N01/setns-file", asRoot, "EPERM", but{}},
	{"N-2/raise-limit", "root|EACCES", "EACCES|EROFS", but{}},
	{"N-3/setgroups", asRoot, "EPERM", but{}},
	{"N-3/setgroups-state", yes, "absent", but{}},
	{"N-4/id-map", yes, "absent", but{}},
	{"N-4/capabilities", yes, "absent", but{}},
	{"N-4/new-privileges", yes, "absent", but{}},
	{"N-4/securebits", yes, "absent", but{}},
	{"N-5/setuid-program", staged, "unchanged", but{}},
	{"N-5/file-capabilities", staged, "unchanged", but{}},
	{"N06/hostname", yes, "EPERM", but{}},
	{"N06/shared-namespaces", yes, "absent", but{}},
}

var mountRows = []row{
	{"M-1/propagation", staged, "absent", but{}},
	{"M-1/late-mount", staged, "ENOENT", but{}},
	{"M-2/dotdot", yes, "ENOENT", but{}},
	{"M-2/old-root", yes, "ENOENT", but{}},
	{"M-2/chroot", yes, "EPERM", but{all: "yes|EPERM"}},
	{"M-2/pivot-root", yes, "EPERM", but{}},
	{"N01/mount", yes, "EPERM", but{}},
	{"N01/umount", yes, "EPERM", but{}},
	{"M-3/remount", yes, "EPERM", but{}},
	{"M-3/mount-setattr", yes, "ENOSYS", but{seccomp: "EPERM"}},
	{"N01/open-tree", yes, "ENOSYS", but{seccomp: "EPERM"}},
	{"N01/fsopen", yes, "ENOSYS", but{seccomp: "EPERM"}},
	{"N01/move-mount", yes, "ENOSYS", but{seccomp: "EPERM"}},
	{"N01/statmount", "yes|ENOSYS", "ENOSYS", but{seccomp: yes}},
	{"M-3/submount-write", staged, "EROFS", but{}},
	{"M-4/setid-mount", yes, "absent", but{}},
	{"M-4/device-mount", yes, "absent", but{}},
}

var procRows = []row{
	{"M-8/core-pattern", asRoot, "EROFS|EACCES", but{}},
	{"M-8/sysrq", "root|ENOENT", "EROFS|EACCES|ENOENT", but{}},
	{"M-8/kcore", "root|ENOENT", "absent|ENOENT", but{}},
	{"M-8/kallsyms", asRoot, "absent", but{}},
	{"M-8/keys", yes, "absent", but{}},
	{"M-8/timers", "root|ENOENT", "absent", but{}},
	{"M-8/interrupts", yes, "absent", but{}},
	{"M-8/host-process", yes, "ENOENT|absent", but{}},
	{"M-8/network-sysctl", asRoot, "EROFS|EACCES", but{}},
	{"M-10/sysfs", yes, "ENOENT", but{}},
	{"M-10/cgroup", "root|ENOENT", "ENOENT", but{}},
	{"M-10/run", yes, "ENOENT", but{}},
	{"E-15/host-sockets", yes, "absent", but{}},
	{"E-15/host-ports", yes, "absent", but{}},
	{"M-11/kmsg", asRoot, "ENOENT", but{}},
	{"M-11/mem", "root|ENOENT", "ENOENT", but{}},
	{"M-11/kvm", "root|ENOENT", "ENOENT", but{}},
	{"M-11/fuse", "root|ENOENT", "ENOENT", but{}},
	{"M-11/net/tun", "root|ENOENT", "ENOENT", but{}},
	{"M-11/loop-control", "root|ENOENT", "ENOENT", but{}},
	{"M-11/ptmx", yes, "ENOENT", but{}},
	{"F12/disk", "root|ENOENT", "ENOENT", but{}},
	{"M-11/mknod-memory", asRoot, "EPERM", but{seccomp: "EACCES", all: "EPERM"}},
	{"M-11/mknod-disk", asRoot, "EPERM", but{seccomp: "EACCES", all: "EPERM"}},
	{"M-11/mknod-whiteout", yes, "EPERM", but{seccomp: "EACCES", all: yes}},
	{"U-5/mkfifo", yes, "EACCES", but{landlock: yes, all: yes}},
}
