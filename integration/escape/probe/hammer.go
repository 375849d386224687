package main

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// hammer tries, for a time, to open every program that a process runs for
// writing, by each way that has worked for somebody (CVE-2019-5736), and says
// how often it tried and how often it could.
func hammer(d time.Duration) error {
	tries, opened := 0, 0
	for end := time.Now().Add(d); time.Now().Before(end); {
		for _, pid := range append(pids(), "self", "thread-self") {
			exe := "/proc/" + pid + "/exe"
			for _, flags := range []int{unix.O_RDWR, unix.O_WRONLY, unix.O_WRONLY | unix.O_TRUNC, unix.O_RDWR | unix.O_APPEND} {
				tries++
				if scribbled(exe, flags) {
					opened++
				}
			}
			held, err := unix.Open(exe, unix.O_PATH|unix.O_CLOEXEC, 0)
			if err != nil {
				continue
			}
			tries++
			if scribbled(procFD(held), unix.O_RDWR) {
				opened++
			}
			unix.Close(held)
		}
	}
	fmt.Printf("%d tries, %d opened\n", tries, opened)
	return nil
}

// scribbled opens path and, if that goes, writes there.
func scribbled(path string, flags int) bool {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	_, _ = unix.Write(fd, []byte("#!/bin/sh\n"))
	return true
}
