package policy

import (
	"slices"
	"testing"
)

func TestGitSettings(t *testing.T) {
	got := gitSettings("# comment\n[core]\n\tHooksPath = .githooks\n; other\n[includeIf \"gitdir:~/x\"] path = \"../a b.conf\" # why\n" +
		"[user]\r\n\tname = A\\\nB\n[core \"sub\"]\nhookspath=x\\\\y\n[broken\nlonely\n")
	want := []gitSetting{
		{"core.hookspath", ".githooks"}, {"includeif.path", "../a b.conf"}, {"user.name", "AB"},
		{"core.hookspath", `x\y`}, {"core.lonely", ""},
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestWorkTree(t *testing.T) {
	for config, want := range map[string]string{
		"/p/.git/config":             "/p",
		"/p/.git/modules/sub/config": "/p",
		"/p/.GIT/config.worktree":    "/p",
		"/srv/bare.git/config":       "/srv/bare.git",
	} {
		if got := workTree(config); got != want {
			t.Errorf("workTree(%s) = %s, want %s", config, got, want)
		}
	}
}

func FuzzGitSettings(f *testing.F) {
	f.Add("[core]\nhooksPath = x")
	f.Add("[a]b=\"\\")
	f.Fuzz(func(t *testing.T, text string) { gitSettings(text) })
}
