package journal

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"golang.org/x/sys/unix"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{"a", "fs", "server-filesystem", "A.b_c-9", "0", "-x", "_", strings.Repeat("n", 64)} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for _, name := range []string{
		"", ".", "..", ".hidden", "a/b", "../x", "/etc", "a\x00b", "a b", "a\n", "é", "a\\b", "~", "$HOME", "a:b", "\u202e",
		strings.Repeat("n", 65),
	} {
		var bad *NameError
		if err := CheckName(name); !errors.As(err, &bad) || bad.Name != name {
			t.Errorf("%q: error %v", name, err)
		}
		dir := t.TempDir()
		if j, err := Open(Config{State: dir, Name: name}); !errors.As(err, &bad) {
			t.Errorf("%q: journal %v, error %v", name, j, err)
		}
		if left, _ := os.ReadDir(dir); len(left) > 0 {
			t.Errorf("%q: %v was made", name, left)
		}
	}
}

func testJournal(t *testing.T) *Journal {
	t.Helper()
	at := time.Date(2026, 3, 1, 11, 15, 30, 5, time.FixedZone("CET", 3600))
	j, err := open(Config{State: filepath.Join(t.TempDir(), "state/mcpbox"), Name: "fs"}, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func TestOpen(t *testing.T) {
	j := testJournal(t)
	want := regexp.MustCompile(`/state/mcpbox/journal/fs/20260301T101530\.000000005Z-[0-9a-f]{8}\.jsonl$`)
	if !want.MatchString(j.Path()) || !strings.HasSuffix(j.Path(), "-"+j.ID()+".jsonl") {
		t.Errorf("path %s, id %s", j.Path(), j.ID())
	}
	for path := j.Path(); filepath.Base(path) != "state"; path = filepath.Dir(path) {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		if perm := info.Mode().Perm(); perm != 0o700 && (path != j.Path() || perm != 0o600) {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
	}
	fd := j.run.file.Fd()
	if flags, err := unix.FcntlInt(fd, unix.F_GETFL, 0); err != nil || flags&unix.O_APPEND == 0 || flags&unix.O_ACCMODE != unix.O_WRONLY {
		t.Errorf("flags %#x, %v", flags, err)
	}
	if flags, err := unix.FcntlInt(fd, unix.F_GETFD, 0); err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("descriptor flags %#x, %v", flags, err)
	}
}

func TestTwoRunsAtOnce(t *testing.T) {
	state := filepath.Join(t.TempDir(), "mcpbox")
	at := func() time.Time { return time.Unix(0, 0) }
	a, err := open(Config{State: state, Name: "x"}, at)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	b, err := open(Config{State: state, Name: "x"}, at)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if a.Path() == b.Path() {
		t.Errorf("both write to %s", a.Path())
	}
}

// Without a journal there is no run: each way in which the place for it is not
// ours alone is an error.
func TestOpenRefuses(t *testing.T) {
	for _, c := range []struct {
		name    string
		prepare func(state string) error
	}{
		{"state readable by others", func(s string) error {
			return errors.Join(os.Mkdir(s, 0o700), os.Chmod(s, 0o755))
		}},
		{"journal is a link", func(s string) error {
			return errors.Join(os.Mkdir(s, 0o700), os.Symlink(os.TempDir(), filepath.Join(s, "journal")))
		}},
		{"server's directory is a link", func(s string) error {
			return errors.Join(os.MkdirAll(filepath.Join(s, "journal"), 0o700), os.Symlink(os.TempDir(), filepath.Join(s, "journal/fs")))
		}},
		{"journal is a file", func(s string) error {
			return errors.Join(os.Mkdir(s, 0o700), os.WriteFile(filepath.Join(s, "journal"), nil, 0o600))
		}},
		{"state is a file", func(s string) error { return os.WriteFile(s, nil, 0o600) }},
	} {
		state := filepath.Join(t.TempDir(), "mcpbox")
		if err := c.prepare(state); err != nil {
			t.Fatal(err)
		}
		if j, err := Open(Config{State: state, Name: "fs"}); err == nil {
			t.Errorf("%s: opened %s", c.name, j.Path())
		}
	}
	state := filepath.Join(t.TempDir(), "mcpbox") // the control
	j, err := Open(Config{State: state, Name: "fs"})
	if err != nil {
		t.Fatal(err)
	}
	j.Close()
}

func TestRecords(t *testing.T) {
	t.Setenv("SECRET_TOKEN", "hunter2")
	j := testJournal(t)
	type layer struct {
		Name  string `json:"name"`
		State string `json:"state"`
	}
	steps := []error{
		j.Start(Start{Name: "fs", Argv: []string{"node", "x.js", "/p"}, Policy: "sha256:00", Profile: "node", Backend: "native", PID: 7, BoxPID: 8, Layers: []layer{{"seccomp", "enforced"}}}),
		j.Event(Event{Kind: SymlinkLeavesTree, Path: "/p/a", Target: "/etc", Detail: "two\nlines"}),
		j.Exit(Exit{Code: -1, Signal: 9, Reason: "stopped", Duration: 3 * time.Second, User: 2, System: 1, MaxRSS: 4096, ToServer: Traffic{10, 1, 0}, ToHost: Traffic{20, 2, 3}}),
	}
	if err := errors.Join(steps...); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(j.Path())
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	// What sha256sum(1) says of a line.
	sum := func(line int) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(got[line]+"\n"))) }
	want := []string{
		`{"time":"2026-03-01T10:15:30.000000005Z","event":"start","name":"fs","argv":["node","x.js","/p"],"policy":"sha256:00","profile":"node","backend":"native","pid":7,"boxPid":8,"layers":[{"name":"seccomp","state":"enforced"}],"n":1}`,
		`{"time":"2026-03-01T10:15:30.000000005Z","event":"event","kind":"symlink_leaves_tree","path":"/p/a","target":"/etc","detail":"two\nlines","n":2,"prev":"` + sum(0) + `"}`,
		`{"time":"2026-03-01T10:15:30.000000005Z","event":"exit","code":-1,"signal":9,"reason":"stopped","durationNs":3000000000,"userNs":2,"systemNs":1,"maxRssBytes":4096,"toServer":{"bytes":10,"lines":1},"toHost":{"bytes":20,"lines":2,"droppedBytes":3},"n":3,"prev":"` + sum(1) + `"}`,
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if bytes.Contains(data, []byte("hunter2")) {
		t.Error("the journal holds a value of the environment")
	}
}

