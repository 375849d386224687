// Package userns limits what can be had in the user namespace of a box (namespaces(7)).
//
// A limit holds for each user in the namespace that it is written in and in all below;
// without one the kernel counts for the user who has made the namespace, with all else
// that is his on the host. inotify and fanotify are among what is counted so: one server
// could use up the 128 instances of the host's user, or, in a container of root's
// containerd, of the host's root.
package userns

// Dir is where the kernel has the limits of the user namespace of whoever looks.
const Dir = "/proc/sys/user"

// Limit is a file there, and what has to be in it.
type Limit struct{ Name, Value string }

// Limits are those of every box. A kernel that has no such file has no such thing.
var Limits = []Limit{
	{"max_cgroup_namespaces", "0"},
	{"max_ipc_namespaces", "0"},
	{"max_mnt_namespaces", "0"},
	{"max_net_namespaces", "0"},
	{"max_pid_namespaces", "0"},
	{"max_time_namespaces", "0"},
	{"max_uts_namespaces", "0"},
	{"max_inotify_instances", "32"},
	{"max_inotify_watches", "32768"},
	{"max_fanotify_groups", "4"},
	{"max_fanotify_marks", "1024"},
}

// UserNamespaces limits how many of them there are below the one that it is written in.
const UserNamespaces = "max_user_namespaces"
