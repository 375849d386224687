package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	tasks "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/containerd/internal/pid1"
	"github.com/mcpbox/mcpbox/sandbox/internal/cgroup"
	"github.com/mcpbox/mcpbox/sandbox/internal/proc"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// box is a running container, seen from the launcher.
type box struct {
	backend *Backend
	pipes   *pipes
	pid     int
	group   *cgroup.Group
	limits  cgroup.Limits
	made    bool // something may be in containerd
	memory  facts
	// landlock is the ABI of it that confines the program, or 0.
	landlock int

	mu    sync.Mutex
	pidfd int      // -1 before PID 1 is there, and once it has ended
	ns    string   // its PID namespace, "" if it has none, as gVisor may, or this process may not look
	held  *os.File // on ns, for as long as there is this box

	sending sync.Mutex // orders

	freezing sync.Mutex
	frozen   bool
	unthawed error  // why it still is, once it is killed
	guard    *guard // as long as it is frozen by the runtime

	killed   chan struct{} // closed when somebody has tried to end it
	killOnce sync.Once
	reported chan struct{} // closed when PID 1 has had its last word: it ends, and with it the rest
	exited   *pid1.Exited  // that word, if it had one; after reported
	done     chan struct{} // closed when PID 1 has ended, and so the box is empty

	ended   sync.Once // what is left in containerd is removed
	stuck   []int     // what is left of it and cannot be ended; after ended
	stuckBy string    // by what, in words, if it is known
}

var _ sandbox.Box = (*box)(nil)

func (x *box) PID() int                 { return x.pid }
func (x *box) Stdin() io.WriteCloser    { return x.pipes.stdin }
func (x *box) Stdout() io.ReadCloser    { return x.pipes.stdout }
func (x *box) Stderr() io.ReadCloser    { return x.pipes.stderr }
func (x *box) Staged() []sandbox.Staged { return nil }

