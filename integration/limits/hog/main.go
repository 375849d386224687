// Command hog uses up what a machine has. What it has managed to take it counts in
// a file, so that its end does not end the count.
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func main() {
	defer func() {
		if f, failed := recover().(failure); failed {
			fmt.Fprintln(os.Stderr, f)
			os.Exit(3)
		}
	}()
	if len(os.Args) < 2 {
		fail("usage: hog VERB [ARG...]")
	}
	arg := func(i int) string {
		if i+1 >= len(os.Args) {
			fail("hog %s: argument %d is missing", os.Args[1], i)
		}
		return os.Args[i+1]
	}
	if os.Args[1] == "await" { // a file, and then do the rest
		for file := arg(1); unix.Access(file, unix.F_OK) != nil; {
			time.Sleep(10 * time.Millisecond)
		}
		arg(2)
		os.Args = append(os.Args[:1], os.Args[3:]...)
	}
	switch os.Args[1] {
	case "read":
		fmt.Fprintln(os.Stderr, "reading")
		_, err := os.ReadFile(arg(1))
		must(err)
	case "memory":
		memory(arg(1), arg(2), number(arg(3)), int64(number(arg(4)))<<20)
	case "fill":
		fill(arg(1), arg(2), int64(number(arg(3)))<<20)
	case "pieces":
		pieces(arg(1), number(arg(2)), number(arg(3)), int64(number(arg(4)))<<20)
	case "piece":
		piece(number(arg(1)))
	case "forks":
		forks(count(arg(1)))
	case "threads":
		threads(count(arg(1)))
	case "spin":
		spin(number(arg(1)))
	case "wake":
		wake(number(arg(1)))
	case "disk":
		fmt.Println(disk(arg(1), arg(2), int64(number(arg(3)))<<20))
	case "inotify":
		n := 0
		for ; n < 100_000; n++ {
			if _, err := unix.InotifyInit1(0); err != nil {
				break
			}
		}
		fmt.Println(n)
		io.Copy(io.Discard, os.Stdin) // with all of them
	case "daemon":
		daemon(arg(1))
	case "stubborn":
		stubborn(arg(1))
	case "answer":
		answer()
	case "flood":
		flood(arg(1))
	case "sleep":
		sleep()
	default:
		fail("hog: cannot %q", os.Args[1])
	}
}

// failure is what main ends with.
type failure string

func fail(format string, args ...any) { panic(failure(fmt.Sprintf(format, args...))) }

func must(err error) {
	if err != nil {
		fail("hog: %v", err)
	}
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	must(err)
	return n
}

func sleep() {
	for {
		time.Sleep(time.Hour)
	}
}

// count is a number in a file that all processes share.
func count(file string) *atomic.Int64 {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o666)
	must(err)
	must(f.Truncate(4096))
	m, err := unix.Mmap(int(f.Fd()), 0, 4096, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(err)
	return (*atomic.Int64)(unsafe.Pointer(&m[0]))
}

// memory has n processes take so much each, all at once.
func memory(kind, file string, n int, each int64) {
	var all []*exec.Cmd
	for range n {
		cmd := exec.Command(os.Args[0], "fill", kind, file, strconv.FormatInt(each>>20, 10))
		cmd.Stderr = os.Stderr
		must(cmd.Start())
		all = append(all, cmd)
	}
	failed := false
	for _, cmd := range all {
		failed = cmd.Wait() != nil || failed
	}
	for _, cmd := range all {
		if status := cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signaled() {
			time.Sleep(time.Minute) // and so will be the rest
		}
	}
	fmt.Println("took all", !failed)
}

const chunk = 1 << 20

