package containerd

/*
#include <stdlib.h>
#include "join.h"
*/
import "C" // for the fork alone

import (
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// join starts it in a user namespace that there is, and in which it is root.
func (c *child) join(userns *os.File, socket int, args []string) (err error) {
	text := func(s string) *C.char { return C.CString(s) }
	list := make([]*C.char, len(args)+1)
	for i, a := range args {
		list[i] = text(a)
	}
	path := text("/proc/self/exe")
	defer func() {
		for _, s := range append(list, path) {
			C.free(unsafe.Pointer(s))
		}
	}()
	var pin runtime.Pinner
	defer pin.Unpin()
	none := make([]*C.char, 1)
	pin.Pin(&list[0])
	pin.Pin(&none[0])
	j := C.struct_join{path: path, argv: &list[0], envp: &none[0], userns: C.int(userns.Fd()), socket: C.int(socket)}
	if c.pid = int(C.join(&j)); c.pid < 0 {
		return os.NewSyscallError("clone", syscall.Errno(-c.pid))
	}
	if c.pidfd, err = unix.PidfdOpen(c.pid, 0); err != nil {
		c.socket.Close() // it ends
		syscall.Wait4(c.pid, nil, 0, nil)
	}
	return err
}
