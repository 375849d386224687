package escape

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// share makes shared memory, a message queue and a file in /dev/shm that
// everybody may read.
func (w *world) share() {
	w.SharedMemory = w.uid ^ int(time.Now().UnixNano()&0x7fffffff) | 1
	id, err := unix.SysvShmGet(w.SharedMemory, 4096, unix.IPC_CREAT|unix.IPC_EXCL|0o666)
	w.must(err)
	w.t.Cleanup(func() { _, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil) })

	w.Queue = w.Token
	name, err := unix.BytePtrFromString(w.Queue)
	w.must(err)
	attr := &struct{ flags, max, size, current, _, _, _, _ int }{max: 4, size: 64}
	mask := unix.Umask(0)
	fd, _, errno := unix.Syscall6(unix.SYS_MQ_OPEN, uintptr(unsafe.Pointer(name)), unix.O_CREAT|unix.O_RDWR, 0o666, uintptr(unsafe.Pointer(attr)), 0, 0)
	unix.Umask(mask)
	if errno != 0 {
		w.t.Fatalf("mq_open: %v", errno)
	}
	w.t.Cleanup(func() { _, _, _ = unix.Syscall(unix.SYS_MQ_UNLINK, uintptr(unsafe.Pointer(name)), 0, 0) })
	msg := []byte("message")
	if _, _, errno := unix.Syscall6(unix.SYS_MQ_TIMEDSEND, fd, uintptr(unsafe.Pointer(&msg[0])), uintptr(len(msg)), 0, 0, 0); errno != 0 {
		w.t.Fatalf("mq_send: %v", errno)
	}
	_ = unix.Close(int(fd))

	w.SharedFile = filepath.Join("/dev/shm", w.Token)
	w.must(os.WriteFile(w.SharedFile, []byte("shared"), 0o644))
	w.t.Cleanup(func() { _ = os.Remove(w.SharedFile) })
}

// neighbour starts a process of the world's user that ignores signals.
func (w *world) neighbour() {
	cmd := exec.Command(w.In("tools/probe"), "act", "stubborn", "victim")
	cmd.Env = []string{"NEIGHBOUR_TOKEN=" + w.Token}
	cmd.SysProcAttr = w.credential()
	out, err := cmd.StdoutPipe()
	w.must(err)
	w.must(cmd.Start())
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	up := make([]byte, 3)
	_, err = out.Read(up)
	w.must(err)
	w.Victim = cmd.Process.Pid
}

// credential makes a command run as the world's user.
func (w *world) credential() *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setsid: true}
	if os.Getuid() == 0 {
		attr.Credential = &syscall.Credential{Uid: uint32(w.uid), Gid: uint32(w.uid)}
	}
	return attr
}
