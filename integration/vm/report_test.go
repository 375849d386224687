package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/integration/vm/step"
)

// TestFault holds events against what a step wants: each way to fail has to be
// told from success.
func TestFault(t *testing.T) {
	s := step.Step{Name: "s", Status: 3, Says: []string{"well", "hello"}, Limit: time.Minute}
	begun := step.Event{Kind: step.Begun, Step: "s"}
	said := step.Event{Kind: step.Output, Step: "s", Text: "well, hello"}
	ended := step.Event{Kind: step.Ended, Step: "s", Status: 3, Took: time.Second}
	otherStatus, late, notRun := ended, ended, ended
	otherStatus.Status = 0
	late.Status, late.Took = 1, time.Minute
	notRun.Text = "no such program"
	for _, test := range []struct {
		name   string
		events []step.Event
		want   string
	}{
		{"as it should be", []step.Event{begun, said, ended}, ""},
		{"nothing", nil, "did not end"},
		{"no end", []step.Event{begun, said}, "did not end"},
		{"status", []step.Event{begun, said, otherStatus}, "exit status 0, want 3"},
		{"limit", []step.Event{begun, said, late}, "took longer than 1m0s"},
		{"start", []step.Event{begun, notRun}, "did not run: no such program"},
		{"words", []step.Event{begun, ended}, `did not say "well"`},
		{"some words", []step.Event{begun, {Kind: step.Output, Step: "s", Text: "well"}, ended}, `did not say "hello"`},
		{"words of another", []step.Event{begun, {Kind: step.Output, Step: "t", Text: "well, hello"}, ended}, `did not say "well"`},
		{"no beginning", []step.Event{said, ended}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			r := newReport(&out, []step.Step{s}, func() time.Duration { return 0 })
			for _, e := range test.events {
				r.take(e)
			}
			if got := r.fault(s); got != test.want {
				t.Errorf("%q, want %q", got, test.want)
			}
			if ok := r.summary(); ok != (test.want == "") || strings.Contains(out.String(), "FAIL") == ok {
				t.Errorf("summary is %v:\n%s", ok, out.String())
			}
		})
	}
}

// TestBrief wants of a step that talks much the verdicts, and all where it failed.
func TestBrief(t *testing.T) {
	for status, want := range map[int]string{0: "--- PASS: TestA (0.1s)\n", 1: "talk\n"} {
		var out bytes.Buffer
		r := newReport(&out, []step.Step{{Name: "s", Brief: true, Limit: time.Minute}}, func() time.Duration { return 0 })
		for _, text := range []string{"talk", "--- talk", "--- PASS: TestA (0.1s)"} {
			r.take(step.Event{Kind: step.Output, Step: "s", Text: text})
		}
		r.take(step.Event{Kind: step.Ended, Step: "s", Status: status})
		r.summary()
		if !strings.Contains(out.String(), want) || strings.Contains(out.String(), "talk") != (status != 0) {
			t.Errorf("status %d:\n%s", status, out.String())
		}
	}
}

// TestDecode wants an error, not silence, where the guest's line breaks off.
func TestDecode(t *testing.T) {
	var kinds []step.Kind
	take := func(e step.Event) { kinds = append(kinds, e.Kind) }
	if err := decode(strings.NewReader(`{"Kind":"booted"}`+"\n"+`{"Kind":"done"}`+"\n"), take); err != nil || len(kinds) != 2 || kinds[1] != step.Done {
		t.Errorf("%q, %v", kinds, err)
	}
	if err := decode(strings.NewReader(`{"Kind":"booted"}`+"\n"+`{"Kind":"do`), take); err == nil {
		t.Error("half an event is no error")
	}
}

func TestMajor(t *testing.T) {
	for version, want := range map[string]int{
		"QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright (c) 2003-2022 Fabrice Bellard": 7,
		"QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-2)":                                                     10,
		"": 0,
	} {
		if got := major(version); got != want {
			t.Errorf("%q: %d, want %d", version, got, want)
		}
	}
}

// TestBatch wants what the guest relies on.
func TestBatch(t *testing.T) {
	names := map[string]bool{}
	for _, s := range batch() {
		if s.Name == "" || names[s.Name] || s.Limit <= 0 || len(s.Args) == 0 || !strings.HasPrefix(s.Args[0], "/") || !strings.HasPrefix(s.Dir, "/") {
			t.Errorf("%+v", s)
		}
		names[s.Name] = true
	}
}
