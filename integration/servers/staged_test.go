package servers

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/integration/setup"
)

// Servers that write, edit, move and remove files answer in a box with staged
// directories what they answer bare. Meanwhile nothing changes in the project.
// Once a person has applied it, the project is as the bare server has left it;
// once it is taken back, as it was before.
func TestStagedAsBare(t *testing.T) {
	box, p := mcpbox(t), place(t)
	for _, who := range accounts(t) {
		for _, s := range []Server{Find("filesystem"), Find("memory"), Find("sqlite")} {
			t.Run(who.name+"/"+s.ID, func(t *testing.T) {
				t.Parallel()
				compareStaged(t, who, s, p, box)
			})
		}
	}
}

func compareStaged(t *testing.T, who account, s Server, p Place, box string) {
	home := filepath.Join(setup.Scratch(t, "mcpbox-servers-"), "home")
	p.Work = filepath.Join(home, "project")
	argv, env := s.Bare(p)
	bare, bareTree, _ := observe(t, who, s, p, home, argv, env)

	who.home(t, home)
	before := tree(t, p.Work)
	s.Box = append(s.Box, "--staged")
	during := ""
	staged, stderr := watch(t, who, s, p, home, s.Boxed(box, p), nil, func() { during = tree(t, p.Work) })
	for i := range bare.Outcomes {
		same(t, s.Calls[i].Tool, bare.Outcomes[i], staged.Outcomes[i])
	}
	same(t, "project, while the server runs", before, during)
	same(t, "project, when it has ended", before, tree(t, p.Work))
	if bareTree == before {
		t.Fatal("the control failed: the bare server has changed nothing")
	}
	if !strings.Contains(stderr, "to see it, type: mcpbox changes ") {
		t.Errorf("stderr: %s", tail(stderr))
	}

	changes := func(args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		cmd := who.command(home, p.Work, box, append([]string{"changes"}, args...)...)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		stop := context.AfterFunc(ctx, func() { cmd.Process.Kill() })
		defer stop()
		if err := cmd.Wait(); err != nil {
			t.Errorf("mcpbox changes %q: %v: %s", args, err, out.String())
		}
		return out.String()
	}
	if shown := changes(s.ID); !strings.Contains(shown, p.Work) {
		t.Errorf("shown: %s", shown)
	}
	changes("apply", s.ID)
	same(t, "project, applied", bareTree, tree(t, p.Work))
	changes("undo", s.ID)
	same(t, "project, taken back", before, tree(t, p.Work))
}
