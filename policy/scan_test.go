package policy

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const scanRoot = "/home/ann/work/app"

// under turns "d .git/hooks" lines into lines for newHost, below scanRoot.
func under(lines ...string) string {
	var b strings.Builder
	for _, line := range lines {
		kind, rest, _ := strings.Cut(line, " ")
		fmt.Fprintf(&b, "%s %s/%s\n", kind, scanRoot, rest)
	}
	return b.String()
}

func found(list []Found) []string {
	var out []string
	for _, f := range list {
		out = append(out, strings.TrimPrefix(f.Path, scanRoot+"/"))
	}
	return out
}

// TestProtectedNames: the first line of each case is found, however it is
// written; "-" cases are the control that similar names are left alone.
func TestProtectedNames(t *testing.T) {
	for _, line := range []string{
		"d .git/hooks", "f .git/config", "f .git/config.worktree", "f .git/commondir", "f .git/info/attributes",
		"d .git/worktrees", "f .git/modules/a/config", "d .git/modules/a/b/c/hooks", "f .git/modules/a/modules/b/config",
		"f .git", "f sub/.git", "d sub/deep/.git/hooks", "d 1/2/3/4/5/.git/hooks", "l .git -> elsewhere", "l .git/hooks -> ../x",
		"d .GIT/Hooks", "d GIT~1/hooks", "d .g\u200cit/hooks", "d .git/hoo\u212as", "f .gitmodule\u017f",
		"f .bashrc", "f .zshenv", "f .envrc", "d .vscode", "d sub/.VSCODE", "f .mcp.json", "f CLAUDE.md", "f claude.MD",
		"f a/b/AGENTS.md", "d .github/workflows", "f .github/copilot-instructions.md", "l .github -> x", "f .npmrc",
		"f .cargo/config.toml", "d .ssh", "d .config/systemd", "d .local/bin", "f .aider.conf.yml", "d .husky", "f .mcpbox.toml",
	} {
		kind, name, _ := strings.Cut(line, " ")
		name, _, _ = strings.Cut(name, " -> ")
		s, err := ScanRoot(t.Context(), newHost(t, under(line)), scanRoot, ScanOptions{})
		if err != nil {
			t.Errorf("%s: %v", line, err)
		} else if got := found(s.Protected); !slices.Equal(got, []string{name}) {
			t.Errorf("%s: found %v", kind+" "+name, got)
		}
	}
	for _, line := range []string{
		"f .gitignore", "f git/hooks/x", "d hooks", "f config", "f .git/HEAD", "d .git/objects/config", "f .git/refs/hooks",
		"d .github/ISSUE_TEMPLATE", "f bashrc", "f my.bashrc", "d vscode", "f CLAUDE.md.bak", "d node_modules/x/.vscode",
		"d .venv/.git/hooks", "d 1/2/3/4/5/6/7/.git/hooks", "f .cargo/registry", "d .config/other", "f aider.conf",
	} {
		s, err := ScanRoot(t.Context(), newHost(t, under(line)), scanRoot, ScanOptions{})
		if err != nil || len(s.Protected) > 0 {
			t.Errorf("%s: found %v, %v", line, found(s.Protected), err)
		}
	}
}

func TestBareAndDetachedRepositories(t *testing.T) {
	for _, c := range []struct {
		lines []string
		want  []string
	}{
		{[]string{"f x.git/HEAD", "d x.git/objects", "d x.git/refs", "f x.git/config", "d x.git/hooks"}, []string{"x.git/config", "x.git/hooks"}},
		// A bare repository's names do not make the rest of it unwatched.
		{[]string{"f HEAD", "d objects", "d refs", "f config", "d .vscode", "f sub/.envrc"}, []string{".vscode", "config", "sub/.envrc"}},
		{[]string{"f x.git/HEAD", "d x.git/objects", "f x.git/config"}, nil},
		{[]string{"f x.git/HEAD", "f x.git/commondir", "f x.git/config.worktree"}, []string{"x.git/commondir", "x.git/config.worktree"}},
		{[]string{"f x.git/commondir", "f x.git/config.worktree"}, nil},
		{[]string{"f wt/.git gitdir: ../store/wt\n", "f store/wt/config", "d store/wt/objects"}, []string{"store/wt/config", "wt/.git"}},
		{[]string{"f wt/.git gitdir: /srv/data\n"}, []string{"wt/.git"}},
		{[]string{"f wt/.git gitdir: ../.git/modules/m\n", "f .git/modules/m/config"}, []string{".git/modules/m/config", "wt/.git"}},
		{[]string{"f wt/.git garbage"}, []string{"wt/.git"}},
	} {
		s, err := ScanRoot(t.Context(), newHost(t, under(c.lines...)), scanRoot, ScanOptions{})
		if err != nil || !slices.Equal(found(s.Protected), c.want) {
			t.Errorf("%q: found %v, want %v (%v)", c.lines, found(s.Protected), c.want, err)
		}
	}
}

