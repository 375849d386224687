package main

import (
	"os"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/control"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/runs"
)

func TestCondition(t *testing.T) {
	for want, s := range map[string]*control.Status{
		"hung": nil, "running": {}, "frozen": {Frozen: true}, "cut": {Cut: true}, "frozen,cut": {Frozen: true, Cut: true},
		"ending": {Frozen: true, Cut: true, Ending: true},
	} {
		if got := condition(s); got != want {
			t.Errorf("%+v is %s, want %s", s, got, want)
		}
	}
}

func TestShare(t *testing.T) {
	of := func(id string, cpu time.Duration) surveyed {
		return surveyed{State: runs.State{ID: id}, Status: &control.Status{CPU: cpu}}
	}
	s := take([]surveyed{of("a", time.Hour), {State: runs.State{ID: "hung"}}})
	s.at = s.at.Add(-10 * time.Second)
	for want, r := range map[string]surveyed{
		"50%": of("a", time.Hour+5*time.Second), "0%": of("a", time.Minute), "-": of("new", time.Hour),
	} {
		if got := s.share(r); got != want {
			t.Errorf("%v is %s, want %s", r.Status.CPU, got, want)
		}
	}
	for _, id := range []string{"a", "hung"} {
		if got := s.share(surveyed{State: runs.State{ID: id}}); got != "-" {
			t.Errorf("of a hung run: %s", got)
		}
	}
}

func TestClientOf(t *testing.T) {
	if got := clientOf(os.Getpid()); got != nameOf(os.Args) {
		t.Errorf("this is %q, want %q", got, nameOf(os.Args))
	}
	if got := clientOf(1 << 30); got != "" {
		t.Errorf("nobody is %q", got)
	}
}
