package netfilter

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestVesselPool(t *testing.T) {
	p := &vesselPool{size: pipeSize, most: 2 * keptPipes}
	// Descriptors of these pipes are counted, and not all that there are: those of
	// earlier tests may still be closing.
	made := map[string]bool{}
	open := func() (n int) {
		list, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range list {
			if name, _ := os.Readlink(filepath.Join("/proc/self/fd", f.Name())); made[name] {
				n++
			}
		}
		return n
	}
	var pipes, buffers []*vessel
	take := func(n int) {
		for range n {
			if v := p.get(); v.buf == nil {
				pipes = append(pipes, v)
				name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", v.r))
				if err != nil {
					t.Error(err)
				}
				made[name] = true
			} else {
				buffers = append(buffers, v)
			}
		}
	}
	take(2*keptPipes + 3)
	if len(pipes) != 2*keptPipes || len(buffers) != 3 {
		t.Errorf("%d pipes and %d buffers, want %d and 3", len(pipes), len(buffers), 2*keptPipes)
	}
	if n, err := unix.FcntlInt(uintptr(pipes[0].r), unix.F_GETPIPE_SZ, 0); err != nil || n != pipeSize {
		t.Errorf("a pipe of %d bytes, %v", n, err)
	}
	for _, v := range append(pipes, buffers...) {
		p.put(v)
	}
	if more := open(); p.pipes != keptPipes || len(p.free) != keptPipes || more != 2*keptPipes {
		t.Errorf("%d pipes, %d of them free, %d descriptors", p.pipes, len(p.free), more)
	}

	// There is always a vessel, also without descriptors left.
	pipes, buffers = nil, nil
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	take(keptPipes + 1)
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if len(pipes) != keptPipes || len(buffers) != 1 || p.pipes != keptPipes {
		t.Errorf("%d pipes and %d buffers without descriptors; %d counted", len(pipes), len(buffers), p.pipes)
	}
	for _, v := range pipes {
		v.close()
	}
	if p.pipes != 0 || open() != 0 {
		t.Errorf("%d pipes, %d descriptors stay behind", p.pipes, open())
	}
}
