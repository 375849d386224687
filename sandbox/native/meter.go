package native

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/mcpbox/mcpbox/sandbox/internal/proc"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"golang.org/x/sys/unix"
)

// meter measures the memory of a box: of its processes what they have written,
// swapped out or in page tables, and what is on its file systems in memory. Files
// of the host that are mapped or cached do not count, as the kernel drops them
// when it needs the room.
type meter struct {
	box    *box
	mounts []wire.Mount
	opened bool
	// tmpfs are the file systems in memory that the box may write to, dev their
	// device numbers.
	tmpfs []*os.File
	dev   map[string]bool
	// shmem is how much memory of this kind the rest of the machine takes, at
	// least.
	shmem int64
	// overcounts is that a look has found far more than there was, which was used.
	overcounts bool
	used       int64
}

func newMeter(b *box, mounts []wire.Mount) *meter {
	return &meter{box: b, mounts: mounts, dev: map[string]bool{}, shmem: machineShmem()}
}

// open opens the box's file systems in memory, which the box cannot exchange.
func (m *meter) open() {
	if m.opened {
		return
	}
	m.opened = true
	for _, mount := range m.mounts {
		if mount.Kind != "tmpfs" || mount.Attr&unix.MOUNT_ATTR_RDONLY != 0 {
			continue
		}
		fd, err := unix.Open(fmt.Sprintf("/proc/%d/root%s", m.box.pid, mount.Target), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			continue // the box has ended
		}
		var st unix.Stat_t
		if unix.Fstat(fd, &st) == nil {
			m.dev[fmt.Sprintf("%02x:%02x", unix.Major(st.Dev), unix.Minor(st.Dev))] = true
		}
		m.tmpfs = append(m.tmpfs, os.NewFile(uintptr(fd), mount.Target))
	}
	for _, s := range m.box.staged {
		// What is mapped of these counts twice: the kernel names the overlay.
		if fd, err := unix.FcntlInt(s.Upper.Fd(), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			m.tmpfs = append(m.tmpfs, os.NewFile(uintptr(fd), s.Source))
		}
	}
}

func (m *meter) close() { closeAll(m.tmpfs) }

// onTmpfs is what the file systems in memory hold.
func (m *meter) onTmpfs() (sum int64) {
	for _, f := range m.tmpfs {
		var fs unix.Statfs_t
		if unix.Fstatfs(int(f.Fd()), &fs) == nil {
			sum += int64(fs.Blocks-fs.Bfree) * fs.Bsize
		}
	}
	return sum
}

// look finds quickly what the box takes at most. Where it is not found before the
// box can have reached its limit, that is what it takes. With all, it looks for the
// processes everywhere.
func (m *meter) look(all bool) (int64, error) {
	list, err := m.members(all)
	if err != nil {
		return 0, err
	}
	sum, shared := m.onTmpfs(), int64(0)
	held := sum
	for _, pid := range list {
		s := proc.ReadStatus(pid)
		sum += s.Anon + s.Swap + s.Tables + s.Shmem
		shared += s.Shmem
	}
	limit := m.box.limits.Memory
	if sum >= limit {
		return sum, nil // there is no need to look for more
	}
	end := time.Now().Add(proc.LookAgain(limit - sum))
	late := func() bool { return time.Now().After(end) }
	if sum += m.unmapped(list, held+shared, 0, late); late() {
		return max(sum, limit), nil // it may have taken that meanwhile
	}
	return sum, nil
}

// measure finds what the box takes. What processes share counts once. It takes as
// long as there are mappings; past end, unless that is zero, it gives up, and what it
// has found is not the whole.
func (m *meter) measure(end time.Time) (used int64, whole bool, err error) {
	list, err := m.box.members()
	if err != nil {
		return 0, false, err
	}
	late := func() bool { return !end.IsZero() && time.Now().After(end) }
	sum, mapped := m.onTmpfs(), int64(0)
	held := sum
	for _, pid := range list {
		if late() {
			return sum, false, nil
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
				return sum, false, nil
			}
			sum -= mappedFrom(pid, m.dev)
		}
	}
	sum += m.unmapped(list, held+mapped, mapped, late)
	return sum, !late(), nil
}

// members lists the processes of the box. Not all are those that descend from
// PID 1 and are found before their parents end; the others are found by the
// next look at all.
func (m *meter) members(all bool) ([]int, error) {
	if all {
		return m.box.members()
	}
	if _, err := m.box.namespace(); err != nil {
		return nil, err
	}
	list := []int{m.box.pid}
	for i := 0; i < len(list); i++ {
		list = append(list, children(list[i])...)
	}
	return list[1:], nil
}

// children are those of all threads of a process (proc_tid_children(5)).
func children(pid int) (list []int) {
	dir := fmt.Sprintf("/proc/%d/task/", pid)
	tasks, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer tasks.Close()
	names, _ := tasks.Readdirnames(-1)
	for _, tid := range names {
		data, err := os.ReadFile(dir + tid + "/children")
		if err != nil {
			continue
		}
		for _, word := range bytes.Fields(data) {
			if n, err := strconv.Atoi(string(word)); err == nil {
				list = append(list, n)
			}
		}
	}
	return list
}

// mappedFrom is a process's part of the files on the devices that it has mapped.
func mappedFrom(pid int, dev map[string]bool) (sum int64) {
	forMappings(pid, "smaps", func(_ []byte, device string) bool { return dev[device] }, func(key, value []byte) {
		if string(key) == "Pss" {
			n, _ := strconv.ParseInt(string(bytes.Fields(value)[0]), 10, 64)
			sum += n << 10
		}
	})
	return sum
}

// forMappings calls property with each property of the mappings that are wanted,
// by their line in /proc/PID/smaps and the device of their file.
func forMappings(pid int, file string, wanted func(line []byte, device string) bool, property func(key, value []byte)) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, file))
	if err != nil {
		return
	}
	in := false
	for line := range bytes.Lines(data) {
		field := bytes.Fields(line)
		switch {
		case len(field) >= 5 && bytes.IndexByte(field[0], '-') > 0:
			in = wanted(line, string(field[3]))
		case in && len(field) >= 2:
			property(bytes.TrimSuffix(field[0], []byte{':'}), line[len(field[0]):])
		}
	}
}
