package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// owner is a user of a test: a home directory, mcpbox's directories in it, and an
// npm that asks a registry of the test's.
type owner struct {
	t    *testing.T
	home string
	env  []string
}

// once skips a test in a short run: scripts/test runs all tests a second time, as
// an ordinary user, but not those for which it is the same who runs them, because
// they are about what a registry sends, and take long.
func once(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("a short run: it is the same for every user")
	}
}

func newOwner(t *testing.T, r *registry) *owner {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		lack(t, "npm is not in PATH")
	}
	o := newBareOwner(t)
	o.write(".npmrc", "registry="+r.url()+"\n")
	return o
}

// newBareOwner is a user without any package manager's configuration.
func newBareOwner(t *testing.T) *owner {
	t.Helper()
	needBox(t)
	o := &owner{t: t, home: t.TempDir()}
	o.env = []string{
		"HOME=" + o.home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + o.home, "GORACE=" + raceOptions, "LANG=C.UTF-8",
		"XDG_CACHE_HOME=" + o.home + "/cache", "XDG_STATE_HOME=" + o.home + "/state", "XDG_CONFIG_HOME=" + o.home + "/config", "XDG_RUNTIME_DIR=" + o.home + "/run",
	}
	t.Cleanup(func() { exec.Command("chmod", "-R", "u+w", o.home).Run() })
	return o
}

func (o *owner) write(name, content string) {
	o.t.Helper()
	path := filepath.Join(o.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// command is mcpbox as this user runs it.
func (o *owner) command(args ...string) *exec.Cmd {
	cmd := exec.Command("mcpbox", args...)
	cmd.Env, cmd.Dir = o.env, o.home
	return cmd
}

// mcpbox runs a command to its end. Its stdin is open until it has said
// something: a server that is slow to start would be ended as one that hangs.
func (o *owner) mcpbox(args ...string) (stdout, stderr string, code int) {
	o.t.Helper()
	return o.run(o.command(args...))
}

func (o *owner) run(cmd *exec.Cmd) (stdout, stderr string, code int) {
	o.t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		o.t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = writer(func(p []byte) (int, error) {
		defer stdin.Close()
		return out.Write(p)
	}), &errOut
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		o.t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// must is mcpbox for what has to succeed.
func (o *owner) must(args ...string) (stdout, stderr string) {
	o.t.Helper()
	stdout, stderr, code := o.mcpbox(args...)
	if code != 0 {
		o.t.Fatalf("mcpbox %q: code %d\n%s%s", args, code, stdout, stderr)
	}
	return stdout, stderr
}

// greeted is the version that has greeted.
func greeted(t *testing.T, stdout string) string {
	t.Helper()
	var m struct {
		Params struct{ Version string }
	}
	line, _, _ := strings.Cut(stdout, "\n")
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Fatalf("not a greeting: %q", stdout)
	}
	return m.Params.Version
}

// entries are the directories of the store, and nothing that is half there.
func (o *owner) entries() []string {
	o.t.Helper()
	if left, _ := os.ReadDir(filepath.Join(o.home, "cache/mcpbox/packages/.installing")); len(left) > 0 {
		o.t.Errorf("left behind: %v", left)
	}
	list, _ := filepath.Glob(filepath.Join(o.home, "cache/mcpbox/packages/npm/*"))
	for i := range list {
		list[i] = filepath.Base(list[i])
	}
	return list
}
