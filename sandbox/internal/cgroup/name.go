package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// prefix is what the names of all our cgroups begin with.
const prefix = "mcpbox-"

var made atomic.Int64

// NewName is a name that no other cgroup has: the number of this process, which
// may come to mean another one, its start time, and how many it has made.
func NewName() (string, error) {
	start, err := startTime(os.Getpid())
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s%d-%d-%d", prefix, os.Getpid(), start, made.Add(1)), nil
}

// maker finds in a name who made it.
func maker(name string) (pid int, start uint64, ok bool) {
	rest, ours := strings.CutPrefix(name, prefix)
	part := strings.Split(rest, "-")
	if !ours || len(part) != 3 {
		return 0, 0, false
	}
	pid, err := strconv.Atoi(part[0])
	if err != nil || pid < 1 {
		return 0, 0, false
	}
	start, err = strconv.ParseUint(part[1], 10, 64)
	return pid, start, err == nil
}

// startTime is when a process started, in clock ticks since the machine did
// (proc_pid_stat(5), field 22).
func startTime(pid int) (uint64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	field := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(field) < 20 {
		return 0, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(field)+2)
	}
	return strconv.ParseUint(string(field[19]), 10, 64)
}

// Sweep removes the cgroups that launchers have left which were killed, beside
// those of this process, and those among dirs. One with a process in it stays, as
// the kernel removes none of those; so whatever the name says, nothing that is
// alive is hurt.
func Sweep(dirs ...string) {
	for _, dir := range dirs {
		sweepOne(dir)
	}
	h, err := find()
	if err != nil {
		return
	}
	for controller, dir := range h {
		if controller == "" || slices.Contains(v1Controllers, controller) {
			sweepBelow(dir)
			if at := base(dir, 0); controller == "" && at != "" && at != dir {
				sweepBelow(at) // where boxes of this process would be
			}
			if _, _, ours := maker(filepath.Base(dir)); ours {
				sweepBelow(filepath.Dir(dir))
			}
		}
	}
}

func sweepBelow(dir string) {
	if !writable(dir) {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, e := range entries {
		if e.IsDir() {
			sweepOne(filepath.Join(dir, e.Name()))
		}
	}
}

// sweepOne removes a cgroup that bears the name of a process which has ended.
func sweepOne(dir string) {
	pid, start, ok := maker(filepath.Base(dir))
	if !ok || !strings.HasPrefix(dir, mountPoint+"/") {
		return
	}
	if now, err := startTime(pid); missing(err) || err == nil && now != start {
		unix.Rmdir(dir)
	}
}

// Kill ends all processes in those of dirs that are of v2 (cgroup.kill, since
// Linux 5.14), and thaws those of v1's freezer, in which no process would end by
// SIGKILL. What is not named like a cgroup of ours is left alone.
func Kill(dirs []string) error {
	var failed []error
	for _, dir := range dirs {
		if _, _, ok := maker(filepath.Base(dir)); !ok || !strings.HasPrefix(dir, mountPoint+"/") || filepath.Clean(dir) != dir {
			failed = append(failed, fmt.Errorf("%s is no cgroup of a box", dir))
			continue
		}
		if err := write(dir, "freezer.state", "THAWED"); err != nil && !missing(err) && !errors.Is(err, unix.ENODEV) {
			failed = append(failed, err)
		}
		if err := write(dir, "cgroup.kill", "1"); err != nil && !missing(err) && !errors.Is(err, unix.ENODEV) {
			failed = append(failed, err)
		}
	}
	return errors.Join(failed...)
}

// Frozen reports whether one of dirs is a cgroup of v1 that is frozen: no process in it
// ends by SIGKILL.
func Frozen(dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool {
		state, err := os.ReadFile(filepath.Join(dir, "freezer.state"))
		return err == nil && strings.HasPrefix(string(state), "FR") // FROZEN, or FREEZING
	})
}
