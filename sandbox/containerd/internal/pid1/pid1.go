// Package pid1 is the program that a container is started with: it looks whether
// the box is what it should be, starts the server as its child, reaps, and ends the
// box when the server ends or the launcher does. containerd does not do that last
// part: its shims keep containers alive whoever dies.
//
// It speaks with the launcher through FIFOs (fifo(7)), which need no call that the
// server's filter forbids, and no privilege. They lie in directories of the run,
// those that are read here in one that is mounted read-only. Once they are open the
// launcher removes their names, and only then the server starts; it has the user of
// this process, but cannot get at its descriptors, as this process is undumpable
// (proc(5)). So nobody but the launcher holds the writing end of the FIFO by whose
// end its death shows. gVisor shows what an undumpable process has open; there it is
// the read-only mount that lets nobody write.
//
// Nothing here may import more than the standard library, x/sys and
// sandbox/internal.
package pid1

import (
	"errors"
	"os"
	"runtime"
	"syscall"
	"time"

	"github.com/mcpbox/mcpbox/sandbox/internal/landlock"
	"github.com/mcpbox/mcpbox/sandbox/internal/process"
	"golang.org/x/sys/unix"
)

// exitFailed is the exit status of a PID 1 that has failed, or has lost its
// launcher.
const exitFailed = 125

// startTimeout is how long the launcher may take to be there, which it is before this
// process.
const startTimeout = 30 * time.Second

// Main is the program, and never returns.
func Main() {
	// Signals are set and children are waited for by thread or by process; the
	// former on this one.
	runtime.LockOSThread()
	if len(os.Args) > 1 && os.Args[1] == PinArg {
		logFailure(os.Args, pin(os.Args[2:]))
		os.Exit(exitFailed)
	}
	if len(os.Args) > 1 && os.Args[1] == LimitArg {
		if err := limit(); err != nil {
			os.Stderr.WriteString("limits of the user namespace: " + err.Error() + "\n")
			os.Exit(exitFailed)
		}
		os.Exit(0)
	}
	if os.Getpid() != 1 {
		os.Stderr.WriteString("mcpbox-init: started by mcpbox only\n")
		os.Exit(exitFailed)
	}
	// A launcher that has died already never opens its ends.
	alone := time.AfterFunc(startTimeout, func() { os.Exit(exitFailed) })
	in, err := openAll()
	if err != nil {
		os.Exit(exitFailed) // there is nobody to tell
	}
	alone.Stop()
	main, failure := in.start()
	if failure != nil {
		Send(in.status, Report{Failure: failure})
		os.Exit(exitFailed)
	}
	go in.serve(main)
	status, err := process.Reap(main)
	if err != nil {
		os.Exit(exitFailed) // main cannot have gone unseen
	}
	x := &Exited{Status: uint32(status)}
	var usage unix.Rusage
	if unix.Getrusage(unix.RUSAGE_CHILDREN, &usage) == nil {
		x.User, x.System, x.MaxRSS = usage.Utime.Nano(), usage.Stime.Nano(), usage.Maxrss*1024
	}
	// Whoever holds the box's stdout open dies with PID 1.
	Send(in.status, Report{Exited: x})
	os.Exit(0)
}

// inside is what connects this process with the launcher.
type inside struct {
	control, status *os.File
	stdio           []uintptr
}

func openAll() (*inside, error) {
	in := &inside{}
	open := func(name string, flags int) (*os.File, error) {
		// It blocks until the other side is there. The launcher is already.
		fd, err := unix.Open(Path(name), flags|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
		return os.NewFile(uintptr(fd), name), err
	}
	var err error
	if in.control, err = open(Control, unix.O_RDONLY); err != nil {
		return nil, err
	}
	if in.status, err = open(Status, unix.O_WRONLY); err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name  string
		flags int
	}{{Stdin, unix.O_RDONLY}, {Stdout, unix.O_WRONLY}, {Stderr, unix.O_WRONLY}} {
		file, err := open(f.name, f.flags)
		if err != nil {
			return nil, err
		}
		in.stdio = append(in.stdio, file.Fd())
	}
	return in, nil
}

