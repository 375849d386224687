package journal

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFiles(t *testing.T) {
	state := filepath.Join(t.TempDir(), "mcpbox")
	if list, err := Files(state); err != nil || list != nil {
		t.Fatalf("%v, %v", list, err)
	}
	clock := time.Unix(100, 0)
	tick := func() time.Time { clock = clock.Add(time.Second); return clock }
	var want []File
	for _, name := range []string{"b", "a", "b"} {
		j, err := open(Config{State: state, Name: name}, tick)
		opened := clock.UTC()
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(j.Start(Start{Name: name}), j.Close()); err != nil {
			t.Fatal(err)
		}
		want = append(want, File{Path: j.Path(), Name: name, ID: j.ID(), Started: opened, Segment: 1, run: strings.TrimSuffix(filepath.Base(j.Path()), extension)})
	}
	// What is no journal is left out.
	for _, name := range []string{".hidden/20260301T101530.123456789Z-1f0c9a7e.jsonl", "a/notes", "a/20260301-1f0c9a7e.jsonl", "a/20260301T101530.123456789Z-1f0c9a7e.gz",
		"a/20260301T101530.123456789Z-1f0c9a7e.1.jsonl", "a/20260301T101530.123456789Z-1f0c9a7e.02.jsonl", "a/20260301T101530.123456789Z-1f0c9a7e.-2.jsonl",
		"a/20260301T101530.123456789Z-1f0c9a7e.letters.jsonl", "a/20260301T101530.123456789Z-1f0c9a7e.messages.1.jsonl", "a/20260301T101530.123456789Z-.jsonl"} {
		path := filepath.Join(state, "journal", name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(state, "journal/file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	list, err := Files(state)
	if err != nil || len(list) != len(want) {
		t.Fatalf("%v, %v", list, err)
	}
	for i, f := range list {
		if f != want[i] {
			t.Errorf("%+v, want %+v", f, want[i])
		}
	}
}

func TestFollower(t *testing.T) {
	j := testJournal(t)
	f := &Follower{File: File{Path: j.Path(), Name: "fs"}}
	next := func(from time.Time) (events []string) {
		t.Helper()
		list, err := f.Next(from)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if e.Name != "fs" || !e.Time.Equal(j.now()) {
				t.Errorf("%+v", e)
			}
			events = append(events, e.Event)
		}
		return events
	}
	raw, err := os.OpenFile(j.Path(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer raw.Close()
	write := func(text string) {
		if _, err := raw.WriteString(text); err != nil {
			t.Fatal(err)
		}
	}

	if got := next(time.Time{}); got != nil {
		t.Errorf("of an empty journal: %q", got)
	}
	if err := errors.Join(j.Start(Start{Name: "fs"}), j.Connect(Connection{Verdict: "refused"})); err != nil {
		t.Fatal(err)
	}
	if got := next(time.Time{}); len(got) != 2 || got[0] != "start" || got[1] != "connect" {
		t.Errorf("%q", got)
	}
	if got := next(time.Time{}); got != nil {
		t.Errorf("again: %q", got)
	}
	write(`{"time":"2026-03-01T10:15:30.000000005Z","ev`)
	if got := next(time.Time{}); got != nil {
		t.Errorf("half a line is %q", got)
	}
	write("ent\":\"sneeze\"}\n")
	if got := next(time.Time{}); len(got) != 1 || got[0] != "sneeze" {
		t.Errorf("the whole line is %q", got)
	}
	if err := j.Exit(Exit{}); err != nil {
		t.Fatal(err)
	}
	if got := next(j.now().Add(1)); got != nil {
		t.Errorf("from later: %q", got)
	}
	write("[]\n{}\nx\n")
	if err := j.Event(Event{Kind: Warning}); err != nil {
		t.Fatal(err)
	}
	if list, err := f.Next(time.Time{}); err == nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if err := os.Remove(j.Path()); err != nil {
		t.Fatal(err)
	}
	if got := next(time.Time{}); got != nil {
		t.Errorf("of a removed journal: %q", got)
	}
}

func TestEntry(t *testing.T) {
	j := testJournal(t)
	if err := errors.Join(j.Connect(Connection{Verdict: "refused", Port: 7}), j.Connect(Connection{Verdict: "closed"}), j.Event(Event{Kind: Warning})); err != nil {
		t.Fatal(err)
	}
	list, err := (&Follower{File: File{Path: j.Path()}}).Next(time.Time{})
	if err != nil || len(list) != 3 || !list[0].Denied() || list[1].Denied() || list[2].Denied() {
		t.Fatalf("%+v, %v", list, err)
	}
	var c Connection
	if err := list[0].Decode(&c); err != nil || c.Port != 7 {
		t.Errorf("%+v, %v", c, err)
	}
}

// Whatever stands in a file, reading and checking it end, and what is read is an
// object that reads back.
func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"time":"2026-03-01T10:15:30.000000005Z","event":"start","name":"fs","n":1}`+"\n"), uint8(0))
	f.Add([]byte(`{"time":"2026-03-01T10:15:30Z","event":"removed","through":"x","n":1,"after":[{"run":"../../x","n":1}]}`+"\n{}\n[]\n"), uint8(1))
	f.Add([]byte(`{"event":"segment","segment":9,"removedThrough":1000000000,"removedRecords":-1,"n":9223372036854775807}`+"\n"), uint8(2))
	f.Add([]byte(`{"event":"exit","messages":{"n":-1},"n":1}`+"\n\n\x00"), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, where uint8) {
		state := t.TempDir()
		dir := filepath.Join(state, "journal/fs")
		base := filepath.Join(dir, "20260301T101530.123456789Z-1f0c9a7e")
		path := base + []string{".jsonl", ".7.jsonl", ".messages.jsonl", ".messages.2.jsonl"}[where%4]
		if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(path, data, 0o600)); err != nil {
			t.Fatal(err)
		}
		files, err := Files(state)
		if err != nil || len(files) != 1 || files[0].Path != path {
			t.Fatalf("%+v, %v", files, err)
		}
		follower := &Follower{File: files[0]}
		list, _ := follower.Next(time.Time{})
		for _, e := range list {
			if !json.Valid(e.Line) || e.Line[0] != '{' || bytes.IndexByte(e.Line, '\n') >= 0 {
				t.Errorf("%q", e.Line)
			}
		}
		if more, err := follower.Next(time.Time{}); more != nil || err != nil {
			t.Errorf("again: %v, %v", more, err)
		}
		checked, err := Verify(state, func(File) bool { return true })
		if err != nil || len(checked) == 0 || len(checked[0].Faults) > mostFaults {
			t.Errorf("%+v, %v", checked, err)
		}
		past := lookBack(dir, "2027", 0)
		past.looking.Wait()
		past.removal()
		Add(path, Event{Kind: Warning})
	})
}
