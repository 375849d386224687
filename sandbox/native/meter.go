package native

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/mcpbox/mcpbox/sandbox/internal/memory"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"golang.org/x/sys/unix"
)

// meter measures the memory of a box.
type meter struct {
	*memory.Meter
	box    *box
	mounts []wire.Mount
	opened bool
	// overcounts is that a look has found far more than there was, which was used.
	overcounts bool
	used       int64
}

func newMeter(b *box, mounts []wire.Mount) *meter {
	return &meter{Meter: memory.NewMeter(), box: b, mounts: mounts}
}

// open opens the box's file systems in memory.
func (m *meter) open() {
	if m.opened {
		return
	}
	m.opened = true
	for _, mount := range m.mounts {
		if mount.Kind != "tmpfs" || mount.Attr&unix.MOUNT_ATTR_RDONLY != 0 {
			continue
		}
		m.AddMount(m.box.pid, mount.Target)
	}
	for _, s := range m.box.staged {
		if fd, err := unix.FcntlInt(s.Upper.Fd(), unix.F_DUPFD_CLOEXEC, 0); err == nil {
			m.AddStaged(os.NewFile(uintptr(fd), s.Source))
		}
	}
}

// look finds quickly what the box takes at most. With all, it looks for the processes
// everywhere.
func (m *meter) look(all bool) (int64, error) {
	list, err := m.members(all)
	if err != nil {
		return 0, err
	}
	return m.Look(list, m.box.limits.Memory), nil
}

// measure finds what the box takes, by end unless that is zero.
func (m *meter) measure(end time.Time) (used int64, whole bool, err error) {
	list, err := m.box.members()
	if err != nil {
		return 0, false, err
	}
	used, whole = m.Measure(list, end)
	return used, whole, nil
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
