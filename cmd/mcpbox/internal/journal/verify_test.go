package journal

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/policy"
)

// history is a state directory with the journals of some runs that have ended.
// The second one has several segments of either kind, of which some are removed.
type history struct {
	state string
	paths []string // of the runs' first files
}

func testHistory(t *testing.T) history {
	t.Helper()
	h := history{state: filepath.Join(t.TempDir(), "mcpbox")}
	at := time.Unix(1e9, 0)
	tick := func() time.Time { at = at.Add(time.Microsecond); return at }
	for run := range 3 {
		j, err := open(Config{State: h.state, Name: "fs", Policy: policy.Journal{Max: 1 << 20}}, tick)
		if err != nil {
			t.Fatal(err)
		}
		h.paths = append(h.paths, j.Path())
		fail := func(err error) {
			if err != nil {
				t.Fatal(err)
			}
		}
		fail(j.Start(Start{Name: "fs"}))
		for i := range 10 + 2000*(run%2) {
			fail(j.Event(Event{Kind: Warning, Detail: fmt.Sprintf("%0250d", i)}))
			fail(j.Message(Message{Direction: ToServer, Kind: Request, Method: "tools/call", Call: int64(i + 1)}, []byte("{}\n")))
		}
		fail(j.Exit(Exit{}))
		fail(j.Close())
	}
	return h
}

func (h history) verify(t *testing.T) (states string, faults []string) {
	t.Helper()
	list, err := Verify(h.state, func(File) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		states += c.State + " "
		faults = append(faults, c.Faults...)
	}
	return strings.TrimSpace(states), faults
}

// segment is the path of a later segment of a run.
func (h history) segment(run int, infix string) string {
	return strings.TrimSuffix(h.paths[run], extension) + infix + extension
}

