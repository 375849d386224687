package native

/*
#include <stdlib.h>
#include "spawn.h"
*/
import "C" // for the fork alone

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"syscall"
	"unsafe"

	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"golang.org/x/sys/unix"
)

// namespaces are all but time, which a box does not need, and cgroup, which stage
// 1 makes once it is in the cgroup that is to be the root of it.
const namespaces = unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID | unix.CLONE_NEWNET |
	unix.CLONE_NEWIPC | unix.CLONE_NEWUTS

// fork starts stage 1 in its namespaces, with files as 0, 1, 2 and so on, and
// reaps it. The thread that forks also waits, because Pdeathsig fires when that
// thread ends, not when the process does (prctl(2), PR_SET_PDEATHSIG).
func (b *box) fork(id identity, files []*os.File) error {
	readyR, readyW, err := os.Pipe()
	if err != nil {
		return err
	}
	defer readyR.Close()
	goR, goW, err := os.Pipe()
	if err != nil {
		readyW.Close()
		return err
	}
	defer goW.Close()

	s := newSpawn(files, readyW, goR, goW)
	forked := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		b.group.Enter()
		pid := C.spawn(s, C.int(namespaces))
		b.group.Leave()
		readyW.Close()
		goR.Close()
		if pid < 0 {
			forked <- syscall.Errno(-pid)
			return
		}
		var err error
		if s.error != 0 {
			err = syscall.Errno(s.error)
		}
		forked <- err // from here on s may be gone
		b.reap(int(pid))
	}()

	// The forking thread is suspended until the child, which waits for its
	// maps, goes on.
	var mapErr error
	if n, _ := readyR.Read(make([]byte, 1)); n == 1 {
		b.pid = int(atomic.LoadInt32((*int32)(unsafe.Pointer(&s.pid))))
		if mapErr = b.adopt(id); mapErr == nil {
			_, mapErr = goW.Write([]byte{1})
		}
	}
	goW.Close()
	err = <-forked
	freeSpawn(s)
	if err == nil && mapErr != nil {
		err = mapErr
	}
	if err != nil {
		return cloneError(err)
	}
	return nil
}

func newSpawn(files []*os.File, ready, gate, gateEnd *os.File) *C.struct_spawn {
	s := (*C.struct_spawn)(C.calloc(1, C.sizeof_struct_spawn))
	s.path = C.CString(fmt.Sprintf("/proc/self/fd/%d", wire.FDInit))
	s.argv[0], s.argv[1] = C.CString(wire.Arg0), C.CString(wire.Stage1)
	for i, text := range wire.StageEnv {
		s.envp[i] = C.CString(text)
	}
	for i, f := range files {
		s.fds[i] = C.int(f.Fd())
	}
	s.ready, s._go, s.go_end = C.int(ready.Fd()), C.int(gate.Fd()), C.int(gateEnd.Fd())
	if os.Geteuid() == 0 {
		// Root's own ids are not mapped: the child becomes the one that is,
		// and leaves root's groups.
		s.root = 1
	}
	return s
}

func freeSpawn(s *C.struct_spawn) {
	for _, text := range []*C.char{s.path, s.argv[0], s.argv[1], s.envp[0], s.envp[1], s.envp[2]} {
		C.free(unsafe.Pointer(text))
	}
	C.free(unsafe.Pointer(s))
}

// adopt opens the child's pidfd and writes the maps of its user namespace: uid
// 0 there is the box's user here, and keeps its capabilities over the exec.
func (b *box) adopt(id identity) error {
	pidfd, err := unix.PidfdOpen(b.pid, 0)
	if err != nil {
		return os.NewSyscallError("pidfd_open", err)
	}
	b.mu.Lock()
	b.pidfd = pidfd
	b.mu.Unlock()
	setgroups := "deny"
	if os.Geteuid() == 0 {
		setgroups = "allow" // it is used once, to leave root's groups
	}
	for _, f := range []struct{ name, text string }{
		{"setgroups", setgroups},
		{"uid_map", fmt.Sprintf("0 %d 1", id.uid)},
		{"gid_map", fmt.Sprintf("0 %d 1", id.gid)},
	} {
		file, err := os.OpenFile(fmt.Sprintf("/proc/%d/%s", b.pid, f.name), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = file.WriteString(f.text)
		if err := errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	return nil
}

// reap waits for PID 1, and so for the whole box.
func (b *box) reap(pid int) {
	for {
		_, err := unix.Wait4(pid, &b.ended, 0, &b.rusage)
		if err != unix.EINTR {
			break
		}
	}
	b.mu.Lock()
	if b.pidfd >= 0 {
		unix.Close(b.pidfd)
	}
	b.pidfd = -1
	b.mu.Unlock()
	b.noteGroup()
	b.group.Remove()
	close(b.done)
}
