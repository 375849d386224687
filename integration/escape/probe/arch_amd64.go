package main

import (
	"fmt"
	"unsafe"

	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

// textAddress is where the linker puts the code of a static Go program.
const textAddress = 0x401000

// int80 makes a system call through the 32-bit door, with 32-bit numbers.
//
//go:noescape
func int80(nr, a, b, c uintptr) uintptr

// archAttacks use system call numbers of other architectures, which a filter
// for this one does not know.
var archAttacks = []attack{
	{"S-1/int80", "calls the kernel through the 32-bit door", func(*escape.Scenario) outcome {
		const getpid = 20
		return by32(int80(getpid, 0, 0, 0))
	}},
	{"S-1/int80-socket", "opens a UNIX socket through the 32-bit door", func(*escape.Scenario) outcome {
		const socketcall, socket = 102, 1
		// The arguments must lie where 32 bits reach.
		b, err := unix.Mmap(-1, 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_32BIT)
		if err != nil {
			return by(err)
		}
		args := (*[3]uint32)(unsafe.Pointer(&b[0]))
		*args = [3]uint32{unix.AF_UNIX, unix.SOCK_STREAM, 0}
		return by32(int80(socketcall, socket, uintptr(unsafe.Pointer(args)), 0))
	}},
	{"S-1/int80-keyctl", "asks for a keyring through the 32-bit door", func(*escape.Scenario) outcome {
		const keyctl, session = 288, -3
		return by32(int80(keyctl, unix.KEYCTL_GET_KEYRING_ID, uintptr(uint32(1<<32+session)), 0))
	}},
	{"S-1/x32", "calls the kernel with numbers of the x32 ABI", func(*escape.Scenario) outcome {
		const x32 = 0x40000000
		return attempted(sys(x32 | unix.SYS_GETPID))
	}},
	{"P-7/modify-ldt", "makes memory segments of its own", func(*escape.Scenario) outcome {
		return attempted(sys(unix.SYS_MODIFY_LDT, 0, make([]byte, 16), 16))
	}},
	admin("P-7/iopl", "talks to hardware ports", unix.SYS_IOPL, 3),
}

// by32 is the outcome of a 32-bit system call.
func by32(ret uintptr) outcome {
	if e := int32(ret); e < 0 && e > -4096 {
		return by(unix.Errno(-e))
	}
	return outcome{ok: true, ret: int64(int32(ret)), detail: fmt.Sprintf("returned %d", int32(ret))}
}
