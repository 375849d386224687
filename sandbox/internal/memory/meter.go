// Package memory measures, from the host, the memory of boxes that no cgroup limits: of
// their processes what they have written, swapped out or in page tables, and what is on
// their file systems in memory. Files of the host that are mapped or cached do not count,
// as the kernel drops them when it needs the room.
package memory

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/mcpbox/mcpbox/sandbox/internal/proc"
	"golang.org/x/sys/unix"
)

// Meter measures one box.
type Meter struct {
	// tmpfs are the file systems in memory that the box may write to, dev the device
	// numbers that the kernel says of what is mapped of them.
	tmpfs []*os.File
	dev   map[string]bool
	// shmem is how much memory of this kind the rest of the machine takes, at
	// least.
	shmem int64
}

// NewMeter is for a box that has hardly anything yet.
func NewMeter() *Meter {
	return &Meter{dev: map[string]bool{}, shmem: machineShmem()}
}

// Add counts a file system in memory, which the box cannot exchange, by a directory of it.
// The meter closes that.
func (m *Meter) Add(dir *os.File) {
	var st unix.Stat_t
	if unix.Fstat(int(dir.Fd()), &st) == nil {
		m.dev[fmt.Sprintf("%02x:%02x", unix.Major(st.Dev), unix.Minor(st.Dev))] = true
	}
	m.tmpfs = append(m.tmpfs, dir)
}

// AddStaged does so with one that an overlay is made of. What is mapped of it counts twice:
// the kernel names the overlay.
func (m *Meter) AddStaged(dir *os.File) { m.tmpfs = append(m.tmpfs, dir) }

// AddMount does so with one that is mounted in the box at a path. The box may have made
// links on the way, which lead nowhere outside.
func (m *Meter) AddMount(pid int, path string) {
	root, err := unix.Open(fmt.Sprintf("/proc/%d/root", pid), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return // the box has ended
	}
	defer unix.Close(root)
	fd, err := unix.Openat2(root, path, &unix.OpenHow{
		Flags:   unix.O_PATH | unix.O_DIRECTORY | unix.O_CLOEXEC,
		Resolve: unix.RESOLVE_IN_ROOT | unix.RESOLVE_NO_MAGICLINKS,
	})
	if err == nil {
		m.Add(os.NewFile(uintptr(fd), path))
	}
}

// Close closes what was added.
func (m *Meter) Close() {
	for _, f := range m.tmpfs {
		f.Close()
	}
}

// OnTmpfs is what the file systems in memory hold.
func (m *Meter) OnTmpfs() (sum int64) {
	for _, f := range m.tmpfs {
		var fs unix.Statfs_t
		if unix.Fstatfs(int(f.Fd()), &fs) == nil {
			sum += int64(fs.Blocks-fs.Bfree) * fs.Bsize
		}
	}
	return sum
}

// Look finds quickly what the processes of a list, and the file systems, take at most. Where
// that is not found before the box can have reached its limit, that is what it takes.
func (m *Meter) Look(list []int, limit int64) int64 {
	sum, shared := m.OnTmpfs(), int64(0)
	held := sum
	for _, pid := range list {
		s := proc.ReadStatus(pid)
		sum += s.Anon + s.Swap + s.Tables + s.Shmem
		shared += s.Shmem
	}
	if sum >= limit {
		return sum // there is no need to look for more
	}
	end := time.Now().Add(proc.LookAgain(limit - sum))
	late := func() bool { return time.Now().After(end) }
	if sum += m.unmapped(list, held+shared, 0, late); late() {
		return max(sum, limit) // it may have taken that meanwhile
	}
	return sum
}

// Measure finds what they take. What processes share counts once. It takes as long as
// there are mappings; past end, unless that is zero, it gives up, and what it has found is
// not the whole.
func (m *Meter) Measure(list []int, end time.Time) (used int64, whole bool) {
	late := func() bool { return !end.IsZero() && time.Now().After(end) }
	sum, mapped := m.OnTmpfs(), int64(0)
	held := sum
	for _, pid := range list {
		if late() {
			return sum, false
		}
		r := proc.ReadRollup(pid)
		s := proc.ReadStatus(pid)
		sum += r.Anon + r.Swap + s.Tables + r.Shmem
		mapped += r.Shmem
	}
	if mapped > 0 && held > 0 {
		// Files on a tmpfs that are mapped have been counted twice.
		for _, pid := range list {
			if late() {
				return sum, false
			}
			sum -= mappedFrom(pid, m.dev, late)
		}
	}
	sum += m.unmapped(list, held+mapped, mapped, late)
	return sum, !late()
}

// mappedFrom is a process's part of the files on the devices that it has mapped.
func mappedFrom(pid int, dev map[string]bool, late func() bool) (sum int64) {
	forMappings(pid, "smaps", late, func(_ []byte, device string) bool { return dev[device] }, func(key, value []byte) {
		if string(key) == "Pss" {
			n, _ := strconv.ParseInt(string(bytes.Fields(value)[0]), 10, 64)
			sum += n << 10
		}
	})
	return sum
}

// forMappings calls property with each property of the mappings that are wanted,
// by their line in /proc/PID/smaps and the device of their file, until it is late.
func forMappings(pid int, file string, late func() bool, wanted func(line []byte, device string) bool, property func(key, value []byte)) {
	f, err := os.Open(proc.Dir(pid) + "/" + file)
	if err != nil {
		return
	}
	defer f.Close()
	in := false
	for lines := bufio.NewReader(f); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		field := bytes.Fields(line)
		switch {
		case len(field) >= 5 && bytes.IndexByte(field[0], '-') > 0:
			if late() {
				return
			}
			in = wanted(line, string(field[3]))
		case in && len(field) >= 2:
			property(bytes.TrimSuffix(field[0], []byte{':'}), line[len(field[0]):])
		}
	}
}
