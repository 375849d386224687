package native

import (
	"fmt"
	"slices"
	"strings"

	"github.com/mcpbox/mcpbox/sandbox/internal/userns"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

var rlimits = map[string]int{
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_CPU": unix.RLIMIT_CPU,
	"RLIMIT_DATA": unix.RLIMIT_DATA, "RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS,
	"RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK, "RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE,
	"RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_RSS": unix.RLIMIT_RSS,
	"RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO, "RLIMIT_RTTIME": unix.RLIMIT_RTTIME,
	"RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING, "RLIMIT_STACK": unix.RLIMIT_STACK,
}

// planRlimits translates the limits. A hard limit that is lower already stays:
// an unprivileged launcher cannot raise it, and need not. The limit on
// processes is RLIMIT_NPROC of user namespace 2, which since Linux 5.14 counts
// that namespace's processes and threads only.
func planRlimits(spec *specs.Spec) ([]wire.Rlimit, error) {
	var list []wire.Rlimit
	add := func(resource int, soft, hard uint64) error {
		var now unix.Rlimit
		if err := unix.Getrlimit(resource, &now); err != nil {
			return fmt.Errorf("getrlimit: %w", err)
		}
		list = append(list, wire.Rlimit{Resource: resource, Soft: min(soft, now.Max), Hard: min(hard, now.Max)})
		return nil
	}
	for _, l := range spec.Process.Rlimits {
		resource, ok := rlimits[l.Type]
		if !ok {
			return nil, fmt.Errorf("process.rlimits: %s is not known", l.Type)
		}
		if err := add(resource, l.Soft, l.Hard); err != nil {
			return nil, err
		}
	}
	if r := spec.Linux.Resources; r != nil && r.Pids != nil && r.Pids.Limit != nil && *r.Pids.Limit > 0 {
		n := uint64(*r.Pids.Limit)
		if err := add(unix.RLIMIT_NPROC, n, n); err != nil {
			return nil, err
		}
	}
	return list, nil
}

// ownThreads is how many threads the stages have, at most: they are in the box's
// cgroup, while RLIMIT_NPROC, which is exact, counts user namespace 2.
const ownThreads = 32

// ipcSysctls are the namespaced ones; older kernels do not let a user namespace
// write them, and the box's shared memory is then bounded like its other memory.
var ipcSysctls = []string{"kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.msgmax", "kernel.msgmnb", "kernel.msgmni",
	"kernel.sem", "fs.mqueue.queues_max", "fs.mqueue.msg_max", "fs.mqueue.msgsize_max", "net.ipv4.ip_unprivileged_port_start",
	"net.ipv4.icmp_echo_ignore_all"}

// planSysctls lists what is written into user namespace 1, which owns the box: limits that
// bind user namespace 2, the only one there can be, and what is namespaced of the rest.
func planSysctls(set map[string]string) ([]wire.Sysctl, error) {
	list := []wire.Sysctl{{Path: "user/" + userns.UserNamespaces, Value: "1", Required: true}}
	for _, l := range userns.Limits {
		list = append(list, wire.Sysctl{Path: "user/" + l.Name, Value: l.Value, Required: true})
	}
	for _, key := range ipcSysctls {
		if value, ok := set[key]; ok {
			list = append(list, wire.Sysctl{Path: strings.ReplaceAll(key, ".", "/"), Value: value})
		}
	}
	for key := range set {
		if !slices.Contains(ipcSysctls, key) {
			return nil, fmt.Errorf("linux.sysctl: %s is not namespaced", key)
		}
	}
	return list, nil
}
