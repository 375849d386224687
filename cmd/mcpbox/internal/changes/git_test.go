package changes

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"
)

func needGit(t *testing.T) string {
	t.Helper()
	git, err := exec.LookPath("git")
	if err != nil {
		if os.Getenv("MCPBOX_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip("needs git")
	}
	return git
}

// gitRuns reports whether git runs the command of a configuration in the directory x.
func gitRuns(w *world, git string) bool {
	_ = os.MkdirAll(w.root+"/x", 0o755)
	cmd := exec.Command(git, "status")
	cmd.Dir = w.root + "/x"
	cmd.Env = []string{"HOME=" + w.base, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1"}
	_, _ = cmd.CombinedOutput() // there may be no repository
	_, err := os.Lstat(w.base + "/PWNED")
	return err == nil
}

// TestGitObeysNothingApplied: what is applied, in one run or by several, never
// makes a repository that has git run a command.
func TestGitObeysNothingApplied(t *testing.T) {
	git := needGit(t)
	const head = "ref: refs/heads/main\n"
	config := func(w *world, more string) string {
		return "[core]\n\trepositoryformatversion = 1\n\tfsmonitor = \"touch " + w.base + "/PWNED; false\"\n" + more
	}
	common := func(w *world) map[string]string {
		return map[string]string{
			"x/common/objects/x": "", "x/common/refs/x": "",
			"x/common/config":   config(w, "[extensions]\n\tworktreeConfig = true\n"),
			"x/config.worktree": "[core]\n\tbare = false\n\tworktree = ..\n",
		}
	}
	parts := map[string]string{"x/objects/x": "", "x/refs/x": ""}
	for name, runs := range map[string]func(*world) []map[string]string{
		"at once": func(w *world) []map[string]string {
			return []map[string]string{{"x/HEAD": head, "x/objects/x": "", "x/refs/x": "", "x/config": config(w, "\tworktree = ..\n\tbare = false\n")}}
		},
		"objects and refs last": func(w *world) []map[string]string {
			return []map[string]string{{"x/HEAD": head, "x/config": config(w, "\tworktree = ..\n\tbare = false\n")}, parts}
		},
		"commondir": func(w *world) []map[string]string {
			all := common(w)
			all["x/HEAD"], all["x/commondir"] = head, "common\n"
			return []map[string]string{all}
		},
		"HEAD last": func(w *world) []map[string]string {
			all := common(w)
			all["x/commondir"] = "common\n"
			return []map[string]string{all, {"x/HEAD": head}}
		},
		"commondir last": func(w *world) []map[string]string {
			all := common(w)
			all["x/HEAD"] = head
			return []map[string]string{all, {"x/commondir": "common\n"}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			control := newWorld(t)
			for _, files := range runs(control) {
				for rel, content := range files {
					control.lower(rel, content)
				}
			}
			if !gitRuns(control, git) {
				t.Fatal("the control: git runs nothing")
			}
			w := newWorld(t)
			refused := ""
			for i, files := range runs(w) {
				w.must(os.RemoveAll(w.upper))
				w.must(os.Mkdir(w.upper, 0o755))
				for rel, content := range files {
					w.up(rel, content)
				}
				id := strings.Repeat(string(rune('1'+i)), 8)
				w.keep(id)
				res, err := w.entry(id).Apply(w.host, true, nil)
				w.must(err)
				for _, r := range res.Refused {
					refused += r.Path + ": " + r.Reason + "\n"
				}
				if gitRuns(w, git) {
					t.Errorf("after run %d, git runs a command", i+1)
				}
			}
			if refused == "" {
				t.Error("nothing was refused")
			}
		})
	}
}

// TestGitObeysNothingTakenBack: nor does it what comes again when an earlier run's
// changes are taken back, and a later run has put the rest around it.
func TestGitObeysNothingTakenBack(t *testing.T) {
	git := needGit(t)
	const head = "ref: refs/heads/main\n"
	config := func(w *world) string {
		return "[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tworktree = ..\n\tfsmonitor = \"touch " + w.base + "/PWNED; false\"\n"
	}
	for name, c := range map[string]struct {
		before map[string]bool // what the host has, and the first run deletes
		after  map[string]bool // what the second run adds
	}{
		"configuration": {map[string]bool{"x/config": true}, map[string]bool{"x/HEAD": true, "x/objects/x": true, "x/refs/x": true}},
		"last mark":     {map[string]bool{"x/HEAD": true}, map[string]bool{"x/config": true, "x/objects/x": true, "x/refs/x": true}},
	} {
		t.Run(name, func(t *testing.T) {
			content := func(w *world, rel string) string {
				return map[string]string{"x/HEAD": head, "x/config": config(w)}[rel]
			}
			control := newWorld(t)
			for _, files := range []map[string]bool{c.before, c.after} {
				for rel := range files {
					control.lower(rel, content(control, rel))
				}
			}
			if !gitRuns(control, git) {
				t.Fatal("the control: git runs nothing")
			}
			w := newWorld(t)
			w.lower("x/note", "old")
			for rel := range c.before {
				w.lower(rel, content(w, rel))
			}
			for rel := range c.before {
				w.gone(rel)
			}
			w.up("x/note", "new")
			w.keep("11111111")
			_, err := w.entry("11111111").Apply(w.host, false, nil)
			w.must(err)
			w.must(os.RemoveAll(w.upper))
			w.must(os.Mkdir(w.upper, 0o755))
			for rel := range c.after {
				w.up(rel, content(w, rel))
			}
			w.keep("22222222")
			_, err = w.entry("22222222").Apply(w.host, false, nil)
			w.must(err)
			if gitRuns(w, git) {
				t.Fatal("git runs something before anything is taken back")
			}
			refused := new(RefusedError)
			if _, err := w.entry("11111111").TakeBack(w.host, false); !errors.As(err, &refused) || len(refused.List) != 1 {
				t.Errorf("taken back: %v", err)
			}
			res, err := w.entry("11111111").TakeBack(w.host, true)
			w.must(err)
			if gitRuns(w, git) {
				t.Errorf("git runs a command; refused: %v", res.Refused)
			}
			// The rest is taken back, and once nothing is around it, so is this.
			if data, err := os.ReadFile(w.root + "/x/note"); err != nil || string(data) != "old" || len(res.Refused) != 1 {
				t.Errorf("%q, %v, refused: %v", data, err, res.Refused)
			}
			_, err = w.entry("22222222").TakeBack(w.host, false)
			w.must(err)
			_, err = w.entry("11111111").TakeBack(w.host, false)
			w.must(err)
			for rel := range c.before {
				if data, err := os.ReadFile(w.root + "/" + rel); err != nil || string(data) != content(w, rel) {
					t.Errorf("%s: %q, %v", rel, data, err)
				}
			}
		})
	}
}
