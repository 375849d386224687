package containerd

import (
	"context"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// PID 1 of a box that the runtime has frozen does not hear that its launcher has died. So
// for as long as a box is frozen a process of this program waits for that in its place,
// and does then what the next command would do (Reap). It is in a session of its own, lest
// what kills the launcher's group kills it as well.

// guardArg0 is argv[0] of that process; its one argument is the run's directory.
const guardArg0 = "mcpbox-guard"

// dismissed is the word that lets it go.
const dismissed = 'd'

// guard is that process, seen from the launcher.
type guard struct {
	pid  int
	pipe *os.File // by whose end the launcher's death shows
}

func startGuard(dir string) (*guard, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		w.Close()
		return nil, err
	}
	defer null.Close()
	pid, err := syscall.ForkExec("/proc/self/exe", []string{guardArg0, dir}, &syscall.ProcAttr{
		Dir: "/", Env: []string{}, Files: []uintptr{r.Fd(), null.Fd(), null.Fd()}, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	if err != nil {
		w.Close()
		return nil, fmt.Errorf("start the process that waits for the launcher's end: %w", err)
	}
	return &guard{pid, w}, nil
}

// dismiss ends it.
func (g *guard) dismiss() {
	if g == nil {
		return
	}
	g.pipe.Write([]byte{dismissed})
	g.pipe.Close()
	syscall.Wait4(g.pid, nil, 0, nil)
}

// watchOver is that process.
func watchOver(dir string) {
	word := make([]byte, 1)
	for {
		n, err := unix.Read(0, word)
		if err == unix.EINTR {
			continue
		}
		if n == 1 && word[0] == dismissed {
			return
		}
		break
	}
	// What it cannot do is done by the next command.
	_ = Reap(context.Background(), dir)
}