// fill takes memory of one kind, and counts it.
func fill(kind, file string, all int64) {
	total := count(file)
	var m []byte
	var err error
	anonymous := func(flags int) []byte {
		m, err := unix.Mmap(-1, 0, int(all), unix.PROT_READ|unix.PROT_WRITE, flags|unix.MAP_ANONYMOUS)
		must(err)
		return m
	}
	take := func(part []byte) {
		for i := 0; i < len(part); i += 4096 {
			part[i] = 1
		}
	}
	switch kind {
	case "private":
		m = anonymous(unix.MAP_PRIVATE)
	case "headless": // the main thread has ended
		endMain()
		m = anonymous(unix.MAP_PRIVATE)
	case "memfd-mapped", "memfd-inflight", "memfd-thread":
		hide(strings.TrimPrefix(kind, "memfd-"), all, total)
	case "shared":
		m = anonymous(unix.MAP_SHARED)
	case "dropped": // its pages are there still, but in no process
		m = anonymous(unix.MAP_SHARED)
		take = func(part []byte) {
			for i := 0; i < len(part); i += 4096 {
				part[i] = 1
			}
			must(unix.Madvise(part, unix.MADV_DONTNEED))
		}
	case "memfd", "shm", "file":
		var fd int
		switch kind {
		case "memfd":
			fd, err = unix.MemfdCreate("hog", 0)
		case "shm":
			fd, err = unix.Open(fmt.Sprintf("/dev/shm/%d", os.Getpid()), unix.O_RDWR|unix.O_CREAT, 0o600)
		case "file":
			fd, err = unix.Open(file+".mapped", unix.O_RDWR|unix.O_CREAT, 0o600)
		}
		must(err)
		if kind == "file" {
			must(unix.Ftruncate(fd, all))
			m, err = unix.Mmap(fd, 0, int(all), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			must(err)
			break
		}
		block := make([]byte, chunk)
		binary.LittleEndian.PutUint64(block, 1)
		for at := int64(0); at < all; at += chunk {
			if n, err := unix.Write(fd, block); n < chunk {
				fail("hog: %d bytes written, %v", n, err)
			}
			total.Add(chunk)
		}
	default:
		fail("hog: no memory of the kind %q", kind)
	}
	for at := 0; at < len(m); at += chunk {
		take(m[at : at+chunk])
		total.Add(chunk)
	}
	runtime.KeepAlive(m)
	if kind != "file" {
		time.Sleep(time.Second) // with all that is taken
	}
}

// forks starts processes that start processes, and never stops trying.
func forks(total *atomic.Int64) {
	runtime.LockOSThread()
	for {
		pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
		switch {
		case errno != 0:
			unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
		case pid == 0:
			total.Add(1)
		}
	}
}

// threads starts as many as it can.
func threads(total *atomic.Int64) {
	for range 100_000 {
		go func() {
			runtime.LockOSThread()
			total.Add(1) // there is a thread: this runs
			for {
				unix.Pause() // until a signal, such as the runtime's own; ended, it would be counted again
			}
		}()
		time.Sleep(100 * time.Microsecond)
	}
	fmt.Println("took all true")
}

func spin(n int) {
	for range n {
		go func() {
			for i := 0; ; i++ {
			}
		}()
	}
	fmt.Println("spinning")
	sleep()
}

// wake has n processes that wake all others for ever.
func wake(n int) {
	if n > 1 {
		must(exec.Command(os.Args[0], "wake", strconv.Itoa(n-1)).Start())
	}
	fmt.Println("waking")
	for {
		unix.Kill(-1, unix.SIGCONT)
	}
}

// daemon leaves a process behind that has nothing to do with this one any more,
// and that heeds no signal.
func daemon(depth string) {
	if depth != "0" {
		cmd := exec.Command(os.Args[0], "daemon", strconv.Itoa(number(depth)-1))
		cmd.SysProcAttr = &unix.SysProcAttr{Setsid: true}
		must(cmd.Start())
		return
	}
	for sig := unix.Signal(1); sig < 32; sig++ {
		ignore(sig)
	}
	sleep()
}

// shareSize is what pieces share.
const shareSize = 32 << 20

// pieces has n processes share memory, so that it seems to be much, and each of them
// have so many mappings that it takes long to measure them. Then it takes memory
// that it does not share.
func pieces(file string, n, mappings int, most int64) {
	count(file)
	fd, err := unix.MemfdCreate("hog", 0)
	must(err)
	shared := os.NewFile(uintptr(fd), "hog")
	must(shared.Truncate(shareSize))
	for range n {
		cmd := exec.Command(os.Args[0], "piece", strconv.Itoa(mappings))
		cmd.ExtraFiles, cmd.Stderr = []*os.File{shared}, os.Stderr
		ready, err := cmd.StdoutPipe()
		must(err)
		must(cmd.Start())
		if _, err := ready.Read(make([]byte, 1)); err != nil {
			fail("hog: piece: %v", err)
		}
	}
	fmt.Println("ready")
	fill("private", file, most)
}

// piece is one of those processes.
func piece(mappings int) {
	m, err := unix.Mmap(3, 0, shareSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	must(err)
	for i := 0; i < len(m); i += 4096 {
		m[i] = 1
	}
	const page = 4096
	all, err := unix.Mmap(-1, 0, 2*mappings*page, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_NORESERVE)
	must(err)
	for at := 0; at < len(all); at += 2 * page {
		must(unix.Mprotect(all[at:at+page], unix.PROT_READ))
	}
	fmt.Println("ready")
	sleep()
}