// No segment is longer than its part, however fast messages come.
func TestSegmentLength(t *testing.T) {
	state := filepath.Join(t.TempDir(), "mcpbox")
	j, err := Open(Config{State: state, Name: "fs", Policy: policy.Journal{Max: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 10_000 {
		if err := j.Message(Message{Direction: ToServer, Kind: Request, Method: "tools/call", Call: int64(i + 1)}, []byte("{}\n")); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := Files(state)
	if err != nil {
		t.Fatal(err)
	}
	long := 0
	for _, f := range files {
		info, err := os.Lstat(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		if n := info.Size(); n > 1<<20/2/parts {
			t.Errorf("%s has %d bytes", filepath.Base(f.Path), n)
		} else if n > 1<<20/2/parts/2 {
			long++
		}
	}
	if long < parts/2 {
		t.Errorf("%d segments of %d are long", long, len(files))
	}
}

// A long run is bounded, goes on in segments that hang together, and what is
// removed is told.
func TestSegments(t *testing.T) {
	h := testHistory(t)
	files, err := Files(h.state)
	if err != nil {
		t.Fatal(err)
	}
	var bytes int64
	var own, messages []int
	for _, f := range files {
		if strings.TrimSuffix(h.paths[1], extension) != filepath.Join(filepath.Dir(f.Path), f.run) {
			continue
		}
		info, err := os.Lstat(f.Path)
		if err != nil {
			t.Fatal(err)
		}
		bytes += info.Size()
		if f.Messages {
			messages = append(messages, f.Segment)
		} else {
			own = append(own, f.Segment)
		}
	}
	if bytes > 1<<20 || bytes < 3<<18 {
		t.Errorf("%d bytes are kept of at most 1 MiB", bytes)
	}
	for _, list := range [][]int{own, messages} {
		if len(list) < 3 || list[0] != 1 || list[1] < 3 || list[len(list)-1] != list[1]+len(list)-2 {
			t.Errorf("segments %d", list)
		}
	}
	last := h.segment(1, fmt.Sprintf(".%d", own[len(own)-1]))
	r := opening(last)
	if r.Segment != own[len(own)-1] || r.Removed != own[1]-1 || r.Records < 100 {
		t.Errorf("%s begins with %+v", last, r)
	}
	if states, faults := h.verify(t); states != "whole whole whole" || faults != nil {
		t.Errorf("%s, %q", states, faults)
	}
}

// Whatever is changed in what runs have left, verifying says where.
func TestVerify(t *testing.T) {
	replace := func(path, old, new string) error {
		data, err := os.ReadFile(path)
		if !bytes.Contains(data, []byte(old)) {
			return errors.New("there is no " + old)
		}
		return errors.Join(err, os.WriteFile(path, bytes.Replace(data, []byte(old), []byte(new), 1), 0o600))
	}
	lines := func(path string, change func(lines [][]byte) [][]byte) error {
		data, err := os.ReadFile(path)
		list := change(bytes.SplitAfter(bytes.TrimSuffix(data, []byte("\n")), []byte("\n")))
		return errors.Join(err, os.WriteFile(path, bytes.Join(list, nil), 0o600))
	}
	cut := func(path string, by int64) error {
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		return os.Truncate(path, info.Size()-by)
	}
	glob := func(pattern string, at int) string {
		list, err := filepath.Glob(pattern)
		if err != nil || len(list) == 0 {
			t.Fatal(pattern, err)
		}
		return list[(at+len(list))%len(list)]
	}
	for _, c := range []struct {
		name   string
		tamper func(h history) error
		states string
		fault  string // "" for a change that is none
	}{
		{"nothing", func(h history) error { return nil }, "whole whole whole", ""},
		{"a record is changed", func(h history) error {
			return replace(h.paths[0], fmt.Sprintf("%0250d", 4), fmt.Sprintf("%0250d", 5))
		}, "broken whole whole", ": record 7 (line 7) does not follow from record 6: one of them was changed"},
		{"the last record is changed", func(h history) error {
			return replace(h.paths[0], `"code":0`, `"code":1`)
		}, "broken whole whole", ": record 12 (line 12) is not the one that was there when the run "},
		{"the first record is changed", func(h history) error {
			return replace(h.paths[0], `"name":"fs"`, `"name":"sf"`)
		}, "broken whole whole", ": record 2 (line 2) does not follow from record 1"},
		{"the first record is taken out of the chain", func(h history) error { return replace(h.paths[0], `,"n":1`, "") },
			"broken whole whole", ": line 1 is no record of the chain"},
		{"all records are taken out of the chain", func(h history) error {
			return lines(h.paths[0], func(l [][]byte) [][]byte {
				for i := range l {
					if at := bytes.Index(l[i], []byte(`,"n":`)); at >= 0 {
						l[i] = append(bytes.Clone(l[i][:at]), "}\n"...)
					}
				}
				return l
			})
		}, "broken whole whole", ": line 1 is no record of the chain"},
		{"a record is taken out", func(h history) error {
			return lines(h.paths[0], func(l [][]byte) [][]byte { return append(l[:5:5], l[6:]...) })
		}, "broken whole whole", ": line 6 is record 7, where 6 should be"},
		{"two records change places", func(h history) error {
			return lines(h.paths[0], func(l [][]byte) [][]byte { l[3], l[4] = l[4], l[3]; return l })
		}, "broken whole whole", ": line 4 is record 5, where 4 should be"},
		{"a line is put in", func(h history) error {
			return lines(h.paths[0], func(l [][]byte) [][]byte { return append(l[:5:5], append([][]byte{[]byte("{}\n")}, l[5:]...)...) })
		}, "broken whole whole", ": line 6 is no record of the chain"},
		{"an end is cut off", func(h history) error {
			return lines(h.paths[0], func(l [][]byte) [][]byte { return append(l[:5:5], nil) })
		}, "broken whole whole", ": ends with record 5; there were 12 when the run "},
		{"of the last run", func(h history) error {
			return lines(h.paths[2], func(l [][]byte) [][]byte { return append(l[:5:5], nil) })
		}, "whole whole broken", " has no record of the run's end: its mcpbox was killed, or the end is cut off"},
		{"within a line", func(h history) error { return cut(h.paths[2], 20) },
			"whole whole broken", " has no record of the run's end"},
		{"something is added", func(h history) error { return replace(h.paths[2], `"code":0`, `"code":0}`+"\n"+`{"code":0`) },
			"whole whole broken", ": line 12 is no record of the chain"},
		{"text is added", func(h history) error {
			file, err := os.OpenFile(h.paths[2], os.O_WRONLY|os.O_APPEND, 0)
			if err != nil {
				return err
			}
			_, err = file.WriteString("x")
			return errors.Join(err, file.Close())
		}, "whole whole broken", ": there is more after the record of the end"},
		{"a segment is gone", func(h history) error { return os.Remove(glob(h.segment(1, ".[0-9]*"), 1)) },
			"whole broken whole", ", which comes before it, is missing"},
		{"the first segment is gone", func(h history) error { return os.Remove(h.paths[1]) },
			"whole broken whole", ": segment 1, which comes before it, is missing"},
		{"the last segment is gone", func(h history) error {
			files, err := Files(h.state)
			last := ""
			for _, f := range files {
				if f.run == strings.TrimSuffix(filepath.Base(h.paths[1]), extension) && !f.Messages {
					last = f.Path
				}
			}
			return errors.Join(err, os.Remove(last))
		}, "whole broken whole", "when the run "},
		{"the messages' last segment is gone", func(h history) error {
			files, err := Files(h.state)
			last := ""
			for _, f := range files {
				if f.run == strings.TrimSuffix(filepath.Base(h.paths[1]), extension) && f.Messages {
					last = f.Path
				}
			}
			return errors.Join(err, os.Remove(last))
		}, "whole broken whole", " when the run ended"},
		{"the messages are gone", func(h history) error { return os.Remove(h.segment(2, ".messages")) },
			"whole whole broken", ".messages.jsonl: ends with record 0; there were 10 when the run ended"},
		{"messages of another run", func(h history) error {
			return os.Rename(h.segment(0, ".messages"), h.segment(2, ".messages"))
		}, "broken whole broken", ": record 10 (line 10) is not the one that was there when the run ended"},
		{"a whole run is gone", func(h history) error {
			return errors.Join(os.Remove(h.paths[0]), os.Remove(h.segment(0, ".messages")))
		}, "broken whole whole", " is missing: it was there when the run "},
		// What README says that nobody can tell.
		{"the last run is gone", func(h history) error {
			return errors.Join(os.Remove(h.paths[2]), os.Remove(h.segment(2, ".messages")))
		}, "whole whole", ""},
		{"the last record of the last run is changed", func(h history) error {
			return replace(h.paths[2], `"code":0`, `"code":1`)
		}, "whole whole whole", ""},
	} {
		t.Run(strings.ReplaceAll(c.name, " ", "-"), func(t *testing.T) {
			h := testHistory(t)
			if err := c.tamper(h); err != nil {
				t.Fatal(err)
			}
			states, faults := h.verify(t)
			if states != c.states || c.fault != "" && !strings.Contains(strings.Join(faults, "\n"), c.fault) {
				t.Errorf("%s\n%s\nwant %s\n%s", states, strings.Join(faults, "\n"), c.states, c.fault)
			}
		})
	}
}

// A run that lives is whole, although it has no end, and so is one of which the
// next run knows that it had none.
func TestVerifyLive(t *testing.T) {
	h := history{state: filepath.Join(t.TempDir(), "mcpbox")}
	begin := func() *Journal {
		j, err := Open(Config{State: h.state, Name: "fs"})
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Start(Start{Name: "fs"}); err != nil {
			t.Fatal(err)
		}
		return j
	}
	j := begin()
	if states, faults := h.verify(t); states != "running" {
		t.Errorf("%s, %q", states, faults)
	}
	j.lock.Close() // which ends it as SIGKILL would
	if states, _ := h.verify(t); states != "broken" {
		t.Errorf("killed: %s", states)
	}
	defer begin().Close()
	if states, faults := h.verify(t); states != "whole running" {
		t.Errorf("killed, and seen by the next: %s, %q", states, faults)
	}
}

// The runs of a server are bounded together, the oldest go, those that live stay,
// and that is no fault.
func TestRetention(t *testing.T) {
	h := history{state: filepath.Join(t.TempDir(), "mcpbox")}
	begin := func() *Journal {
		j, err := Open(Config{State: h.state, Name: "fs", Policy: policy.Journal{Max: 1 << 20, Keep: 2 << 20}})
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Start(Start{Name: "fs"}); err != nil {
			t.Fatal(err)
		}
		return j
	}
	living := begin()
	defer living.Close()
	var paths []string
	for range 8 {
		j := begin()
		for range 260 {
			j.Event(Event{Kind: Warning, Detail: strings.Repeat("x", 1000)})
		}
		if err := errors.Join(j.Exit(Exit{}), j.Close()); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, j.Path())
	}
	for i, path := range paths {
		if _, err := os.Lstat(path); (err == nil) != (i >= 4) {
			t.Errorf("run %d of 8: %v", i+1, err)
		}
	}
	if _, err := os.Lstat(living.Path()); err != nil {
		t.Error(err)
	}
	if states, faults := h.verify(t); states != "running whole whole whole whole" {
		t.Errorf("%s, %q", states, faults)
	}
	// The control: without the word of that, it is one.
	if err := os.Remove(paths[5]); err != nil {
		t.Fatal(err)
	}
	if states, _ := h.verify(t); states != "running whole broken whole whole" {
		t.Errorf("a run is taken away: %s", states)
	}
}
