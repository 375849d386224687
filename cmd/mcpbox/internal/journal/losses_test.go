package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// onSmallDisk runs a test again in a mount namespace with a file system of size
// bytes, whose directory it returns there. The user needs no rights for that.
func onSmallDisk(t *testing.T, size int) (dir string, inside bool) {
	t.Helper()
	const variable = "JOURNAL_TEST_DISK"
	if dir = os.Getenv(variable); dir != "" {
		if err := unix.Mount("small", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=700", size)); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
		return dir, true
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self, "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), variable+"="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getuid(), HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: os.Getgid(), HostID: os.Getgid(), Size: 1}},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN},
		Pdeathsig:   syscall.SIGKILL,
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, unix.EPERM) && os.Getenv("MCPBOX_REQUIRE") == "" {
		t.Skip("needs user namespaces: " + err.Error())
	}
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name()+" ")) {
		t.Fatalf("%v\n%s", err, out)
	}
	return "", false
}

// full fills what is left of the disk, and returns what empties it again.
func fill(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	page := make([]byte, 4096)
	for err == nil {
		_, err = file.Write(page)
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// entries are the records of the run, all of them whole.
func (h history) entries(t *testing.T, j *Journal) (list []Entry) {
	t.Helper()
	files, err := Files(h.state)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if file.ID != j.ID() {
			continue
		}
		some, err := (&Follower{File: file}).Next(time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, some...)
		if data, err := os.ReadFile(file.Path); err != nil || !bytes.HasSuffix(data, []byte("\n")) {
			t.Errorf("%s ends within a line, %v", file.Path, err)
		}
	}
	return list
}

func openSmall(t *testing.T, state string) *Journal {
	t.Helper()
	j, err := Open(Config{State: state, Name: "fs"})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Start(Start{Name: "fs"}); err != nil {
		t.Fatal(err)
	}
	select {
	case <-j.Failed():
		t.Fatal("it has failed already")
	default:
	}
	return j
}

// writeUntilFull writes events until one is lost, and some more, and returns how
// many were written.
func writeUntilFull(t *testing.T, j *Journal) (written int) {
	t.Helper()
	detail := strings.Repeat("x", 700)
	for j.Event(Event{Kind: Warning, Detail: detail}) == nil {
		if written++; written > 10000 {
			t.Fatal("the disk does not get full")
		}
	}
	for range 4 {
		if j.Event(Event{Kind: Warning, Detail: detail}) == nil {
			t.Error("there was room again")
		}
	}
	if j.Connect(Connection{Verdict: "refused"}) == nil {
		t.Error("there was room again")
	}
	select {
	case <-j.Failed():
	default:
		t.Error("it has not failed")
	}
	if !errors.Is(j.Cause(), unix.ENOSPC) {
		t.Error(j.Cause())
	}
	return written
}

// On a full disk nothing is torn, what is lost is counted, and the end can still
// be written.
func TestFullDisk(t *testing.T) {
	dir, inside := onSmallDisk(t, 1<<20)
	if !inside {
		return
	}
	h := history{state: filepath.Join(dir, "mcpbox")}
	j := openSmall(t, h.state)
	fill(t, dir)
	written := writeUntilFull(t, j)
	if err := j.Message(Message{Direction: ToHost, Kind: Answer}, []byte("{}")); err != nil {
		t.Error(err)
	}
	if err := errors.Join(j.Exit(Exit{Code: 7}), j.Close()); err != nil {
		t.Fatal(err)
	}
	list := h.entries(t, j)
	if len(list) != written+3 {
		t.Fatalf("%d records, of which %d before the disk was full", len(list), written)
	}
	gap, exit := list[len(list)-2], list[len(list)-1]
	var g Gap
	if err := gap.Decode(&g); err != nil || gap.Event != "gap" || g.Lost["event"] != 5 || g.Lost["connect"] != 1 || g.Lost["message"] != 1 || len(g.Lost) != 3 {
		t.Errorf("%s, %v", gap.Line, err)
	}
	if g.From.IsZero() || g.To.Before(g.From) || !strings.Contains(g.Cause, "no space left") || exit.Event != "exit" {
		t.Errorf("%s\n%s", gap.Line, exit.Line)
	}
	if states, faults := h.verify(t); states != "whole" {
		t.Errorf("%s, %q", states, faults)
	}
}

// As soon as there is room again, what was lost is told, before anything else and
// without anything else.
func TestRoomAgain(t *testing.T) {
	dir, inside := onSmallDisk(t, 1<<20)
	if !inside {
		return
	}
	for _, wait := range []bool{false, true} {
		h := history{state: filepath.Join(dir, fmt.Sprint("mcpbox", wait))}
		j := openSmall(t, h.state)
		empty := fill(t, dir)
		written := writeUntilFull(t, j)
		empty()
		if wait {
			for end := time.Now().Add(time.Minute); len(h.entries(t, j)) < written+2; time.Sleep(10 * time.Millisecond) {
				if time.Now().After(end) {
					t.Fatal("nothing tells of what was lost")
				}
			}
		}
		if err := errors.Join(j.Event(Event{Kind: Frozen}), j.Exit(Exit{}), j.Close()); err != nil {
			t.Fatal(err)
		}
		list := h.entries(t, j)
		if len(list) != written+4 || list[written+1].Event != "gap" || list[written+2].Event != "event" {
			t.Errorf("%d records, %s", len(list), list[min(len(list)-1, written+1)].Line)
		}
		if states, faults := h.verify(t); states != "whole" {
			t.Errorf("%s, %q", states, faults)
		}
		if err := os.RemoveAll(h.state); err != nil {
			t.Fatal(err)
		}
	}
}

// Without space from the beginning there is no run, and without the reserve the
// error says what no record can.
func TestNoRoomAtAll(t *testing.T) {
	dir, inside := onSmallDisk(t, 1<<20)
	if !inside {
		return
	}
	h := history{state: filepath.Join(dir, "mcpbox")}
	j := openSmall(t, h.state)
	// What the reserve would be on a file system that has none.
	if err := j.run.file.Truncate(j.run.size); err != nil {
		t.Fatal(err)
	}
	empty := fill(t, dir)
	j.run.allocated = 0
	writeUntilFull(t, j)
	if other, err := Open(Config{State: h.state, Name: "other"}); err == nil {
		if err := other.Start(Start{Name: "other"}); !errors.Is(err, unix.ENOSPC) {
			t.Errorf("a run begins on a full disk: %v", err)
		}
		other.Close()
	}
	// A page of the file is there for the rest of its last lines.
	j.run.reserve = 0
	for j.Event(Event{Kind: Warning, Detail: "y"}) == nil {
	}
	err := j.Exit(Exit{Code: 7})
	if err == nil || !strings.Contains(err.Error(), " event), from ") || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("the end: %v", err)
	}
	if err := j.Close(); err == nil || !strings.Contains(err.Error(), "1 exit") {
		t.Errorf("closing: %v", err)
	}
	h.entries(t, j)
	empty()
}

