package containerd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/mcpbox/mcpbox/sandbox/internal/proc"
)

// TestMeet: who has the number that containerd says, and is no PID 1, is left alone, also
// when the start is given up. The control is a PID 1, which then ends.
func TestMeet(t *testing.T) {
	start := func(attr *syscall.SysProcAttr) (*exec.Cmd, io.Closer) {
		t.Helper()
		cmd := exec.Command("cat")
		cmd.SysProcAttr = attr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return cmd, in
	}
	stranger, in := start(nil)
	x := &box{backend: &Backend{Runtime: "runc"}, pidfd: -1, killed: make(chan struct{})}
	if err := x.meet(stranger.Process.Pid); !errors.As(err, new(*sandbox.UnsupportedError)) {
		t.Errorf("a stranger: %v", err)
	}
	x.abandon()
	in.Close()
	if err := stranger.Wait(); err != nil {
		t.Errorf("the stranger was hit: %v", err)
	}

	ours, in := start(&syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
	})
	defer in.Close()
	x = &box{backend: &Backend{Runtime: "runc"}, pidfd: -1, killed: make(chan struct{})}
	if err := x.meet(ours.Process.Pid); err != nil {
		t.Fatal(err)
	}
	ns, err := proc.Namespace(ours.Process.Pid)
	if at, e := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", x.held.Fd())); err != nil || e != nil || at != ns || x.ns != ns {
		t.Errorf("its namespace %s, %v, is %s, and held is %s, %v", ns, err, x.ns, at, e)
	}
	x.abandon()
	if err := ours.Wait(); err == nil {
		t.Error("PID 1 has ended by itself")
	}
}
