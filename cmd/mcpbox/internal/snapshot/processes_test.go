package snapshot

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestProcess(t *testing.T) {
	t.Setenv("A_SECRET", "hunter2")
	pids, err := Members(os.Getpid())
	if err != nil || len(pids) == 0 {
		t.Fatal(pids, err)
	}
	p, err := process(os.Getpid(), &room{descriptors: 100, text: 1 << 20, infos: time.Minute}, nil)
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
	if err := s.Processes([]int{os.Getpid()}, nil); err != nil {
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

// A box has as many processes as its limit allows, each with files and arguments
// of any name: what is taken of all of them is bounded, and what is not is told.
func TestProcessBounds(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("n", 200))
	if err := os.WriteFile(long, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var files []*os.File
	for range 60 {
		f, err := os.Open(long)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files = append(files, f)
	}
	var pids []int
	for range 3 {
		child := exec.Command("sleep", "600")
		child.ExtraFiles = files
		child.Env = []string{"A=" + strings.Repeat("x", 5000), "B=1"}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		defer child.Wait()
		defer child.Process.Kill()
		pids = append(pids, child.Process.Pid)
	}
	for i, pid := range pids { // until it is what it will be
		for {
			if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid)); string(name) == "sleep\n" {
				break
			}
			if time.Sleep(10 * time.Millisecond); t.Context().Err() != nil {
				t.Fatal(i)
			}
		}
	}
	take := func(left room) (list []Process, maps int64, out string) {
		t.Helper()
		s, err := Create(filepath.Join(t.TempDir(), "s"))
		if err != nil {
			t.Fatal(err)
		}
		if err := s.processes(pids, left, nil); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(filepath.Join(s.dir.Name(), "processes.json"))
		if err := errors.Join(err, json.Unmarshal(data, &list)); err != nil || len(list) != len(pids) {
			t.Fatalf("%d processes, %v", len(list), err)
		}
		for _, f := range s.files {
			if strings.HasPrefix(f.Path, "maps/") {
				maps += f.Size
			}
		}
		return list, maps, strings.Join(s.Left(), "\n")
	}
	count := func(list []Process) (files, text int) {
		for _, p := range list {
			files += len(p.Files)
			for _, f := range p.Files {
				text += len(f.Link)
			}
		}
		return files, text
	}
	list, maps, out := take(allRoom)
	all, text := count(list)
	if all < 3*60 || text < 3*60*200 || maps < 2000 || strings.Contains(out, "process") {
		t.Fatalf("the control: %d files with %d bytes, %d bytes of maps, left out: %s", all, text, maps, out)
	}
	second := fmt.Sprintf("process %d: not all of its ", pids[1])
	for name, c := range map[string]struct {
		left func(*room)
		say  string
	}{
		"descriptors": {func(r *room) { r.descriptors = 100 }, second + "open files are listed"},
		"text":        {func(r *room) { r.text = 25_000 }, second},
		"variables":   {func(r *room) { r.text = 3000 }, fmt.Sprintf("process %d: not all of its variables are listed", pids[0])},
		"flags":       {func(r *room) { r.infos = 1 }, fmt.Sprintf("process %d: not all of its open files' flags are listed", pids[0])},
		"maps":        {func(r *room) { r.maps = 100 }, fmt.Sprintf("maps/%d: what comes after 0 bytes", pids[1])},
	} {
		left := allRoom
		c.left(&left)
		list, maps, out := take(left)
		files, text := count(list)
		if i := slices.IndexFunc(list[1].Files, func(d Descriptor) bool { return d.Flags != "" }); i >= 0 && left.infos == 1 {
			t.Errorf("%s: those of process %d are there", name, pids[1])
		}
		if files > left.descriptors || text > left.text+300 || maps > left.maps || !strings.Contains(out, c.say) {
			t.Errorf("%s: %d files with %d bytes, %d bytes of maps, left out: %s", name, files, text, maps, out)
		}
	}
	s, err := Create(filepath.Join(t.TempDir(), "s"))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	close(done)
	if err := s.Processes(pids, done); !errors.Is(err, errInterrupted) {
		t.Errorf("interrupted: %v", err)
	}
}
