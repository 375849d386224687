package main

import "golang.org/x/sys/unix"

// unsweepable are calls that end the child, jump somewhere, or wait for ever
// when given zeros.
var unsweepable = map[uintptr]bool{
	unix.SYS_EXIT: true, unix.SYS_EXIT_GROUP: true, unix.SYS_RT_SIGRETURN: true,
	unix.SYS_PSELECT6: true, unix.SYS_PPOLL: true,
}
