package netfilter

import (
	"testing"

	"golang.org/x/sys/unix"
)

func TestVesselPool(t *testing.T) {
	p := &vesselPool{size: pipeSize, most: 2 * keptPipes}
	files := countFiles(t)
	var pipes, buffers []*vessel
	take := func(n int) {
		for range n {
			if v := p.get(); v.buf == nil {
				pipes = append(pipes, v)
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
	if more := countFiles(t) - files; p.pipes != keptPipes || len(p.free) != keptPipes || more != 2*keptPipes {
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
	if p.pipes != 0 || countFiles(t) != files {
		t.Errorf("%d pipes, %d descriptors stay behind", p.pipes, countFiles(t)-files)
	}
}
