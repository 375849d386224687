package snapshot

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A process in namespaces of its own is seen, as the first one there is. What it
// shares with the host is not, and nor is one that is not the first.
func TestSee(t *testing.T) {
	const all = syscall.CLONE_NEWPID | syscall.CLONE_NEWNS | syscall.CLONE_NEWNET
	for name, c := range map[string]struct {
		namespaces                uintptr
		child                     bool // of the first process
		processes, files, network error
	}{
		"a box":        {namespaces: all},
		"another":      {all, true, ErrHost, ErrHost, nil},
		"host":         {0, false, ErrHost, ErrHost, ErrHost},
		"its network":  {all &^ syscall.CLONE_NEWNET, false, nil, nil, ErrHost},
		"its mounts":   {all &^ syscall.CLONE_NEWNS, false, nil, ErrHost, nil},
		"its numbers":  {all &^ syscall.CLONE_NEWPID, false, ErrHost, ErrHost, nil},
		"only a mount": {syscall.CLONE_NEWNS, false, ErrHost, ErrHost, ErrHost},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command("sh", "-c", "sleep 10000 & echo; wait")
			cmd.SysProcAttr = &syscall.SysProcAttr{
				Cloneflags: c.namespaces | syscall.CLONE_NEWUSER, Setpgid: true,
				UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
				GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
			}
			out, err := cmd.StdoutPipe()
			if err == nil {
				err = cmd.Start()
			}
			if err != nil {
				if os.Getenv("MCPBOX_REQUIRE") != "" {
					t.Fatal(err)
				}
				t.Skip("needs user namespaces: ", err)
			}
			defer cmd.Wait()
			defer syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
			if _, err := out.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
			pid := cmd.Process.Pid
			if c.child {
				pid = childOf(t, pid)
			}
			s := See(pid)
			if !errors.Is(s.Processes, c.processes) || !errors.Is(s.Files, c.files) || !errors.Is(s.Network, c.network) {
				t.Errorf("%+v", s)
			}
		})
	}
	if s := See(1 << 30); s.Processes == nil || s.Files == nil || s.Network == nil {
		t.Errorf("what is not there: %+v", s)
	}
}

// childOf is a process that pid has started.
func childOf(t *testing.T, pid int) int {
	t.Helper()
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		files, _ := filepath.Glob("/proc/[0-9]*/stat")
		for _, file := range files {
			data, _ := os.ReadFile(file)
			if _, after, _ := strings.Cut(string(data), ") "); len(after) > 2 && strings.HasPrefix(after[2:], fmt.Sprint(pid)+" ") {
				child, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
				return child
			}
		}
	}
	t.Fatal("it has started nothing")
	return 0
}
