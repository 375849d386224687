package main

import (
	"fmt"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// call is one raw system call. Where use[i] is n > 0, argument i is the result
// of the nth call of the same sequence, counted from 1.
type call struct {
	nr   uintptr
	args [6]uintptr
	use  [6]int
}

// result stands for the result of the nth call before, counted from 1, as an
// argument to [sys].
type result int

// arena keeps what system calls point at alive: the numbers in a call are not
// pointers to the garbage collector. The process is short-lived.
var arena []any

// sys makes a call. Arguments are integers, strings, byte slices, pointers or
// [result]s.
func sys(nr uintptr, args ...any) call {
	c := call{nr: nr}
	for i, a := range args {
		switch a := a.(type) {
		case int:
			c.args[i] = uintptr(a)
		case uintptr:
			c.args[i] = a
		case uint64:
			c.args[i] = uintptr(a)
		case string:
			b := append([]byte(a), 0)
			arena = append(arena, b)
			c.args[i] = uintptr(unsafe.Pointer(&b[0]))
		case []byte:
			arena = append(arena, a)
			c.args[i] = uintptr(unsafe.Pointer(&a[0]))
		case unsafe.Pointer:
			arena = append(arena, a)
			c.args[i] = uintptr(a)
		case result:
			c.use[i] = int(a)
		case nil:
		default:
			panic(fmt.Sprintf("argument %d of call %d: %T", i, nr, a))
		}
	}
	return c
}

// slot is where a child writes down what a call returned.
type slot struct{ ret, errno, done uintptr }

// forked makes the calls in a single-threaded child, up to the first that
// fails, and returns what the last one made returned, which one that was, and
// its error: an errno, or [signalled] if the child did not live to tell.
//
// Many calls are refused to programs of several threads, such as this one, and
// change the process for good: hence the child. It is a plain fork; between
// fork and exit it makes system calls only.
func forked(calls ...call) (ret uintptr, at int, err error) {
	size := len(calls) * int(unsafe.Sizeof(slot{}))
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANONYMOUS)
	if err != nil {
		return 0, 0, fmt.Errorf("mmap: %w", err)
	}
	slots := unsafe.Slice((*slot)(unsafe.Pointer(&mem[0])), len(calls))

	pid, errno := fork(calls, slots)
	if errno != 0 {
		return 0, 0, fmt.Errorf("fork: %w", errno)
	}
	var ws unix.WaitStatus
	for {
		if _, err = unix.Wait4(int(pid), &ws, unix.WALL, nil); err != unix.EINTR {
			break
		}
	}
	if err != nil {
		return 0, 0, fmt.Errorf("wait: %w", err)
	}
	for i, s := range slots {
		switch {
		case s.done == 0 && ws.Signaled():
			return 0, i, signalled(ws.Signal())
		case s.done == 0:
			return 0, i, fmt.Errorf("child ended with status %#x", int(ws))
		case s.errno != 0:
			return s.ret, i, syscall.Errno(s.errno)
		}
		ret, at = s.ret, i
	}
	return ret, at, nil
}

// fork is the part of forked that must not be disturbed.
//
//go:norace
//go:nocheckptr
//go:noinline
func fork(calls []call, slots []slot) (uintptr, syscall.Errno) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	syscall.ForkLock.Lock()
	pid, _, errno := syscall.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if pid != 0 || errno != 0 {
		syscall.ForkLock.Unlock()
		return pid, errno
	}
	follow(calls, slots)
	for {
		syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
		syscall.RawSyscall(unix.SYS_EXIT, 0, 0, 0)
	}
}

// follow makes the calls in the child. A grandchild made by one of them stays
// until they are over: it is there to be a target.
//
//go:norace
//go:nosplit
func follow(calls []call, slots []slot) {
	for i := range calls {
		c := &calls[i]
		a := &c.args
		for j := range a {
			if n := c.use[j]; n > 0 {
				a[j] = slots[n-1].ret
			}
		}
		ret, _, errno := syscall.RawSyscall6(c.nr, a[0], a[1], a[2], a[3], a[4], a[5])
		if ret == 0 && errno == 0 && forks(c.nr) {
			for range 2000 {
				if over(slots) {
					break
				}
				ts := syscall.Timespec{Nsec: 1e6}
				syscall.RawSyscall(unix.SYS_NANOSLEEP, uintptr(unsafe.Pointer(&ts)), 0, 0)
			}
			for {
				syscall.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
			}
		}
		slots[i] = slot{ret: ret, errno: uintptr(errno), done: 1}
		if errno != 0 {
			return
		}
	}
}

// over reports whether the last call was made, or one failed.
//
//go:norace
//go:nosplit
func over(slots []slot) bool {
	for i := range slots {
		if slots[i].errno != 0 {
			return true
		}
	}
	return slots[len(slots)-1].done != 0
}

//go:norace
//go:nosplit
func forks(nr uintptr) bool { return nr == unix.SYS_CLONE || nr == unix.SYS_CLONE3 }

// attempted is the outcome of calls made in a child.
func attempted(calls ...call) outcome {
	ret, at, err := forked(calls...)
	if err != nil {
		o := by(err)
		o.detail = fmt.Sprintf("call %d of %d: %v", at+1, len(calls), err)
		return o
	}
	return outcome{ok: true, ret: int64(ret)}
}

// privileged is the outcome of calls that want a capability: made as they
// stand and, where that fails, once more inside new namespaces of the
// attacker's own, which is how any user gets capabilities over a part of the
// kernel. The error is that of the direct attempt.
func privileged(namespaces int, calls ...call) outcome {
	o := attempted(calls...)
	if o.ok {
		return o
	}
	inside := []call{sys(unix.SYS_UNSHARE, unix.CLONE_NEWUSER|namespaces)}
	for _, c := range calls {
		for i, n := range c.use {
			if n > 0 {
				c.use[i] = n + 1
			}
		}
		inside = append(inside, c)
	}
	if again := attempted(inside...); again.ok {
		again.detail = "in a user namespace of its own"
		return again
	} else {
		o.detail += "; in a user namespace of its own: " + again.detail
	}
	return o
}
