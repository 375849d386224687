package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A dependency that comes from git: npm prepares it with another npm, in the
// clone, whose .npmrc says which program git is.
func TestInstallGit(t *testing.T) {
	once(t)
	t.Parallel()
	git, err := exec.LookPath("git")
	if err != nil {
		lack(t, "git is not in PATH")
	}
	r := newRegistry(t)
	o := newOwner(t, r)
	repositories := t.TempDir()
	r.change(func() { r.git = repositories })
	r.publishServer("greeter", "1.0.0", map[string]any{"dependencies": map[string]string{"x": "git+" + r.url() + "git/x.git"}})
	o.write("x/package.json", `{"name": "x", "version": "1.0.0", "scripts": {"prepare": "true"}, "devDependencies": {"y": "git+`+r.url()+`git/y.git"}}`)
	o.write("x/.npmrc", "git=./evil.sh\n")
	o.write("x/evil.sh", "#!/bin/sh\n"+git+" ls-remote "+r.url()+"stolen\nexit 1\n")
	if err := os.Chmod(filepath.Join(o.home, "x/evil.sh"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, line := range [][]string{
		{"init", "-q", "."}, {"add", "-A"}, {"-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "-qm", "x"},
		{"clone", "-q", "--bare", ".", r.git + "/x.git"}, {"-C", r.git + "/x.git", "update-server-info"},
	} {
		cmd := exec.Command("git", line...)
		cmd.Dir, cmd.Env = filepath.Join(o.home, "x"), o.env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %q: %v\n%s", line, err, out)
		}
	}
	stolen := func() bool {
		return slices.ContainsFunc(r.asked(), func(line string) bool { return strings.HasPrefix(line, "stolen") })
	}

	// Control: npm alone runs it, though told to run no scripts.
	o.write("plain/package.json", `{}`)
	npm := exec.Command("npm", "install", "--ignore-scripts", "greeter")
	npm.Dir, npm.Env = filepath.Join(o.home, "plain"), append(slices.Clone(o.env), "npm_config_userconfig="+o.home+"/.npmrc")
	if out, _ := npm.CombinedOutput(); !stolen() {
		t.Fatalf("npm alone does not run it: %s", out)
	}

	_, stderr, code := o.mcpbox("run", "--", "npx", "-y", "greeter")
	if stolen() {
		t.Error("a program of the clone was run")
	}
	if code != exitFailure || !strings.Contains(stderr, "cannot install greeter") || !strings.Contains(stderr, "git") {
		t.Errorf("code %d, %s", code, stderr)
	}
	if list := o.entries(); len(list) > 0 {
		t.Error(list)
	}
}
