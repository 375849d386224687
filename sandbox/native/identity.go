package native

import (
	"bufio"
	"fmt"
	"os"
	"syscall"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
)

// identity is a user and a group of the host.
type identity struct{ uid, gid int }

// boxUIDBase is where the box's users begin when mcpbox runs as root: far above
// the ranges of people, services and containers, so that they own nothing. The
// launcher's PID is added; two live boxes never share one.
const (
	boxUIDBase = 2_130_706_432
	maxPID     = 1 << 22
)

// BoxUser returns the user and group that a box started by this process runs
// as: this process's own, or, if that is root, ones that own nothing on this
// machine. A box is never root on the host: as such it would read what only
// root may read, and leave set-id files behind.
func BoxUser() (uid, gid int, err error) {
	if os.Geteuid() != os.Getuid() || os.Getegid() != os.Getgid() {
		return 0, 0, fmt.Errorf("mcpbox must not be installed set-id")
	}
	if os.Geteuid() != 0 {
		return os.Geteuid(), os.Getegid(), nil
	}
	u, err := unusedID("/proc/self/uid_map")
	if err != nil {
		return 0, 0, err
	}
	g, err := unusedID("/proc/self/gid_map")
	return u, g, err
}

// ContainerRoot returns the user and group that a container runtime may map root of
// a container to: ones that own nothing either, and that the box's user is not. They
// are the same for every user; whoever runs a container has root do it.
func ContainerRoot() (uid, gid int) {
	id := boxUIDBase - 1 - os.Getpid()%maxPID
	return id, id
}

// unusedID picks an id that is mapped in this user namespace.
func unusedID(mapFile string) (int, error) {
	f, err := os.Open(mapFile)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	want := boxUIDBase + os.Getpid()%maxPID
	fallback := 0
	for s := bufio.NewScanner(f); s.Scan(); {
		var first, outside, count int
		if _, err := fmt.Sscan(s.Text(), &first, &outside, &count); err != nil {
			return 0, fmt.Errorf("%s: %w", mapFile, err)
		}
		if want >= first && want-first < count {
			return want, nil
		}
		// In a container: the upper half of the largest range it was given.
		if count >= 2048 {
			fallback = max(fallback, first+count-1-os.Getpid()%(count/2))
		}
	}
	if fallback == 0 {
		return 0, &sandbox.UnsupportedError{
			Feature: "running as root",
			Reason:  "this user namespace has no user but root to run the box as",
			Fix:     "start mcpbox as an ordinary user",
		}
	}
	return fallback, nil
}

// idMaps holds one user namespace per owner, each alive as long as its file.
type idMaps struct {
	box identity
	ns  map[identity]*os.File
}

func newIDMaps(box identity) *idMaps { return &idMaps{box, map[identity]*os.File{}} }

// namespace returns a user namespace in which owner is the box's user.
func (m *idMaps) namespace(owner identity) (*os.File, error) {
	if ns, ok := m.ns[owner]; ok {
		return ns, nil
	}
	// The namespace needs a process to be born in: one that is stopped before
	// its first instruction, and killed.
	pid, err := syscall.ForkExec("/proc/self/exe", []string{wire.Arg0}, &syscall.ProcAttr{
		Env: []string{},
		Sys: &syscall.SysProcAttr{
			Ptrace:      true,
			Pdeathsig:   syscall.SIGKILL,
			Cloneflags:  syscall.CLONE_NEWUSER,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: owner.uid, HostID: m.box.uid, Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: owner.gid, HostID: m.box.gid, Size: 1}},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("user namespace for mapped mounts: %w", err)
	}
	defer func() {
		syscall.Kill(pid, syscall.SIGKILL)
		syscall.Wait4(pid, nil, 0, nil)
	}()
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/user", pid))
	if err != nil {
		return nil, err
	}
	m.ns[owner] = ns
	return ns, nil
}

func (m *idMaps) close() {
	for _, ns := range m.ns {
		ns.Close()
	}
}
