package egress

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// insideVariable names the directory of the programs to a copy of the test
// program that runs in namespaces of its own.
const insideVariable = "MCPBOX_EGRESS_INSIDE"

// lacking says why there are no namespaces, if there are none.
var lacking error

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(insideVariable) != "" {
		os.Exit(inside(m))
	}
	code, err := outside()
	if err == nil {
		os.Exit(code)
	}
	lacking = err
	os.Exit(m.Run())
}

// outside builds the programs and runs this program again in a network and a
// mount namespace, and in a user namespace where it is not root. An error is
// that this machine does not let us.
func outside() (int, error) {
	dir, err := os.MkdirTemp("", "mcpbox-egress-bin-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n", err)
		return 1, nil
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), insideVariable+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWNET | unix.CLONE_NEWNS,
		Pdeathsig:  syscall.SIGKILL,
	}
	if uid, gid := os.Getuid(), os.Getgid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= unix.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: uid, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: gid, HostID: gid, Size: 1}}
		cmd.SysProcAttr.AmbientCaps = []uintptr{
			unix.CAP_SYS_ADMIN, unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_NET_BIND_SERVICE,
		}
	}
	runtime.LockOSThread() // with whose end the child would be killed
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("network namespaces: %w", err)
	}
	if err := cmd.Wait(); err != nil {
		if exit := new(exec.ExitError); !errors.As(err, &exit) {
			return 0, err
		}
	}
	return max(cmd.ProcessState.ExitCode(), -1) & 0xff, nil
}

// inside makes the world and runs the tests in it.
func inside(m *testing.M) int {
	// The first thread says which namespaces the process has.
	runtime.LockOSThread()
	code := 1
	w, err := newWorld(os.Getenv(insideVariable))
	if err == nil {
		the = w
		code = m.Run()
	}
	if err := errors.Join(err, w.close()); err != nil {
		fmt.Fprintf(os.Stderr, "world: %v\n", err)
		return 1
	}
	return code
}

// the is the world of this process: there can be no second one in a namespace.
var the *world

// needWorld returns the world, or ends the test.
func needWorld(t *testing.T) *world {
	t.Helper()
	if the == nil {
		need(t, false, lacking.Error())
	}
	return the
}

// need ends the test where this machine lacks something: a failure where it is
// meant to have everything.
func need(t *testing.T, ok bool, what string) {
	t.Helper()
	switch {
	case ok:
	case os.Getenv("MCPBOX_REQUIRE") != "":
		t.Fatalf("needs %s", what)
	default:
		t.Skipf("needs %s", what)
	}
}
