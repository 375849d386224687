package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// sweep calls every number from 0 to 500 with six zeros, each in a child of its
// own, and writes one line per number to the file out: the number and the name
// of the error, "ok", the signal, or "blocks". Numbers that would end the child
// or jump are written as "skipped".
func sweep(out string) (err error) {
	f, err := os.OpenFile(out, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	for nr := uintptr(0); nr <= 500; nr++ {
		word, err := zeros(nr)
		if err != nil {
			return fmt.Errorf("call %d: %w", nr, err)
		}
		fmt.Fprintf(w, "%d %s\n", nr, word)
	}
	return w.Flush()
}

// zeros makes call nr and says what it returned.
func zeros(nr uintptr) (string, error) {
	if unsweepable[nr] {
		return "skipped", nil
	}
	mem, err := unix.Mmap(-1, 0, int(unsafe.Sizeof(slot{})), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		return "", fmt.Errorf("mmap: %w", err)
	}
	defer unix.Munmap(mem)
	slots := unsafe.Slice((*slot)(unsafe.Pointer(&mem[0])), 1)
	pid, errno := fork([]call{{nr: nr}}, slots)
	if errno != 0 {
		return "", fmt.Errorf("fork: %w", errno)
	}
	ws, ended, err := await(int(pid), 2*time.Second)
	if nr == unix.SYS_MSGGET && slots[0].done != 0 && slots[0].errno == 0 {
		_ = raw(unix.SYS_MSGCTL, slots[0].ret, unix.IPC_RMID, nil) // it would stay
	}
	switch {
	case err != nil:
		return "", err
	case slots[0].done == 0 && !ended:
		return "blocks", nil
	case slots[0].done == 0 && ws.Signaled():
		return signalled(ws.Signal()).Error(), nil
	case slots[0].done == 0:
		return fmt.Sprintf("ended %#x", int(ws)), nil
	case slots[0].errno != 0:
		return unix.ErrnoName(unix.Errno(slots[0].errno)), nil
	default:
		return "ok", nil
	}
}

// await waits for a child, and ends it when it takes too long.
func await(pid int, limit time.Duration) (ws unix.WaitStatus, ended bool, err error) {
	for end := time.Now().Add(limit); ; time.Sleep(200 * time.Microsecond) {
		got, err := unix.Wait4(pid, &ws, unix.WNOHANG|unix.WUNTRACED, nil)
		if err != nil && err != unix.EINTR {
			return ws, false, fmt.Errorf("wait: %w", err)
		}
		if got == pid && !ws.Stopped() {
			return ws, true, nil
		}
		if time.Now().After(end) {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				return ws, false, fmt.Errorf("kill: %w", err)
			}
			_, err := unix.Wait4(pid, &ws, 0, nil)
			return ws, false, err
		}
	}
}