// order sends PID 1 an order.
func (x *box) order(ctx context.Context, o pid1.Order) error {
	x.sending.Lock()
	defer x.sending.Unlock()
	stop := context.AfterFunc(ctx, func() { x.pipes.control.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	return pid1.Send(x.pipes.control, o)
}

// hear waits for what PID 1 reports, as long as there is one.
func (x *box) hear(ctx context.Context) (pid1.Report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		// Ended without a word: until the pipes are settled that does not show as
		// their end.
		if pollExit(x.pidfd, ctx) {
			time.Sleep(lastWords)
			cancel(errors.New("PID 1 of the container has ended before the program ran"))
		}
	}()
	stop := context.AfterFunc(ctx, func() { x.pipes.status.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	var r pid1.Report
	err := pid1.Receive(x.pipes.status, &r)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return r, err
}

// lastWords is how long a report may take from a PID 1 that has ended.
const lastWords = 100 * time.Millisecond

// pollExit waits until the process of pidfd has ended, or ctx has.
func pollExit(pidfd int, ctx context.Context) bool {
	const step = 20 // milliseconds
	for ctx.Err() == nil {
		fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
		if n, err := unix.Poll(fds, step); n > 0 || err != nil && err != unix.EINTR {
			return n > 0
		}
	}
	return false
}

// watch follows the box until it has ended. mounts are the box's.
func (x *box) watch(mounts []specs.Mount) {
	go func() {
		defer close(x.reported)
		var r pid1.Report
		if pid1.Receive(x.pipes.status, &r) == nil {
			x.exited = r.Exited
		}
	}()
	go func() {
		fds := []unix.PollFd{{Fd: int32(x.pidfd), Events: unix.POLLIN}}
		for {
			if _, err := unix.Poll(fds, -1); err != unix.EINTR {
				break
			}
		}
		// gVisor's helper may hold the other end for longer.
		x.pipes.status.SetReadDeadline(time.Now().Add(lastWords))
		<-x.reported
		// Before the runtime removes the cgroups, and what was counted in them.
		x.memory.conclude(x.group, x.limits.Memory)
		x.mu.Lock()
		unix.Close(x.pidfd)
		x.pidfd = -1
		x.mu.Unlock()
		close(x.done)
	}()
	if x.limits.Memory > 0 && !x.Tier().Kernel() {
		go x.watchMemory(mounts)
	}
	if x.limits.Memory > 0 && x.Tier().Kernel() {
		go func() {
			if x.group.AwaitOOM() {
				x.memory.exceed(x.group.Memory().Peak)
				x.Kill()
			}
		}()
	}
}

// Signal has PID 1 signal the program.
func (x *box) Signal(sig syscall.Signal) error {
	return x.order(context.Background(), pid1.Order{Signal: int(sig)})
}

// Kill implements [sandbox.Box]. It does not need containerd: the kernel ends the
// rest with PID 1.
func (x *box) Kill() error {
	defer x.killOnce.Do(func() { close(x.killed) })
	x.mu.Lock()
	if x.pidfd < 0 {
		x.mu.Unlock()
		return nil
	}
	err := unix.PidfdSendSignal(x.pidfd, unix.SIGKILL, nil, 0)
	x.mu.Unlock()
	if err == unix.ESRCH {
		return nil
	}
	if err == unix.EPERM {
		// A sandbox of gVisor is nobody's, so an ordinary user has to ask: PID 1, which
		// takes this for the launcher's end, and the runtime.
		x.pipes.control.Close()
		err = x.killByRuntime()
	}
	if err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	x.thawKilled()
	return nil
}

// killByRuntime has runsc kill a box, and before that thaw it: it signals nothing that
// is frozen.
func (x *box) killByRuntime() error {
	x.freezing.Lock()
	defer x.freezing.Unlock()
	if x.frozen {
		if x.unthawed = x.resume(); x.unthawed != nil {
			return runtimeError(x.unthawed)
		}
		x.frozen = false
	}
	ctx, cancel := context.WithTimeout(namespaces.WithNamespace(context.Background(), Namespace), freezeTimeout)
	defer cancel()
	// If this fails PID 1 has ended, or is about to.
	x.backend.Client.c.TaskService().Kill(ctx, &tasks.KillRequest{ContainerID: containerID(x.backend.ID), Signal: uint32(unix.SIGKILL), All: true})
	return nil
}

// Wait implements [sandbox.Box].
func (x *box) Wait() (sandbox.Exit, error) {
	select {
	case <-x.done:
	case <-x.reported:
	case <-x.killed:
	}
	x.ended.Do(x.end)
	e := sandbox.Exit{Code: -1, Signal: syscall.SIGKILL, Stuck: x.stuck, StuckBy: x.stuckBy}
	e.Memory, e.Exceeded = x.memory.result(x.limits.Memory)
	if w := x.lastWord(); w != nil {
		ws := unix.WaitStatus(w.Status)
		if ws.Exited() {
			e.Code, e.Signal = ws.ExitStatus(), 0
		} else {
			e.Signal = ws.Signal()
		}
		e.Usage = sandbox.Usage{User: time.Duration(w.User), System: time.Duration(w.System), MaxRSS: w.MaxRSS}
	}
	return e, nil
}

// lastWord is how the program has ended, nil if PID 1 could not say.
func (x *box) lastWord() *pid1.Exited {
	select {
	case <-x.reported:
		return x.exited
	default:
		return nil
	}
}

// end waits for the end of the box, and removes what is left of it. What cannot be
// removed now is removed by [Reap].
func (x *box) end() {
	x.stuck = proc.AwaitEnd(x.empty(), x.pid, x.killMembers)
	x.freezing.Lock()
	x.unguard()
	if len(x.stuck) > 0 {
		x.stuckBy = x.whyFrozen()
	}
	x.freezing.Unlock()
	x.pipes.control.Close()
	x.pipes.status.Close()
	if len(x.stuck) > 0 {
		x.memory.conclude(x.group, x.limits.Memory)
		return // the runtime would wait, too
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	if x.backend.Client.removeContainer(ctx, x.record(), x.backend.RunDir) == nil {
		removeRecord(x.backend.RunDir)
	}
	if x.group != nil {
		x.group.Remove()
	}
}

// empty is closed when nothing is left: PID 1, with which ends what is in its namespace,
// and gVisor's helpers, which end when its kernel has.
func (x *box) empty() <-chan struct{} {
	if x.backend.Runtime != "runsc" {
		return x.done
	}
	empty := make(chan struct{})
	go func() {
		defer close(empty)
		<-x.done
		for end := time.Now().Add(helpersTime); time.Now().Before(end); time.Sleep(time.Millisecond) {
			if list, err := x.group.Members(); err != nil || len(list) == 0 {
				return
			}
		}
	}()
	return empty
}

// helpersTime is how long they may take. Then the runtime is left to end them.
const helpersTime = 10 * time.Second

// record is what [Reap] needs to know.
func (x *box) record() record {
	r := record{Address: x.backend.Client.Address, ID: containerID(x.backend.ID), PID: x.pid}
	if x.group != nil {
		r.Cgroups = x.group.Dirs()
	}
	return r
}

// abandon ends a box that did not get as far as to have a program.
func (x *box) abandon() {
	x.Kill()
	if x.pipes != nil {
		x.pipes.close()
	}
	if !x.made {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), cleanTimeout)
	defer cancel()
	if x.backend.Client.removeContainer(ctx, x.record(), x.backend.RunDir) == nil {
		removeRecord(x.backend.RunDir)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.pidfd >= 0 {
		unix.Close(x.pidfd)
		x.pidfd = -1
	}
	if x.group != nil {
		x.group.Remove()
	}
}