// start runs the program once all is well and the launcher says so.
func (in *inside) start() (pid int, failure *Failure) {
	// Before there is anybody who could look, or send a signal. The kernel keeps
	// signals from a PID 1 that has no handler for them; the Go runtime has some,
	// and SIGTERM from the server would end the box.
	if err := unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0); err != nil {
		return 0, fail("undumpable", "", err)
	}
	if err := process.DefaultSignals(); err != nil {
		return 0, fail("signals", "", err)
	}
	var order Order
	if err := Receive(in.control, &order); err != nil || order.Plan == nil {
		return 0, fail("plan", "", errFrame)
	}
	plan := order.Plan
	starter, abi := newThread(), 0
	if len(plan.Landlock.Rules) > 0 {
		// Before the filter, which need not know these calls.
		var err error
		starter.do(func() { abi, err = landlock.Restrict(plan.Landlock) })
		if err != nil {
			return 0, fail("landlock", "", err)
		}
	}
	if plan.Filter != nil {
		// All threads have the same, so that it does not matter which one starts the
		// program.
		if err := process.InstallFilter(plan.Filter, unix.SECCOMP_FILTER_FLAG_TSYNC); err != nil {
			return 0, fail("seccomp", "", err)
		}
	}
	if failure := plan.check(); failure != nil {
		return 0, failure
	}
	if err := Send(in.status, Report{Ready: true, Landlock: abi}); err != nil {
		return 0, fail("status", "", err)
	}
	order = Order{}
	if err := Receive(in.control, &order); err != nil || !order.Go {
		return 0, fail("go", "", errors.New("the launcher has given up"))
	}
	for _, l := range plan.Links {
		if err := unix.Symlink(l.Text, l.Path); err != nil {
			return 0, fail("symlink", l.Path, err)
		}
	}
	if err := unix.Chdir(plan.Cwd); err != nil {
		return 0, fail("chdir", plan.Cwd, err)
	}
	// One outside of the root would show as "(unreachable)..." (CVE-2024-21626).
	if wd, err := unix.Getwd(); err != nil || wd[0] != '/' {
		return 0, fail("chdir", plan.Cwd, errors.New("not inside the box"))
	}
	path, err := process.LookPath(plan.Args[0], plan.Env)
	if err == nil {
		// Its descriptors are the three, as all others are close-on-exec.
		attr := &syscall.SysProcAttr{Setsid: true}
		if !plan.Kernel {
			starter.do(func() { err = dropBounding() })
			if err != nil {
				return 0, fail("capabilities", "", err)
			}
			// With the user the capabilities go.
			attr.Credential = &syscall.Credential{Uid: uint32(plan.UID), Gid: uint32(plan.GID)}
		}
		starter.do(func() {
			pid, err = syscall.ForkExec(path, plan.Args, &syscall.ProcAttr{Env: plan.Env, Files: in.stdio, Sys: attr})
		})
	}
	if err != nil {
		failure := fail("exec", plan.Args[0], err)
		failure.Exec = true
		return 0, failure
	}
	for _, fd := range in.stdio {
		unix.Close(int(fd)) // the program's now
	}
	if err := Send(in.status, Report{Started: true}); err != nil {
		return 0, fail("status", "", err)
	}
	return pid, nil
}

// thread is one that confines itself, with what it starts. The others stay outside of
// that, the first above all: Landlock keeps signals from those that are not confined in
// the same way.
type thread chan func()

func newThread() thread {
	t := make(thread)
	go func() {
		runtime.LockOSThread() // for ever
		for f := range t {
			f()
		}
	}()
	return t
}

// do has it do something.
func (t thread) do(f func()) {
	done := make(chan struct{})
	t <- func() { defer close(done); f() }
	<-done
}

// serve signals main as the launcher asks, and ends the box with the launcher.
func (in *inside) serve(main int) {
	for {
		var order Order
		if err := Receive(in.control, &order); err != nil {
			os.Exit(exitFailed)
		}
		if order.Signal > 0 {
			unix.Kill(main, unix.Signal(order.Signal))
		}
	}
}

// dropBounding takes from this thread, and from what it starts, whatever could be
// had again.
func dropBounding() error {
	for c := uintptr(0); c <= 63; c++ {
		err := unix.Prctl(unix.PR_CAPBSET_DROP, c, 0, 0, 0)
		if err == unix.EINVAL {
			return nil // past the kernel's last one
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func fail(step, path string, err error) *Failure {
	f := &Failure{Step: step, Path: path, Text: err.Error()}
	if errno := unix.Errno(0); errors.As(err, &errno) {
		f.Errno = int(errno)
	}
	return f
}
