package native

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/internal/cgroup"
	"golang.org/x/sys/unix"
)

// The processes of a box are those of its PID namespace, and no other process
// is in that: a server can make no namespace of its own, and nobody else enters.
// They are looked for in the host's /proc, which shows each with the number that
// it has outside.

// namespace is the text of the link that all processes of the box have as
// ns/pid.
func (b *box) namespace() (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pidfd < 0 {
		return "", os.ErrProcessDone
	}
	ns, err := pidNamespace(b.pid)
	if err != nil {
		s, e := readStat(fmt.Sprintf("/proc/%d/stat", b.pid))
		ended := e == nil && (s.state == 'Z' || s.state == 'X')
		switch {
		case ended && len(threadStates(b.pid)) == 0:
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

func pidNamespace(pid int) (string, error) {
	return os.Readlink(fmt.Sprintf("/proc/%d/ns/pid", pid))
}

// members lists the processes of the box without its PID 1, which is ours. One
// that starts meanwhile may be missing.
func (b *box) members() ([]int, error) {
	ns, err := b.namespace()
	if err != nil {
		return nil, err
	}
	proc, err := os.Open("/proc")
	if err != nil {
		return nil, err
	}
	defer proc.Close()
	names, err := proc.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	var list []int
	for _, name := range names {
		pid, err := strconv.Atoi(name)
		if err != nil || pid == b.pid {
			continue
		}
		// An error is a process that has ended, or one that is not ours to
		// look at, which those of the box are.
		if of, err := pidNamespace(pid); err == nil && of == ns {
			list = append(list, pid)
		}
	}
	return list, nil
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
	if own, err := readStat(fmt.Sprintf("/proc/%d/stat", b.pid)); err == nil {
		load.CPU = own.waited
	}
	for _, pid := range list {
		dir := fmt.Sprintf("/proc/%d", pid)
		stat, err := readStat(dir + "/stat")
		if err != nil {
			continue // it has ended
		}
		load.Processes++
		load.CPU += stat.cpu + stat.waited
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

// stat is what proc_pid_stat(5) says of a process or thread.
type stat struct {
	state  byte          // field 3
	cpu    time.Duration // 14 and 15: its own processor time
	waited time.Duration // 16 and 17: that of children it has waited for
}

// tick is the unit of processor time in /proc, 1/USER_HZ, on every architecture
// that Go runs on.
const tick = 10 * time.Millisecond

var errStat = errors.New("not what proc_pid_stat(5) says")

func readStat(file string) (stat, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return stat{}, err
	}
	return parseStat(data)
}

func parseStat(data []byte) (stat, error) {
	// The second field is in parentheses, and may hold more of them: it is a
	// name that the process chooses.
	field := bytes.Fields(data[bytes.LastIndexByte(data, ')')+1:])
	if len(field) < 15 || len(field[0]) != 1 {
		return stat{}, errStat
	}
	var ticks [4]int64
	for i := range ticks {
		n, err := strconv.ParseInt(string(field[11+i]), 10, 64)
		if err != nil {
			return stat{}, errStat
		}
		ticks[i] = n
	}
	return stat{
		state:  field[0][0],
		cpu:    time.Duration(ticks[0]+ticks[1]) * tick,
		waited: time.Duration(ticks[2]+ticks[3]) * tick,
	}, nil
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
			if s, err := readStat(tasks + "/" + tid + "/stat"); err == nil {
				n += int64(s.cpu)
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
