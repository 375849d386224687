package policy

import (
	"slices"
	"strings"
	"testing"
)

func stagedPolicy(write ...string) *Policy {
	yes := true
	p := &Policy{}
	p.Files.Staged = &yes
	for _, w := range write {
		p.Files.Write = append(p.Files.Write, Path{Text: w})
	}
	return p
}

// TestStagedMounts: nothing of a staged directory is mounted from the host so
// that it can be written, and what was protected, hidden or read-only is.
func TestStagedMounts(t *testing.T) {
	h := newHost(t, `
		f /home/ann/work/app/.git/config
		f /home/ann/work/app/.git/HEAD
		f /home/ann/work/app/deep/in/.envrc
		f /home/ann/work/app/secret
		f /home/ann/work/app/main.go
		d /home/ann/work/app/vendor
		d /home/ann/work/app/vendor/own
		s /home/ann/work/app/run.sock
	`)
	p := stagedPolicy("~/work/app", "~/work/app/vendor/own")
	p.Files.Read = []Path{{Text: "~/work/app/vendor"}}
	p.Files.Hide = []Path{{Text: "~/work/app/secret"}}
	p.Files.Protect = []Path{{Text: "deploy.sh"}}
	spec, report, err := Spec(p, Program{Exec: "/usr/bin/node"}, h)
	if err != nil {
		t.Fatal(err)
	}
	const root = "/home/ann/work/app"
	types := map[string]string{}
	for _, m := range spec.Mounts {
		if !within(m.Destination, root) {
			continue
		}
		types[m.Destination[len(root):]] = m.Type
		if m.Type == "bind" && slices.Contains(m.Options, "rw") {
			t.Errorf("%s of the host is writable", m.Destination)
		}
	}
	for at, want := range map[string]string{
		"": "staged", "/vendor": "bind", "/vendor/own": "staged", "/.git/config": "bind",
		"/deep/in/.envrc": "bind", "/secret": "bind", "/run.sock": "bind", "/.git": "", "/deep": "",
	} {
		if types[at] != want {
			t.Errorf("%s is mounted as %q, want %q", at, types[at], want)
		}
	}
	if len(report.Roots) > 0 {
		t.Error("the directory is to be compared at the end, though the server cannot change it")
	}
	if len(report.StagedRoots) != 2 {
		t.Fatalf("staged: %+v", report.StagedRoots)
	}
	want := []string{".git/config", "deep/in/.envrc", "run.sock", "secret", "vendor", "vendor/own"}
	if got := report.StagedRoots[0]; !slices.Equal(got.Closed, want) || !slices.Equal(got.Names, []string{"deploy.sh"}) {
		t.Errorf("got %+v, want %q closed", got, want)
	}
}

func TestStagedRefused(t *testing.T) {
	h := newHost(t, `
		f /home/ann/work/app/main.go
		d /srv/data
		m /home/ann/work/app/data = /srv/data
	`)
	for path, want := range map[string]string{
		"~/work/app/main.go": "only directories can be staged; declare /home/ann/work/app",
		"~/work/app":         "the file system that is mounted inside, at /home/ann/work/app/data",
	} {
		_, _, err := Spec(stagedPolicy(path), Program{Exec: "/usr/bin/node"}, h)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", path, err, want)
		}
		p := stagedPolicy(path)
		p.Files.Staged = nil
		if _, _, err := Spec(p, Program{Exec: "/usr/bin/node"}, h); err != nil {
			t.Errorf("%s, not staged: %v", path, err)
		}
	}
}

func TestJudge(t *testing.T) {
	h := newHost(t, "d /home/ann/work/app")
	r := &StagedRoot{Path: "/home/ann/work/app", Names: []string{"deploy.sh", "ci/run"}, Closed: []string{"secret", "vendor"}}
	judge := r.Judge(h, func(rel string) bool { return rel == "bare" || rel == "a/b/c/d/e/f/g/h/bare" })
	for _, c := range []struct {
		rel  string
		t    FileType
		want string
	}{
		{"main.go", Regular, ""},
		{"deploy.sh", Regular, "deploy.sh"},
		{"sub/deploy.sh", Regular, ""}, // the policy's own names are anchored
		{"ci", Directory, ""},
		{"ci", Symlink, "ci"}, // somebody could put a directory where it leads
		{"ci/RUN/x", Regular, "ci/RUN"},
		{"secret", Regular, "secret"},
		{"vendor/x/y", Regular, "vendor"},
		{".git", Directory, ""},
		{".git", Regular, ".git"},
		{".git/HEAD", Regular, ""},
		{".git/config", Regular, ".git/config"},
		{".GIT/Hooks/pre-commit", Regular, ".GIT/Hooks"},
		{".g\u200cit/config", Regular, ".g\u200cit/config"},
		{"git~1/config", Regular, "git~1/config"},
		{".git/modules/a/b/hooks/x", Regular, ".git/modules/a/b/hooks"},
		{"a/b/c/d/e/f/g/h/i/j/.envrc", Regular, "a/b/c/d/e/f/g/h/i/j/.envrc"}, // deeper than any scan
		{"node_modules/x/.vscode/tasks.json", Regular, "node_modules/x/.vscode"},
		{"sub/.aider.conf.yml", Regular, "sub/.aider.conf.yml"},
		{".github", Directory, ""},
		{".github", Symlink, ".github"},
		{".github/workflows/ci.yml", Regular, ".github/workflows"},
		{"bare/config", Regular, "bare/config"},
		{"bare/objects/config", Regular, ""},
		{"other/config", Regular, ""},
		{"a/b/c/d/e/f/g/h/bare/hooks", Directory, "a/b/c/d/e/f/g/h/bare/hooks"},
	} {
		if got := judge(c.rel, c.t); got != c.want {
			t.Errorf("%q as a %s: %q, want %q", c.rel, c.t, got, c.want)
		}
	}
	// A root that is part of a protected name itself.
	judge = (&StagedRoot{Path: "/home/ann/work/app/.github"}).Judge(h, func(string) bool { return false })
	if judge("workflows/x.yml", Regular) == "" {
		t.Error("workflows of a directory named .github are not protected")
	}
}

// TestJudgeKnowsEveryName: whatever a box protects where it exists is refused
// where it does not.
func TestJudgeKnowsEveryName(t *testing.T) {
	judge := (&StagedRoot{Path: "/w"}).Judge(newHost(t, "d /w"), func(string) bool { return false })
	names := slices.Clone(protectedNames)
	for _, n := range gitNames {
		names = append(names, ".git/"+n, ".git/modules/sub/"+n)
	}
	for _, n := range names {
		n = strings.Replace(n, "*", ".yml", 1)
		for _, rel := range []string{n, strings.ToUpper(n), "deep/er/" + n, n + "/inside"} {
			if judge(rel, Regular) == "" {
				t.Errorf("%s may be created", rel)
			}
		}
	}
}
