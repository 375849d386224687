package cgroup

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// mountPoint is where cgroup file systems are mounted.
const mountPoint = "/sys/fs/cgroup"

// unified is the line of mountinfo of a machine with v2 alone.
const unified = "1 1 0:1 / " + mountPoint + " rw - cgroup2 cgroup2 rw"

// here is the directory of the cgroup that this process is in, by controller.
// The one of cgroup v2 has the name "".
type here map[string]string

// Unified reports whether the machine has cgroup v2 and nothing else.
func Unified() bool {
	var fs unix.Statfs_t
	return unix.Statfs(mountPoint, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC
}

// find looks where this process is.
func find() (here, error) {
	own, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return nil, err
	}
	return placesOf(string(own))
}

// placesOf finds the directories of the cgroups that the text of /proc/PID/cgroup
// lists.
func placesOf(own string) (here, error) {
	if Unified() {
		return locate(own, unified), nil
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	return locate(own, string(mounts)), nil
}

// locate finds in the text of /proc/PID/mountinfo (proc_pid_mountinfo(5)) the
// cgroups that the text of /proc/PID/cgroup (cgroups(7)) lists.
func locate(own, mounts string) here {
	h := here{}
	for line := range strings.Lines(own) {
		field := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(field) != 3 || !strings.HasPrefix(field[2], "/") || strings.HasPrefix(field[2], "/..") {
			continue // outside of what this process sees of the tree
		}
		for _, controller := range strings.Split(field[1], ",") {
			if dir := mounted(mounts, controller, field[2]); dir != "" {
				h[controller] = dir
			}
		}
	}
	return h
}

// mounted is where the cgroup with a path in a controller's hierarchy is.
func mounted(mounts, controller, path string) string {
	for line := range strings.Lines(mounts) {
		before, after, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " - ")
		where, what := strings.Fields(before), strings.Fields(after)
		if len(where) < 5 || len(what) < 3 {
			continue
		}
		switch {
		case controller == "" && what[0] == "cgroup2":
		case controller != "" && what[0] == "cgroup" && slices.Contains(strings.Split(what[2], ","), controller):
		default:
			continue
		}
		root, point := where[3], where[4]
		rest, ok := strings.CutPrefix(path, strings.TrimSuffix(root, "/"))
		if ok && (rest == "" || rest[0] == '/') && !strings.Contains(point, `\`) {
			return filepath.Join(point, rest)
		}
	}
	return ""
}

// writable reports whether this process may write to all of the files.
func writable(files ...string) bool {
	for _, f := range files {
		if unix.Access(f, unix.W_OK) != nil {
			return false
		}
	}
	return true
}

// write writes to a file of a cgroup, at once, as the kernel wants it. A signal,
// such as one of Go's own for preemption, interrupts a change of v1's memory
// limits (mem_cgroup_resize_max in mm/memcontrol-v1.c), which then is as before.
func write(dir, name, text string) error {
	fd, err := unix.Open(filepath.Join(dir, name), unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err == nil {
		for {
			if _, err = unix.Write(fd, []byte(text)); err != unix.EINTR {
				break
			}
		}
		unix.Close(fd)
	}
	if err != nil {
		return &os.PathError{Op: "write " + text + " to", Path: filepath.Join(dir, name), Err: err}
	}
	return nil
}

// words are those of a file of a cgroup.
func words(dir, name string) []string {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil
	}
	return strings.Fields(string(data))
}

// offers reports whether a list of controllers has those that limits need.
// Without cpu there is a limit less, which [Group.CPU] tells.
func offers(list []string) bool {
	return slices.Contains(list, "memory") && slices.Contains(list, "pids")
}

func missing(err error) bool { return errors.Is(err, os.ErrNotExist) }

// numbers are those of a text that is a list of them.
func numbers(text string) []int {
	var list []int
	for _, w := range strings.Fields(text) {
		if n, err := strconv.Atoi(w); err == nil {
			list = append(list, n)
		}
	}
	return list
}
