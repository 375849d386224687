package proc

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// Whose processes are those of a box is PID 1 of a namespace of its own. Nobody is told
// that all processes of the machine are a box's.
func TestNamespaceIsABoxs(t *testing.T) {
	start := func(attr *syscall.SysProcAttr) int {
		t.Helper()
		cmd := exec.Command("sh", "-c", "sleep 1000 & echo; read x")
		cmd.SysProcAttr = attr
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			in.Close()
			if attr.Setpgid {
				syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			}
			cmd.Process.Kill()
			cmd.Wait()
		})
		if _, err := out.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		return cmd.Process.Pid
	}
	plain := start(&syscall.SysProcAttr{Setpgid: true})
	box := start(&syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
	})

	ns, err := OwnNamespace(box)
	if err != nil || ns == "" {
		t.Fatalf("of a namespace's PID 1: %q, %v", ns, err)
	}
	list, err := Members(ns, box)
	if err != nil || len(list) != 1 || slices.Contains(list, plain) {
		t.Errorf("beside PID 1 there are %v, %v", list, err)
	}
	for what, pid := range map[string]int{"a process of the host's": plain, "this one": os.Getpid(), "one inside, that is not PID 1": list[0]} {
		if ns, err := OwnNamespace(pid); err != nil || ns != "" {
			t.Errorf("of %s: %q, %v", what, ns, err)
		}
	}
	held, file, err := Hold(box)
	if err != nil || held != ns {
		t.Fatalf("held: %q, %v", held, err)
	}
	file.Close()
	host, err := Namespace(plain)
	if err != nil {
		t.Fatal(err)
	}
	if list, err := Members(host, plain); !errors.Is(err, errHost) || len(list) > 0 {
		t.Errorf("%d processes of the host, %v", len(list), err)
	}
}

// TestHold: nobody else gets the number of a namespace that is held. The control is that
// without it somebody does.
func TestHold(t *testing.T) {
	// The namespace of a process that has ended, and been waited for.
	next := func(look func(pid int)) {
		t.Helper()
		cmd := exec.Command("cat")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWPID,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
		}
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		look(cmd.Process.Pid)
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	// Numbers are those of namespaces of any kind.
	again := func(ns string) (seen bool) {
		_, number, _ := strings.Cut(ns, ":")
		for i := 0; i < 200 && !seen; i++ {
			next(func(pid int) {
				for _, kind := range []string{"pid", "user"} {
					other, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
					if err != nil {
						t.Fatal(err)
					}
					seen = seen || other == kind+":"+number
				}
			})
		}
		return seen
	}
	var ns string
	var held *os.File
	next(func(pid int) {
		var err error
		if ns, held, err = Hold(pid); err != nil {
			t.Fatal(err)
		}
	})
	if again(ns) {
		t.Errorf("%s has come to be another's", ns)
	}
	held.Close()
	if !again(ns) {
		t.Errorf("%s has come to be nobody's, so that nothing is shown", ns)
	}
}
