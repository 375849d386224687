package servers

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/integration/setup"
)

// Every public server lists and does in the box what it lists and does bare,
// and leaves the same files behind, of the same owner.
func TestServersAnswerAsBare(t *testing.T) {
	box, p := mcpbox(t), place(t)
	for _, who := range accounts(t) {
		for _, s := range All() {
			t.Run(who.name+"/"+s.ID, func(t *testing.T) {
				t.Parallel()
				setup.Need(t, !s.uses("{browser}") || p.Browser != "", "Chromium: install Debian's chromium-headless-shell")
				compare(t, who, s, p, box)
			})
		}
	}
}

func compare(t *testing.T, who account, s Server, p Place, box string) {
	home := filepath.Join(setup.Scratch(t, "mcpbox-servers-"), "home")
	p.Work = filepath.Join(home, "project")
	argv, env := s.Bare(p)
	bare, bareTree, _ := observe(t, who, s, p, home, argv, env)
	boxed, boxedTree, stderr := observe(t, who, s, p, home, s.Boxed(box, p), nil)
	asBare(t, s, bare, boxed, bareTree, boxedTree, stderr)
}

// asBare compares what was seen of a server bare and in a box, and what mcpbox said.
func asBare(t *testing.T, s Server, bare, boxed *Observation, bareTree, boxedTree, stderr string) {
	t.Helper()
	// The comparison would be empty without this.
	if len(bare.Tools) == 0 || len(bare.Outcomes) != len(s.Calls) {
		t.Fatalf("bare: %d tools, %d of %d calls answered", len(bare.Tools), len(bare.Outcomes), len(s.Calls))
	}
	for i, c := range s.Calls {
		if o := bare.Outcomes[i]; o.Failed != c.Fails {
			t.Errorf("bare: call %d, %s: %s", i, c.Tool, o.Text)
		}
	}
	same(t, "server", bare.Server, boxed.Server)
	same(t, "tools", bare.Tools, boxed.Tools)
	same(t, "prompts", bare.Prompts, boxed.Prompts)
	same(t, "resources", bare.Resources, boxed.Resources)
	same(t, "requests to the client", bare.Asked, boxed.Asked)
	for i := range bare.Outcomes {
		same(t, fmt.Sprintf("call %d", i), bare.Outcomes[i], boxed.Outcomes[i])
	}
	if !s.NoWork {
		same(t, "files left behind", bareTree, boxedTree)
	}
	for line := range strings.Lines(stderr) {
		if s.Chatty && strings.HasPrefix(line, "mcpbox: "+s.ID+": no message on stdout: ") {
			continue
		}
		if strings.HasPrefix(line, "mcpbox: ") && (len(s.Dials) == 0 || !said(line, s.ID, "")) {
			t.Errorf("mcpbox was not quiet: %s", line)
		}
	}
	if t.Failed() {
		t.Logf("stderr in the box ends:\n%s", tail(stderr))
	}
}

// observe runs s by argv in a fresh home, and says what the client saw, what
// the project looks like afterwards, and what came on stderr.
func observe(t *testing.T, who account, s Server, p Place, home string, argv, env []string) (*Observation, string, string) {
	t.Helper()
	who.home(t, home)
	seen, stderr := watch(t, who, s, p, home, argv, env, func() {})
	return seen, tree(t, p.Work), stderr
}

// watch runs s by argv, calls last before it ends it, and says what the client
// saw and what came on stderr.
func watch(t *testing.T, who account, s Server, p Place, home string, argv, env []string, last func()) (*Observation, string) {
	t.Helper()
	cmd := who.command(home, p.Work, argv[0], argv[1:]...)
	cmd.Env = append(cmd.Env, env...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	seen, err := Observe(ctx, s, p, cmd, last)
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(argv, " "), err, tail(stderr.String()))
	}
	return seen, stderr.String()
}

// tail is the end of a server's log.
func tail(s string) string {
	return s[max(0, len(s)-2000):]
}

func same(t *testing.T, what string, bare, boxed any) {
	t.Helper()
	if a, b := fmt.Sprintf("%+v", bare), fmt.Sprintf("%+v", boxed); a != b {
		t.Errorf("%s:\n bare: %s\nboxed: %s", what, a, b)
	}
}

// tree describes each file below dir: name, mode, owner and content. Of git's
// own files only the names count: the index holds times and inode numbers.
func tree(t *testing.T, dir string) string {
	t.Helper()
	var out strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		name = timestamp(name)
		sum := ""
		if d.Type().IsRegular() && !strings.HasPrefix(name, ".git/") && !strings.HasSuffix(name, ".png") {
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			sum = fmt.Sprintf("%x", sha256.Sum256(text))[:12]
		}
		fmt.Fprintf(&out, "%s %s %d %s\n", info.Mode(), name, info.Sys().(*syscall.Stat_t).Uid, sum)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// timestamp blanks out the digits of a file name that holds a time.
func timestamp(name string) string {
	if !strings.Contains(name, "page-") {
		return name
	}
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '0'
		}
		return r
	}, name)
}

// The tests above would pass with any client if Observe saw nothing; a server
// that answers differently must be told apart.
func TestObserveSeesDifferences(t *testing.T) {
	p := place(t)
	who := accounts(t)[0]
	home := filepath.Join(setup.Scratch(t, "mcpbox-servers-"), "home")
	p.Work = who.home(t, home)
	s := Find("filesystem")
	see := func(args ...string) *Observation {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		path, err := exec.LookPath("node")
		setup.Need(t, err == nil, "node")
		seen, err := Observe(ctx, s, p, who.command(home, p.Work, path, args...), func() {})
		if err != nil {
			t.Fatal(err)
		}
		return seen
	}
	argv, _ := s.Bare(p)
	full := see(argv[1:]...)
	s.Calls[1].Args = map[string]any{"path": "{work}/nothing"}
	other := see(argv[1:]...)
	if full.Outcomes[1].Failed || !other.Outcomes[1].Failed {
		t.Errorf("reading a file: %+v; reading none: %+v", full.Outcomes[1], other.Outcomes[1])
	}
	if len(full.Asked) == 0 {
		t.Error("the server did not ask for the client's roots, or Observe did not see it")
	}
}
