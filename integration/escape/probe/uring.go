package main

import (
	"fmt"
	"unsafe"

	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

// ring is as much of io_uring as one request needs.
type ring struct {
	fd       int
	sq, sqes []byte
	params   uringParams
}

type uringParams struct {
	sqEntries, cqEntries, flags, sqThreadCPU, sqThreadIdle, features, wqFD uint32
	_                                                                      [3]uint32
	sqHead, sqTail, sqMask, sqSize, sqFlags, sqDropped, sqArray, _         uint32
	_                                                                      uint64
	cqHead, cqTail, cqMask, cqSize, cqOverflow, cqCQEs, cqFlags, _         uint32
	_                                                                      uint64
}

// submission is struct io_uring_sqe.
type submission struct {
	opcode, flags uint8
	ioprio        uint16
	fd            int32
	off, addr     uint64
	length, opt   uint32
	_             [4]uint64
}

var filterAttacks = []attack{
	{"E05/io-uring-socket", "opens a UNIX socket by way of io_uring, past any filter of socket()", func(s *escape.Scenario) outcome {
		r, err := newRing()
		if err != nil {
			return by(err)
		}
		const opSocket = 45
		fd, err := r.do(submission{opcode: opSocket, fd: unix.AF_UNIX, off: unix.SOCK_STREAM})
		if err != nil {
			return by(err)
		}
		if err := unix.Connect(int(fd), &unix.SockaddrUnix{Name: s.In("project/host.sock")}); err != nil {
			return by(err)
		}
		return by(unix.Send(int(fd), []byte(word), 0))
	}},
	{"S-2/unfiltered", "finds a process or thread without a system call filter", func(*escape.Scenario) outcome {
		for _, pid := range pids() {
			if v := status(pid, "Seccomp"); v != "" && v != "2" {
				return saw(true, fmt.Sprintf("process %s: Seccomp %s", pid, v))
			}
		}
		return saw(false, "")
	}},
	{"S-3/nested-allow", "installs a filter that allows everything, then asks for a keyring", func(*escape.Scenario) outcome {
		const retAllow, bpfRet = 0x7fff0000, 0x06
		filter := []unix.SockFilter{{Code: bpfRet, K: retAllow}}
		program := &unix.SockFprog{Len: 1, Filter: &filter[0]}
		arena = append(arena, filter)
		return attempted(
			sys(unix.SYS_PRCTL, unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0),
			sys(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, 0, unsafe.Pointer(program)),
			sys(unix.SYS_KEYCTL, unix.KEYCTL_GET_KEYRING_ID, unix.KEY_SPEC_SESSION_KEYRING, 0),
		)
	}},
}

func newRing() (*ring, error) {
	r := new(ring)
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 4, uintptr(unsafe.Pointer(&r.params)), 0)
	if errno != 0 {
		return nil, fmt.Errorf("io_uring_setup: %w", errno)
	}
	r.fd = int(fd)
	var err error
	const sqOffset, sqeOffset = 0, 0x10000000
	prot, flags := unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE
	if r.sq, err = unix.Mmap(r.fd, sqOffset, 4096, prot, flags); err != nil {
		return nil, fmt.Errorf("map the ring: %w", err)
	}
	if r.sqes, err = unix.Mmap(r.fd, sqeOffset, 4096, prot, flags); err != nil {
		return nil, fmt.Errorf("map the entries: %w", err)
	}
	return r, nil
}

// do submits one request and returns its result. Both rings share one mapping
// on every kernel that knows the socket request.
func (r *ring) do(e submission) (int32, error) {
	at := func(off uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.sq[off])) }
	*(*submission)(unsafe.Pointer(&r.sqes[0])) = e
	*at(r.params.sqArray) = 0
	*at(r.params.sqTail)++
	const getEvents = 1
	if _, _, errno := unix.Syscall6(unix.SYS_IO_URING_ENTER, uintptr(r.fd), 1, 1, getEvents, 0, 0); errno != 0 {
		return 0, fmt.Errorf("io_uring_enter: %w", errno)
	}
	// struct io_uring_cqe: user data, then the result.
	if res := int32(*at(r.params.cqCQEs + 8)); res < 0 {
		return 0, unix.Errno(-res)
	} else {
		return res, nil
	}
}
