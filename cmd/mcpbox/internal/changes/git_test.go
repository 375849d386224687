package changes

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// TestGitObeysNothingApplied: what is applied, in one run or by several, never
// makes a repository that has git run a command.
func TestGitObeysNothingApplied(t *testing.T) {
	git, err := exec.LookPath("git")
	if err != nil {
		if os.Getenv("MCPBOX_REQUIRE") != "" {
			t.Fatal(err)
		}
		t.Skip("needs git")
	}
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
			status := func(w *world) bool {
				_ = os.MkdirAll(w.root+"/x", 0o755)
				cmd := exec.Command(git, "status")
				cmd.Dir = w.root + "/x"
				cmd.Env = []string{"HOME=" + w.base, "PATH=" + os.Getenv("PATH"), "GIT_CONFIG_NOSYSTEM=1"}
				_, _ = cmd.CombinedOutput() // there may be no repository
				_, err := os.Lstat(w.base + "/PWNED")
				return err == nil
			}
			control := newWorld(t)
			for _, files := range runs(control) {
				for rel, content := range files {
					control.lower(rel, content)
				}
			}
			if !status(control) {
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
				if status(w) {
					t.Errorf("after run %d, git runs a command", i+1)
				}
			}
			if refused == "" {
				t.Error("nothing was refused")
			}
		})
	}
}
