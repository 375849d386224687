package snapshot

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestProcess(t *testing.T) {
	t.Setenv("A_SECRET", "hunter2")
	pids, err := Members(os.Getpid())
	if err != nil || len(pids) == 0 {
		t.Fatal(pids, err)
	}
	p, err := process(os.Getpid())
	if err != nil || len(p.Failed) > 0 {
		t.Fatal(p.Failed, err)
	}
	if p.PID != os.Getpid() || p.Parent != os.Getppid() || len(p.Argv) != len(os.Args) || p.Threads < 1 || p.Start == 0 || len(p.Files) < 3 || p.Exe == "" || p.Cwd == "" {
		t.Errorf("%+v", p)
	}
	hostile := names([]byte("A=1\x00B_2=x=y\x00=\x00no value\x00\x1b[31m=x\x00C=\x00"))
	if strings.Join(hostile, " ") != "A B_2 C" {
		t.Errorf("%q", hostile)
	}
	odd := Process{PID: 7}
	if err := odd.readStat([]byte("7 (a) b\n(c)) T 1 7 7 0 -1 4 0 0 0 0 5 6 0 0 20 0 3 0 99 1 2")); err != nil || odd.Command != "a) b\n(c)" || odd.State != "T" || odd.User != 5 || odd.System != 6 || odd.Threads != 3 || odd.Start != 99 {
		t.Errorf("%+v, %v", odd, err)
	}
	for _, bad := range []string{"", "7 a T", "7 (a) T 1", "7 )a( T 1 7 7 0 -1 4 0 0 0 0 5 6 0 0 20 0 3 0 99"} {
		if err := new(Process).readStat([]byte(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
	s, err := Create(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Processes([]int{os.Getpid()}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(s.dir.Name(), "processes.json"))
	if err != nil || strings.Contains(string(data), "hunter2") || !strings.Contains(string(data), `"environment"`) {
		t.Errorf("%s, %v", data, err)
	}
	if maps, err := os.Open(filepath.Join(s.dir.Name(), fmt.Sprintf("maps/%d", os.Getpid()))); err == nil {
		defer maps.Close()
		if line, _ := bufio.NewReader(maps).ReadString('\n'); !strings.Contains(line, "-") {
			t.Errorf("maps begin with %q", line)
		}
	}
}
