package native

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/internal/cgroup"
	"github.com/mcpbox/mcpbox/sandbox/internal/proc"
	"golang.org/x/sys/unix"
)

// namespace is the text of the link that all processes of the box have as
// ns/pid.
func (b *box) namespace() (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pidfd < 0 {
		return "", os.ErrProcessDone
	}
	var ns string
	var err error
	if b.held == nil {
		ns, b.held, err = proc.Hold(b.pid)
	} else {
		ns, err = proc.Namespace(b.pid)
	}
	if err != nil {
		s, e := proc.ReadStat(fmt.Sprintf("/proc/%d/stat", b.pid))
		ended := e == nil && (s.State == 'Z' || s.State == 'X')
		switch {
		case ended && len(proc.Threads(b.pid)) == 0:
			return "", os.ErrProcessDone // and has not been waited for yet
		case b.ns != "":
			ns, err = b.ns, nil // it waits for the rest to end, and only root may still look
		}
	} else {
		b.ns = ns
	}
	// PID 1 may have been reaped a moment ago: then its number means nothing.
	if unix.PidfdSendSignal(b.pidfd, 0, nil, 0) == unix.ESRCH {
		return "", os.ErrProcessDone
	}
	return ns, err
}

// members lists the processes of the box without its PID 1, which is ours. One
// that starts meanwhile may be missing.
func (b *box) members() ([]int, error) {
	ns, err := b.namespace()
	if err != nil {
		return nil, err
	}
	return proc.Members(ns, b.pid)
}

// Processes implements [sandbox.Box].
func (b *box) Processes() ([]int, error) { return b.members() }

// Usage implements [sandbox.Box].
func (b *box) Usage() (sandbox.Load, error) {
	list, err := b.members()
	if err != nil {
		return sandbox.Load{}, err
	}
	// PID 1 has waited for the server's orphans.
	var load sandbox.Load
	if own, err := proc.ReadStat(fmt.Sprintf("/proc/%d/stat", b.pid)); err == nil {
		load.CPU = own.Waited
	}
	for _, pid := range list {
		dir := fmt.Sprintf("/proc/%d", pid)
		stat, err := proc.ReadStat(dir + "/stat")
		if err != nil {
			continue // it has ended
		}
		load.Processes++
		load.CPU += stat.CPU + stat.Waited
		if b.group.Tier == cgroup.None {
			load.Memory += proportional(dir)
		}
	}
	if b.group.Tier != cgroup.None {
		load.Memory = b.group.Memory().Now
	}
	if user, system, ok := b.group.Time(); ok {
		load.CPU = user + system
	}
	return load, nil
}

// proportional is the memory of the process with this directory, 0 if it has
// ended.
func proportional(dir string) int64 {
	data, err := os.ReadFile(dir + "/smaps_rollup")
	if err != nil {
		return resident(dir)
	}
	for line := range strings.Lines(string(data)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "Pss: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}

// resident counts what processes share for each of them (kernels without
// CONFIG_PROC_PAGE_MONITOR).
func resident(dir string) int64 {
	data, err := os.ReadFile(dir + "/statm")
	if err != nil {
		return 0
	}
	var size, rss int64
	if n, _ := fmt.Sscan(string(data), &size, &rss); n != 2 {
		return 0
	}
	return rss * int64(os.Getpagesize())
}

// activity is a number that stays the same as long as nothing of the box runs: of its
// threads, of how often they have been taken from a processor, and of the time that
// they have had one, which shows those that stay on it.
func (b *box) activity() (n int64, err error) {
	list, err := b.members()
	if err != nil {
		return 0, err
	}
	for _, pid := range list {
		tasks := fmt.Sprintf("/proc/%d/task", pid)
		dir, err := os.Open(tasks)
		if err != nil {
			continue
		}
		threads, _ := dir.Readdirnames(-1)
		dir.Close()
		for _, tid := range threads {
			n += 1 + switchesOf(tasks+"/"+tid+"/status")
			if s, err := proc.ReadStat(tasks + "/" + tid + "/stat"); err == nil {
				n += int64(s.CPU)
			}
		}
	}
	return n, nil
}

// switchesOf is how often a thread has been taken from a processor
// (proc_pid_status(5)).
func switchesOf(file string) (n int64) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	for line := range bytes.Lines(data) {
		name, value, _ := bytes.Cut(line, []byte{':'})
		if bytes.HasSuffix(name, []byte("voluntary_ctxt_switches")) { // both kinds
			k, _ := strconv.ParseInt(string(bytes.TrimSpace(value)), 10, 64)
			n += k
		}
	}
	return n
}