// Where a file cannot grow, a run goes on in the next one.
func TestFileSizeLimit(t *testing.T) {
	const variable = "JOURNAL_TEST_LIMIT"
	if os.Getenv(variable) == "" {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(self, "-test.run=^TestFileSizeLimit$", "-test.v")
		cmd.Env = append(os.Environ(), variable+"=1")
		if out, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(out, []byte("--- PASS: TestFileSizeLimit ")) {
			t.Fatalf("%v\n%s", err, out)
		}
		return
	}
	// What fails because of the limit also gets SIGXFSZ.
	struck := make(chan os.Signal, 1)
	signal.Notify(struck, unix.SIGXFSZ)
	const limit = 40000
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: limit, Max: limit}); err != nil {
		t.Fatal(err)
	}
	h := history{state: filepath.Join(t.TempDir(), "mcpbox")}
	j := openSmall(t, h.state)
	const n = 500
	for i := range n {
		if err := errors.Join(j.Event(Event{Kind: Warning, Detail: fmt.Sprintf("%0300d", i)}), j.Message(Message{Direction: ToHost, Kind: Notification}, []byte("{}"))); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(j.Exit(Exit{}), j.Close()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-struck:
	case <-time.After(time.Minute):
		t.Error("the limit was never met")
	}
	counts := map[string]int{}
	for _, e := range h.entries(t, j) {
		counts[e.Event]++
	}
	if counts["event"] != n || counts["message"] != n || counts["segment"] < 4 || counts["gap"] != 0 {
		t.Errorf("%v", counts)
	}
	if states, faults := h.verify(t); states != "whole" {
		t.Errorf("%s, %q", states, faults)
	}
}

// The space that is allocated ahead does not stay.
func TestReserveIsGivenBack(t *testing.T) {
	h := history{state: filepath.Join(t.TempDir(), "mcpbox")}
	j := openSmall(t, h.state)
	blocks := func() int64 {
		var st unix.Stat_t
		if err := unix.Stat(j.Path(), &st); err != nil {
			t.Fatal(err)
		}
		return st.Blocks * 512
	}
	during := blocks()
	if j.run.allocated > 0 && during < reserve {
		t.Errorf("%d bytes are allocated", during)
	}
	if err := errors.Join(j.Exit(Exit{}), j.Close()); err != nil {
		t.Fatal(err)
	}
	if after := blocks(); j.run.allocated > 0 && (after >= during || after > 8192) {
		t.Errorf("%d bytes are allocated at the end, %d before", after, during)
	}
}
