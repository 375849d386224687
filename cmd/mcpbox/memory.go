package main

import (
	"bufio"
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// settleTime is how long after the start of a server mcpbox takes itself to be
// done with starting it.
const settleTime = time.Second

// settle does what can wait until then, and gives back the memory that only the
// start needed: one launcher stays for each server of each user, and after its
// start all it does is to relay.
func settle(waits func()) (cancel func() bool) {
	return time.AfterFunc(settleTime, func() {
		waits()
		debug.FreeOSMemory()
		dropText()
	}).Stop
}

// dropText lets go of the program's own code and constants. What is needed
// again comes back from the page cache, where it is shared (madvise(2),
// MADV_DONTNEED: "subsequent accesses of pages in the range will succeed, but
// will result in repopulating the memory contents from the up-to-date contents
// of the underlying mapped file").
//
// A mapping that has been written to is left alone, also one that is read-only
// by now: the loader has put addresses there that the file does not have (ld(1),
// -z relro).
func dropText() {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer maps.Close()
	var from, to uintptr // a mapping of the program's, or nothing
	for s := bufio.NewScanner(maps); s.Scan(); {
		fields := strings.Fields(s.Text())
		switch {
		case len(fields) > 1 && fields[0] == "Anonymous:":
			if fields[1] == "0" && from < to {
				// By system call: package unix takes slices, and this is no
				// memory of Go's. A failure costs memory, nothing else.
				unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED)
			}
		case len(fields) > 0 && strings.HasSuffix(fields[0], ":"):
			// Another property of the same mapping.
		default:
			from, to = 0, 0
			if len(fields) == 6 && fields[5] == self && (fields[1] == "r-xp" || fields[1] == "r--p") {
				if _, err := fmt.Sscanf(fields[0], "%x-%x", &from, &to); err != nil {
					return
				}
			}
		}
	}
}