func TestProtectNames(t *testing.T) {
	h := newHost(t, under("f deploy.sh", "f a/b/c/d/e/f/g/h.sh", "f node_modules/x/run", "l l -> a", "f lib/deploy.sh"))
	for _, c := range []struct {
		name string
		want []string
	}{
		{"deploy.sh", []string{"deploy.sh"}}, // not the one in lib
		{"DEPLOY.sh", []string{"deploy.sh"}},
		{"a/b/c/d/e/f/g/h.sh", []string{"a/b/c/d/e/f/g/h.sh"}},
		{"node_modules/x/run", []string{"node_modules/x/run"}},
		{"l/b", []string{"l"}}, // the link could be exchanged
		{"absent", nil},
	} {
		s, err := ScanRoot(t.Context(), h, scanRoot, ScanOptions{Names: []string{c.name}})
		if err != nil || !slices.Equal(found(s.Protected), c.want) {
			t.Errorf("%s: found %v, want %v (%v)", c.name, found(s.Protected), c.want, err)
		}
	}
	spec := func(protect string) error {
		_, _, err := Spec(&Policy{Files: Files{Write: []Path{{Text: scanRoot}}, Protect: []Path{{Text: protect}}}}, Program{Exec: "/usr/bin/true"}, h)
		return err
	}
	for _, ok := range []string{"deploy.sh", "absent/too", scanRoot + "/deploy.sh", "~/work/app/absent"} {
		if strings.HasPrefix(ok, "absent/") {
			if err := spec(ok); err != nil {
				t.Errorf("protect %s: %v", ok, err)
			}
		} else if err := spec(ok); err != nil {
			t.Errorf("protect %s: %v", ok, err)
		}
	}
	for _, bad := range []string{"", ".", "..", "../x", "a/../../x", "*.sh", "/srv/data/x", "~/docs/x", "$X/y", "a\nb"} {
		if err := spec(bad); err == nil {
			t.Errorf("protect %q is accepted", bad)
		}
	}
}

func TestScanFindsSocketsAndFailsClosed(t *testing.T) {
	h := newHost(t, under("s a/b/x.sock", "s .git/fsmonitor--daemon.ipc", "p pipe", "d closed", "d closed/.git/hooks"))
	s, err := ScanRoot(t.Context(), h, scanRoot, ScanOptions{})
	if err != nil || len(s.Sockets) != 2 || len(s.FIFOs) != 1 {
		t.Fatalf("sockets %v, FIFOs %v, %v", s.Sockets, s.FIFOs, err)
	}
	// The user's own unreadable directory could be made readable again inside.
	h.files[scanRoot+"/closed"].Perm = 0
	s, err = ScanRoot(t.Context(), h, scanRoot, ScanOptions{})
	if err != nil || len(s.Blocked) != 1 || s.Blocked[0].Path != scanRoot+"/closed" {
		t.Errorf("blocked %v, %v", s.Blocked, err)
	}
	// Somebody else's is as closed to the box as to the user.
	h.files[scanRoot+"/closed"].UID = 0
	s, err = ScanRoot(t.Context(), h, scanRoot, ScanOptions{})
	if err != nil || len(s.Unread) != 1 || len(s.Blocked) != 0 {
		t.Errorf("unread %v, blocked %v, %v", s.Unread, s.Blocked, err)
	}
}

func TestDiff(t *testing.T) {
	h := newHost(t, under("d .git/hooks", "l old -> /etc", "f two", "l inner -> two")+"nlink 2 "+scanRoot+"/two\n")
	before, err := ScanRoot(t.Context(), h, scanRoot, ScanOptions{})
	if err != nil {
		t.Fatal(err)
	}
	same, err := ScanRoot(t.Context(), h, scanRoot, ScanOptions{Files: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(Diff(before, same)); got != "[{hardlink_exposed "+scanRoot+"/two }]" {
		t.Errorf("nothing changed: %s", got)
	}
	h.make(scanRoot+"/.git/config", Regular, "")
	h.make(scanRoot+"/sub/.envrc", Regular, "")
	h.make(scanRoot+"/abs", Symlink, "/home/ann/.ssh/id_ed25519")
	h.make(scanRoot+"/rel", Symlink, "../../docs")
	h.make(scanRoot+"/via", Symlink, "old/passwd")
	h.make(scanRoot+"/dangling-out", Symlink, "../nowhere")
	h.make(scanRoot+"/fine", Symlink, "sub/.envrc")
	h.make(scanRoot+"/dangling-in", Symlink, "not/there")
	delete(h.files, scanRoot+"/old") // and made again, pointing elsewhere
	h.make(scanRoot+"/old", Symlink, "/srv/data")
	after, err := ScanRoot(t.Context(), h, scanRoot, ScanOptions{Files: true})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range Diff(before, after) {
		got = append(got, string(f.Event)+" "+strings.TrimPrefix(f.Path, scanRoot+"/"))
	}
	want := []string{
		"protected_created .git/config", "symlink_leaves_tree abs", "symlink_leaves_tree dangling-out", "symlink_leaves_tree old",
		"symlink_leaves_tree rel", "protected_created sub/.envrc", "hardlink_exposed two",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// TestWritableIsland: an explicit declaration inside a protected directory holds,
// and a read-only island in a writable one cannot be moved away.
func TestIslands(t *testing.T) {
	h := newHost(t, under("d .claude/worktrees/x/.git/hooks", "f .claude/settings.json", "d a/b/data", "f a/b/data/f"))
	s, _, err := Spec(&Policy{Files: Files{
		Write: []Path{{Text: scanRoot}, {Text: scanRoot + "/.claude/worktrees/x"}},
		Read:  []Path{{Text: scanRoot + "/a/b/data"}},
	}}, Program{Exec: "/usr/bin/true"}, h)
	if err != nil {
		t.Fatal(err)
	}
	for at, option := range map[string]string{
		"":                                "rw",
		"/.claude":                        "rro",
		"/.claude/worktrees/x":            "rw",
		"/.claude/worktrees/x/.git":       "rw",
		"/.claude/worktrees/x/.git/hooks": "rro",
		"/a":                              "rw",
		"/a/b":                            "rw",
		"/a/b/data":                       "rro",
	} {
		if m := mountAt(s, scanRoot+at); m == nil || !slices.Contains(m.Options, option) {
			t.Errorf("%s: %v, want %s", at, m, option)
		}
	}
}