// Somebody else may add to a journal that there is.
func TestAdd(t *testing.T) {
	j := testJournal(t)
	if err := errors.Join(j.Start(Start{Name: "fs"}), j.Close(), Add(j.Path(), Event{Kind: KilledOutright, Detail: "x"}), Add(j.Path(), Event{Kind: Warning})); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(j.Path())
	if lines := strings.Split(string(data), "\n"); err != nil || len(lines) != 4 || !strings.HasSuffix(lines[1], `"event":"event","kind":"killed_outright","detail":"x","n":2,"prev":"`+fmt.Sprintf("%x", sha256.Sum256([]byte(lines[0]+"\n")))+`"}`) {
		t.Errorf("%s, %v", data, err)
	}
	// One that has an end gets no other; one without gets one.
	if err := AddEnd(j.Path(), Event{Kind: LauncherDied}); err != nil {
		t.Fatal(err)
	}
	ended, err := os.ReadFile(j.Path())
	if err := AddEnd(j.Path(), Event{Kind: LauncherDied}); err != nil {
		t.Fatal(err)
	}
	again, _ := os.ReadFile(j.Path())
	if err != nil || !bytes.Contains(ended, []byte(`"kind":"launcher_died"`)) || !bytes.Equal(ended, again) {
		t.Errorf("%s, %v, then %s", ended, err, again)
	}
	if err := Add(strings.Replace(j.Path(), "Z-", "Z-0", 1), Event{Kind: KilledOutright}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// What comes from outside is one line, steers no terminal, and reads back as it
// was.
func FuzzRecord(f *testing.F) {
	for _, s := range []string{"plain", "\x1b]52;c;x\x07", "a\nb\r\u2028", "\u202e\U000e0041\u009b\x7f", "\xff\xfe", `"}{"event":"exit"`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		text, err := encode(Event{Kind: Warning, Path: s, Detail: s}, time.Unix(1, 1))
		if err != nil {
			t.Fatal(err)
		}
		line := (&stream{}).place(text, 1, [32]byte{})
		if bytes.IndexByte(line, '\n') != len(line)-1 {
			t.Fatalf("%q became %q", s, line)
		}
		for _, r := range string(line[:len(line)-1]) {
			if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp) {
				t.Fatalf("%q became %q", s, line)
			}
		}
		var back struct {
			Event, Kind, Path, Detail string
			Time                      time.Time
		}
		if err := json.Unmarshal(line, &back); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		want := strings.ToValidUTF8(s, "\ufffd")
		if back.Event != "event" || back.Kind != "warning" || !back.Time.Equal(time.Unix(1, 1)) || !sameText(back.Path, want, s) || back.Detail != back.Path {
			t.Fatalf("%q reads back as %+v", s, back)
		}
	})
}

// sameText allows for one replacement character for each invalid byte, or for a
// run of them.
func sameText(got, want, original string) bool {
	return got == want || got == string([]rune(original))
}

// Records from many goroutines stay whole, and closing is safe at any time.
func TestConcurrentRecords(t *testing.T) {
	j := testJournal(t)
	long := strings.Repeat("x", 9000) // more than a page
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if err := j.Event(Event{Kind: Warning, Detail: long}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if err := errors.Join(j.Close(), j.Close()); err != nil {
		t.Error(err)
	}
	if err := j.Event(Event{Kind: Warning}); err == nil {
		t.Error("a closed journal took a record")
	}
	data, err := os.ReadFile(j.Path())
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	if len(lines) != 400 {
		t.Errorf("%d lines", len(lines))
	}
	for _, l := range lines {
		if !json.Valid([]byte(l)) {
			t.Fatalf("not whole: %.100s", l)
		}
	}
}
