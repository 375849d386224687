package main

import "golang.org/x/sys/unix"

// unsweepable are calls that end the child, jump somewhere, wait for ever when
// given zeros, or share the stack with their child.
var unsweepable = map[uintptr]bool{
	unix.SYS_EXIT: true, unix.SYS_EXIT_GROUP: true, unix.SYS_RT_SIGRETURN: true, unix.SYS_PAUSE: true,
	unix.SYS_SELECT: true, unix.SYS_PSELECT6: true, unix.SYS_PPOLL: true, unix.SYS_VFORK: true, unix.SYS_FORK: true,
	335: true, 336: true, // uretprobe and uprobe: traps for the kernel's own use
}
