package main

import (
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/integration/vm/step"
)

// TestCommand wants each step as who it should be, with a limit, in its directory,
// and its words as they are.
func TestCommand(t *testing.T) {
	s := step.Step{Dir: "/d", Env: []string{"A=b c"}, Args: []string{"/bin/sh", "-c", "echo 'a b'"}, Limit: time.Minute}
	for place, want := range map[step.Place][]string{
		step.Session:   {"--uid=user", "PAMName=login", "!--user"},
		step.Manager:   {"--uid=user", "PAMName=login", "--user", "!Delegate"},
		step.Delegated: {"--uid=user", "PAMName=login", "--user", "Delegate=yes", self + "\ndelegated\n"},
		step.Root:      {"!--uid", "!--user"},
	} {
		s.Place = place
		line := command(s)
		text := strings.Join(line, "\n") + "\n"
		for _, w := range append(want, "--wait\n", "RuntimeMaxSec=60\n", "--working-directory=/d\n", "--setenv=A=b c\n") {
			if w, absent := strings.CutPrefix(w, "!"); strings.Contains(text, w) == absent {
				t.Errorf("%s: %q: %q", place, w, line)
			}
		}
		if !strings.HasSuffix(text, "\n/bin/sh\n-c\necho 'a b'\n") {
			t.Errorf("%s: %q", place, line)
		}
	}
}
