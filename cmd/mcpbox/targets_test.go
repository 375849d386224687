package main

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/runs"
)

func testRun(name, id string) *runs.Run { return &runs.Run{State: runs.State{Name: name, ID: id}} }

func TestTargets(t *testing.T) {
	list := []*runs.Run{
		testRun("fs", "00000001"), testRun("fs", "00000002"), testRun("git", "00000003"),
		testRun("00000003", "00000004"), testRun("00000005", "00000005"),
	}
	for _, c := range []struct{ args, want, wrong string }{
		{"fs", "00000001 00000002", ""},
		{"git", "00000003", ""},
		{"00000002", "00000002", ""},
		{"00000002 fs git fs", "00000002 00000001 00000003", ""}, // each once
		{"00000004", "00000004", ""},
		{"00000005", "00000005", ""}, // by both
		{"00000003", "", `"00000003" is the ID of one run and the name of another; use the ID of the one, or the name of the other: git (00000003), 00000003 (00000004)`},
		{"fs 00000003", "", `is the ID of one run`},
		{"f", "", `no run has the name or ID "f"; running: fs (00000001), fs (00000002), git (00000003), 00000003 (00000004), 00000005 (00000005)`},
		{"0000000", "", `no run has`},
		{"FS", "", `no run has`},
		{"fs nope", "", `"nope", so nothing was done to the others; running: fs`},
	} {
		got, err := targets(list, strings.Fields(c.args))
		var ids []string
		for _, r := range got {
			ids = append(ids, r.ID)
		}
		if strings.Join(ids, " ") != c.want || (err == nil) != (c.wrong == "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
			t.Errorf("%s: %q, %v; want %q, %s", c.args, ids, err, c.want, c.wrong)
		}
	}
	if got, err := targets(nil, []string{"fs"}); got != nil || err == nil || !strings.HasSuffix(err.Error(), "nothing is running") {
		t.Errorf("%v, %v", got, err)
	}
}

func TestDescribeManyRuns(t *testing.T) {
	var list []*runs.Run
	for i := range 25 {
		list = append(list, testRun("fs", fmt.Sprintf("%08x", i)))
	}
	if got := describeRuns(list); strings.Count(got, "fs") != 20 || !strings.HasSuffix(got, "and 5 more") {
		t.Error(got)
	}
}

func TestEach(t *testing.T) {
	list := []*runs.Run{testRun("a", "00000001"), testRun("b", "00000002"), testRun("c", "00000003")}
	bad := errors.New("no")
	var count atomic.Int32
	err := each(list, func(i int, r *runs.Run) error {
		if list[i] != r {
			t.Errorf("%d is %s", i, r.Name)
		}
		if count.Add(1); r.Name != "b" {
			return bad
		}
		return nil
	})
	if count.Load() != 3 || !errors.Is(err, bad) || err.Error() != "a (00000001): no\nc (00000003): no" {
		t.Errorf("%d, %v", count.Load(), err)
	}
}
