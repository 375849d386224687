package memory

import (
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

const size = 8 << 20

// never is a search that is not late.
func never() bool { return false }

// found is what this process holds, when it is looked for.
func found() holdings {
	h := holdings{files: map[file]bool{}}
	h.descriptors(os.Getpid(), never)
	h.mappings(os.Getpid(), never)
	return h
}

// filled is a memfd with something in it.
func filled(t *testing.T) int {
	t.Helper()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Error(err)
	}
	if n, err := unix.Write(fd, make([]byte, size)); n < size {
		t.Error(n, err)
	}
	return fd
}

// What a process keeps in a memfd is found, or it is known that there is something,
// wherever it keeps the file.
func TestHoldings(t *testing.T) {
	before := found()
	if before.unknown {
		t.Fatal("something is unknown from the start")
	}
	expect := func(t *testing.T, more int64, unknown bool) {
		t.Helper()
		if h := found(); h.sum != before.sum+more || h.unknown != unknown {
			t.Errorf("%d more, unknown %v, want %d and %v", h.sum-before.sum, h.unknown, more, unknown)
		}
	}
	closed := func(t *testing.T, fds ...int) {
		t.Helper()
		for _, fd := range fds {
			if err := unix.Close(fd); err != nil {
				t.Error(err)
			}
		}
		expect(t, 0, false)
	}
	t.Run("descriptors", func(t *testing.T) {
		fd := filled(t)
		other, err := unix.Dup(fd)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, size, false)
		closed(t, fd, other)
	})
	t.Run("mapping", func(t *testing.T) {
		fd := filled(t)
		m, err := unix.Mmap(fd, 0, os.Getpagesize(), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			t.Fatal(err)
		}
		expect(t, size, false) // once, and not as its mapping
		unix.Close(fd)
		// An ordinary user cannot ask for what the file holds.
		if h := found(); h.sum != before.sum+size && !h.unknown {
			t.Errorf("%d more, and nothing unknown", h.sum-before.sum)
		}
		if err := unix.Munmap(m); err != nil {
			t.Fatal(err)
		}
		closed(t)
	})
	for kind, typ := range map[string]int{"stream": unix.SOCK_STREAM, "datagram": unix.SOCK_DGRAM, "packet": unix.SOCK_SEQPACKET} {
		t.Run(kind, func(t *testing.T) {
			fd := filled(t)
			pair, err := unix.Socketpair(unix.AF_UNIX, typ|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := unix.Write(pair[0], []byte{0}); err != nil { // which hides nothing
				t.Fatal(err)
			}
			expect(t, size, false)
			if err := unix.Sendmsg(pair[0], []byte{0}, unix.UnixRights(fd), nil, 0); err != nil {
				t.Fatal(err)
			}
			expect(t, size, true)
			if err := unix.Close(fd); err != nil {
				t.Fatal(err)
			}
			expect(t, 0, true)
			closed(t, pair[:]...)
		})
	}
	t.Run("thread", func(t *testing.T) {
		opened, end, closes := make(chan int), make(chan struct{}), make(chan struct{})
		go func() {
			runtime.LockOSThread() // and so no other goroutine has that table
			defer close(closes)
			defer close(opened)
			if err := unix.Unshare(unix.CLONE_FILES); err != nil {
				t.Error(err)
				return
			}
			fd := filled(t)
			defer unix.Close(fd)
			opened <- fd
			<-end
		}()
		if _, ok := <-opened; ok {
			expect(t, size, false)
		}
		close(end)
		<-closes
		expect(t, 0, false)
	})
}
