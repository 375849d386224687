package policy

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strconv"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// tree holds one mount for each path of a box, so that there is nothing to
// order by hand: sorted by path, parents come before children.
type tree map[string]mounted

// mounted is a mount, and what it is there for. Of two for one path, the
// higher rank wins.
type mounted struct {
	specs.Mount
	rank rank
}

type rank uint8

const (
	rankSystem   rank = iota // what every program needs
	rankHome                 // a home that lasts: a directory of the host, at another place
	rankProgram              // the program that was found
	rankPin                  // a directory that has to stay where it is
	rankDeclared             // what the policy declares
	rankProtect              // a protected name
	rankMask                 // a hidden path, a socket
)

func (t tree) put(r rank, m specs.Mount) {
	if old, ok := t[m.Destination]; !ok || old.rank < r {
		t[m.Destination] = mounted{m, r}
	}
}

// covering returns the mount that p lies on, itself included.
func (t tree) covering(p string) (mounted, bool) {
	for ; ; p = path.Dir(p) {
		if m, ok := t[p]; ok {
			return m, true
		}
		if p == "/" {
			return mounted{}, false
		}
	}
}

// ofHost reports whether a mount shows files of the host.
func (m mounted) ofHost() bool { return m.Type == "bind" || m.Type == "staged" }

// shows reports whether the host's file at p is there in the box.
func (t tree) shows(p string) bool {
	m, ok := t.covering(p)
	return ok && m.ofHost() && m.rank != rankMask && m.rank != rankHome
}

// mounts lists the mounts in the order to make them.
func (t tree) mounts() []specs.Mount {
	var list []specs.Mount
	for p := range t {
		// A home or a declared directory in /var/tmp needs a directory there,
		// not the link to /tmp.
		if below(p, "/var/tmp") && t["/var/tmp"].Type == "symlink" {
			delete(t, "/var/tmp")
		}
	}
	for _, p := range slices.SortedFunc(maps.Keys(t), comparePaths) {
		list = append(list, t[p].Mount)
	}
	return list
}

// comparePaths orders paths by their components: a directory comes before what
// is in it, and that before the next directory.
func comparePaths(a, b string) int {
	for i := range min(len(a), len(b)) {
		if a[i] == b[i] {
			continue
		}
		switch byte('/') {
		case a[i]:
			return -1
		case b[i]:
			return 1
		}
		return cmp.Compare(a[i], b[i])
	}
	return cmp.Compare(len(a), len(b))
}

func bind(p string, t FileType, options ...string) specs.Mount {
	how := "rbind"
	if t != Directory {
		how = "bind"
	}
	return specs.Mount{Destination: p, Type: "bind", Source: p, Options: append([]string{how}, options...)}
}

func readOnly(p string, t FileType) specs.Mount  { return bind(p, t, "rro", "nosuid", "nodev") }
func readWrite(p string, t FileType) specs.Mount { return bind(p, t, "rw", "nosuid", "nodev") }

func symlink(at, text string) specs.Mount {
	return specs.Mount{Destination: at, Type: "symlink", Source: text}
}

func file(at, content string) specs.Mount {
	return specs.Mount{Destination: at, Type: "file", Source: content}
}

// tmpfs is a file system in memory. It has an inode for each page, so that
// files run out before they take more memory than the pages do.
func tmpfs(at string, size int64, mode string, options ...string) specs.Mount {
	const page = 4096
	return specs.Mount{Destination: at, Type: "tmpfs", Source: "tmpfs", Options: append(
		append([]string{"nosuid", "nodev"}, options...),
		"size="+strconv.FormatInt(size, 10),
		"nr_inodes="+strconv.FormatInt(max(size/page, 16), 10),
		"mode="+mode,
	)}
}

// staged is a view of a directory in which nothing that a program changes
// reaches the host. Like a tmpfs it has an inode for each page.
func staged(p string, size int64) specs.Mount {
	m := tmpfs(p, size, "")
	m.Type, m.Source = "staged", p
	m.Options = append(m.Options[:len(m.Options)-1], "rw") // without the mode, which is the directory's
	return m
}

// mask covers a path with nothing: an empty directory, or the null device. A
// symbolic link is covered itself, not where it leads.
func mask(p string, t FileType) specs.Mount {
	if t == Directory {
		return specs.Mount{Destination: p, Type: "tmpfs", Source: "tmpfs",
			Options: []string{"ro", "nosuid", "nodev", "noexec", "size=4096", "nr_inodes=2", "mode=0555"}}
	}
	m := specs.Mount{Destination: p, Type: "bind", Source: "/dev/null", Options: []string{"bind", "ro", "nosuid", "noexec"}}
	if t == Symlink {
		m.Options = append(m.Options, "dest-nofollow")
	}
	return m
}

// maskedPaths and readonlyPaths are what of /proc tells about or changes the
// machine rather than the box.
func maskedPaths() []string {
	return []string{
		"/proc/acpi", "/proc/asound", "/proc/config.gz", "/proc/interrupts", "/proc/kallsyms", "/proc/kcore",
		"/proc/key-users", "/proc/keys", "/proc/kpagecgroup", "/proc/kpagecount", "/proc/kpageflags",
		"/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
	}
}

func readonlyPaths() []string {
	return []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}
}
