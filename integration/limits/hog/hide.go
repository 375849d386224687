package main

import (
	"math"
	"os"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// hide fills memfds, and keeps them where neither the process's table of descriptors nor
// its resident memory has them.
func hide(where string, all int64, total *atomic.Int64) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	must(err)
	ready := make(chan struct{})
	work := func() {
		defer close(ready)
		if where == "thread" { // with a table of its own
			runtime.LockOSThread()
			must(unix.CloseRange(math.MaxInt32, math.MaxInt32, unix.CLOSE_RANGE_UNSHARE))
		}
		block := make([]byte, chunk)
		for at := int64(0); at < all; at += chunk {
			fd, err := unix.MemfdCreate("hog", 0)
			must(err)
			if n, err := unix.Write(fd, block); n < chunk {
				fail("hog: %d bytes written, %v", n, err)
			}
			switch where {
			case "mapped": // and never touched; of one page hangs the whole file
				_, err = unix.Mmap(fd, 0, 4096, unix.PROT_READ, unix.MAP_SHARED)
				must(err)
			case "inflight":
				must(unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(fd), nil, 0))
			}
			if where != "thread" {
				must(unix.Close(fd))
			}
			total.Add(chunk)
		}
	}
	if where != "thread" {
		work()
		return
	}
	go func() { work(); select {} }() // the thread stays
	<-ready
}

// endMain ends the main thread; this goroutine goes on in another.
func endMain() {
	ended := make(chan struct{})
	try := func() {
		runtime.LockOSThread() // each holds a thread, until one of them has the main one
		if unix.Gettid() == os.Getpid() {
			close(ended)
			unix.Syscall(unix.SYS_EXIT, 0, 0, 0)
		}
		<-ended
		runtime.UnlockOSThread()
	}
	for range 16 { // more than there are idle
		go try()
	}
	<-ended
}
