package native

import (
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/internal/cgroup"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
	"golang.org/x/sys/unix"
)

// box is a running native box, seen from the launcher.
type box struct {
	pid                   int
	stdin, stdout, stderr *os.File
	control               *os.File
	liveness              *os.File // never written to; closing it ends the box
	plan                  *os.File // until it is sent
	layers                []sandbox.Layer
	group                 *cgroup.Group
	limits                cgroup.Limits
	memory                memoryFacts
	staged                []sandbox.Staged

	mu    sync.Mutex
	pidfd int      // -1 once PID 1 is reaped
	ns    string   // its PID namespace, once known: see namespace
	held  *os.File // on ns, for as long as there is this box

	freezing sync.Mutex // one at a time freezes or thaws
	frozen   bool
	iced     bool // in a cgroup, rather than with SIGSTOP

	done   chan struct{} // closed when PID 1 is reaped, and so the box is empty
	ended  unix.WaitStatus
	rusage unix.Rusage
	// user and system are the processor time that the kernel has counted for the
	// cgroup, 0 where it does not. PID 1 counts what it has waited for, which is not
	// all if it was the first to be killed.
	user, system time.Duration
	noteOnce     sync.Once

	endOnce  sync.Once
	stuck    []int // what is left of it and cannot be ended
	exitOnce sync.Once
	exited   *wire.Exited // PID 1's last word, if it had one
	reported chan struct{}
}

var _ sandbox.Box = (*box)(nil)

// openPipes makes all that connects launcher and box. It returns the box's
// ends: 0, 1, 2, control, liveness and plan.
func (b *box) openPipes() (child []*os.File, err error) {
	pipe := func(ours **os.File, theirsReads bool) {
		if err != nil {
			return
		}
		var r, w *os.File
		if r, w, err = os.Pipe(); err != nil {
			return
		}
		if theirsReads {
			r, w = w, r
		}
		*ours = r
		child = append(child, w)
	}
	pipe(&b.stdin, true)
	pipe(&b.stdout, false)
	pipe(&b.stderr, false)
	if err == nil {
		var pair [2]int
		if pair, err = unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0); err == nil {
			// Ours goes through the runtime's poller, for its deadlines; theirs
			// stays blocking.
			unix.SetNonblock(pair[0], true)
			b.control = os.NewFile(uintptr(pair[0]), "control")
			child = append(child, os.NewFile(uintptr(pair[1]), "control"))
		}
	}
	pipe(&b.liveness, true)
	pipe(&b.plan, true)
	if err != nil {
		closeAll(child)
		return nil, fmt.Errorf("pipes: %w", err)
	}
	return child, nil
}

func (b *box) closePipes() {
	for _, f := range []*os.File{b.stdin, b.stdout, b.stderr, b.control, b.liveness, b.plan} {
		if f != nil {
			f.Close()
		}
	}
}

// awaitExit keeps what PID 1 says last.
func (b *box) awaitExit() {
	defer close(b.reported)
	t, body, err := wire.Receive(b.control)
	var x wire.Exited
	if err == nil && t == wire.TypeExited && wire.Unmarshal(body, &x) == nil {
		b.exited = &x
	}
}

func (b *box) PID() int                 { return b.pid }
func (b *box) Stdin() io.WriteCloser    { return b.stdin }
func (b *box) Stdout() io.ReadCloser    { return b.stdout }
func (b *box) Stderr() io.ReadCloser    { return b.stderr }
func (b *box) Layers() []sandbox.Layer  { return b.layers }
func (b *box) Staged() []sandbox.Staged { return b.staged }

// Signal has PID 1 signal the program: its process id is known inside only.
func (b *box) Signal(sig syscall.Signal) error {
	return wire.Send(b.control, wire.TypeSignal, &wire.Signal{Number: int(sig)})
}

// Kill kills PID 1, through a descriptor that cannot come to mean another
// process. The kernel kills the rest before it lets PID 1 be reaped.
func (b *box) Kill() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.pidfd < 0 {
		return nil
	}
	err := unix.PidfdSendSignal(b.pidfd, unix.SIGKILL, nil, 0)
	if err == unix.ESRCH {
		return nil
	}
	return err
}

func (b *box) Wait() (sandbox.Exit, error) {
	<-b.reported // PID 1 ends with that, and with it the rest
	stuck := b.awaitEnd()
	b.exitOnce.Do(func() {
		b.control.Close()
		b.liveness.Close()
	})
	x := sandbox.Exit{Code: -1, Signal: syscall.SIGKILL, Stuck: stuck}
	if len(stuck) == 0 {
		x.Usage = sandbox.Usage{
			User:   time.Duration(b.rusage.Utime.Nano()),
			System: time.Duration(b.rusage.Stime.Nano()),
			MaxRSS: b.rusage.Maxrss * 1024,
		}
	}
	if b.user+b.system > x.Usage.User+x.Usage.System {
		x.Usage.User, x.Usage.System = b.user, b.system
	}
	x.Memory, x.Exceeded = b.memory.conclude(b.limits.Memory)
	if b.exited != nil {
		ws := unix.WaitStatus(b.exited.Status)
		if ws.Exited() {
			x.Code, x.Signal = ws.ExitStatus(), 0
		} else {
			x.Signal = ws.Signal()
		}
	}
	return x, nil
}
