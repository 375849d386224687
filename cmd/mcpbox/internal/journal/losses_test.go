package journal

import (
	"bytes"
	"encoding/json"
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

	"github.com/mcpbox/mcpbox/policy"
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

// What is kept of a message is the policy's decision, and bounded.
func TestMessageRecord(t *testing.T) {
	type kept struct{ digest, body string }
	long := strings.Repeat("z", 1<<20)
	for mode, want := range map[policy.BodyMode]kept{
		policy.BodyNone:   {},
		policy.BodyDigest: {digest: "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356"},
		policy.BodyFull:   {digest: "ca3d163bab055381827226140568f3bef7eaac187cebd76878e0b63e9e442356", body: "{}\n"},
	} {
		h := history{state: filepath.Join(t.TempDir(), "mcpbox")}
		j, err := Open(Config{State: h.state, Name: "fs", Policy: policy.Journal{Bodies: mode, Max: 1 << 20}, Secrets: []string{"a \"secret\""}})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(j.Start(Start{Name: "fs"}),
			j.Message(Message{Direction: ToServer, Kind: Request, RPCID: `"a"`, Call: 3}, []byte("{}\n")),
			j.Message(Message{Direction: ToHost, Kind: Noise, Reason: `it says a "secret"`}, []byte(`a "secret" {"x":"a \"secret\""}`)),
			j.Message(Message{Direction: ToHost, Kind: Noise}, []byte(long)),
			j.Exit(Exit{}), j.Close()); err != nil {
			t.Fatal(err)
		}
		list := h.entries(t, j)
		if len(list) != 5 {
			t.Fatalf("%d records", len(list))
		}
		var m, said, cut Message
		if err := errors.Join(list[2].Decode(&m), list[3].Decode(&said), list[4].Decode(&cut)); err != nil {
			t.Fatal(err)
		}
		if m.Direction != ToServer || m.RPCID != `"a"` || m.Call != 3 || (kept{m.Digest, m.Body}) != want {
			t.Errorf("%s: %s", mode, list[2].Line)
		}
		if said.Reason != "it says [redacted]" || mode == policy.BodyFull && said.Body != `[redacted] {"x":"[redacted]"}` {
			t.Errorf("%s: %s", mode, list[3].Line)
		}
		if n := len(cut.Body); mode == policy.BodyFull && (n == 0 || n > 1<<16) {
			t.Errorf("%d bytes of a long message are kept", n)
		}
		if states, faults := h.verify(t); states != "whole" {
			t.Errorf("%s, %q", states, faults)
		}
	}
}

// Messages are written soon, by themselves.
func TestMessagesAreFlushed(t *testing.T) {
	h := history{state: filepath.Join(t.TempDir(), "mcpbox")}
	j := openSmall(t, h.state)
	defer j.Close()
	for round := 1; round < 3; round++ {
		if err := j.Message(Message{Direction: ToServer, Kind: Request}, nil); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(time.Minute); len(h.entries(t, j)) < 1+round; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("it waits for more")
			}
		}
	}
}

// No secret is written, wherever it comes up, and what is left is a record.
func FuzzSecrets(f *testing.F) {
	for _, s := range [][2]string{{"hunter2hunter2", "--token=hunter2hunter2"}, {"a\"b\\c\n<d>", "x a\"b\\c\n<d> y"}, {"u001b123", "\x1b123"}, {"durationNs", "durationNs"}, {"\u202e\u202e", "\u202e\u202e\u202e"}} {
		f.Add(s[0], s[1])
	}
	f.Fuzz(func(t *testing.T, secret, text string) {
		if strings.ToValidUTF8(secret, "") != secret || secret == "" || strings.Contains(redacted, secret) {
			return
		}
		line, err := encode(Event{Kind: "k", Path: text, Detail: text + secret + text}, time.Unix(0, 0))
		if err != nil {
			t.Fatal(err)
		}
		line = append(newSecrets([]string{secret}).redact(line), '}')
		var e Event
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		text = strings.ReplaceAll(string([]rune(text)), secret, redacted)
		if strings.Contains(strings.ReplaceAll(e.Detail, redacted, ""), secret) && !strings.Contains(strings.ReplaceAll(text+redacted+text, redacted, ""), secret) {
			t.Errorf("%q is in %q", secret, e.Detail)
		}
		if e.Path != text {
			t.Errorf("%q, want %q", e.Path, text)
		}
	})
}

func BenchmarkMessage(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "mcpbox")
	j, err := Open(Config{State: dir, Name: "fs"})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	if err := j.Start(Start{}); err != nil {
		b.Fatal(err)
	}
	body := []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"message":"hello"}}}` + "\n")
	b.ReportAllocs()
	for b.Loop() {
		j.Message(Message{Direction: ToServer, Kind: Request, Method: "tools/call", Tool: "echo", RPCID: "1", Call: 1, Size: int64(len(body))}, body)
	}
}

func BenchmarkOpen(b *testing.B) {
	dir := filepath.Join(b.TempDir(), "mcpbox")
	for b.Loop() {
		j, err := Open(Config{State: dir, Name: "fs"})
		if err != nil {
			b.Fatal(err)
		}
		if err := errors.Join(j.Start(Start{}), j.Exit(Exit{}), j.Close()); err != nil {
			b.Fatal(err)
		}
	}
}
