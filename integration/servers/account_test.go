package servers

import (
	"math/rand/v2"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/mcpbox/mcpbox/integration/setup"
)

// account is somebody who runs servers.
type account struct {
	name string
	uid  int // -1: whoever runs the test
}

// accounts are those that this test can act as: an ordinary user always, and
// root too where the test runs as root.
func accounts(t *testing.T) []account {
	if os.Geteuid() != 0 {
		return []account{{"ordinary", -1}}
	}
	return []account{{"ordinary", freeUID(t)}, {"root", -1}}
}

// freeUID is a user id without account, group or process.
func freeUID(t *testing.T) int {
	for range 100 {
		uid := 20000 + rand.IntN(30000)
		if _, err := user.LookupId(strconv.Itoa(uid)); err == nil {
			continue
		}
		taken := false
		procs, err := filepath.Glob("/proc/[0-9]*")
		if err != nil {
			t.Fatal(err)
		}
		for _, dir := range procs {
			if info, err := os.Stat(dir); err == nil && int(info.Sys().(*syscall.Stat_t).Uid) == uid {
				taken = true
			}
		}
		if !taken {
			return uid
		}
	}
	t.Fatal("no free user id between 20000 and 50000")
	return 0
}

// home makes a new home directory of a's with a project in it, the declared
// directory: a git work tree with one commit and one new file. It is the same,
// byte for byte, at each call with the same path.
func (a account) home(t *testing.T, path string) (work string) {
	t.Helper()
	if err := os.RemoveAll(path); err != nil {
		t.Fatal(err)
	}
	work = filepath.Join(path, "project")
	for _, dir := range []string{work, filepath.Join(path, "tmp")} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"README.md": "# A project\n\nOne line.\n",
		"new.txt":   "not in git yet\n",
		"kubeconfig": "apiVersion: v1\nkind: Config\ncurrent-context: c\n" +
			"clusters: [{name: c, cluster: {server: \"https://127.0.0.1:9\"}}]\n" +
			"contexts: [{name: c, context: {cluster: c, user: u}}]\nusers: [{name: u, user: {}}]\n",
	} {
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if a.uid >= 0 {
		if err := filepath.WalkDir(path, func(p string, _ os.DirEntry, err error) error {
			if err != nil {
				return err
			}
			return os.Lchown(p, a.uid, a.uid)
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"init", "--quiet", "--initial-branch=main"},
		{"add", "README.md"},
		{"commit", "--quiet", "--message=first"},
	} {
		git := a.command(path, work, "git", args...)
		git.Env = append(git.Env,
			"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_AUTHOR_DATE=2026-01-02T03:04:05Z",
			"GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org", "GIT_COMMITTER_DATE=2026-01-02T03:04:05Z")
		if out, err := git.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return work
}

// command runs a program as a, in dir, with a home and little else in its
// environment.
func (a account) command(home, dir, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "TMPDIR=" + filepath.Join(home, "tmp"), "LANG=C.UTF-8"}
	if a.uid >= 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.uid)}}
	}
	return cmd
}

// mcpbox is the program under test: $MCPBOX_BIN, or what `make build` made.
func mcpbox(t *testing.T) string {
	t.Helper()
	return setup.Found(t, "MCPBOX_BIN", "../../bin/mcpbox", "make build")
}

// place is where the servers are: $MCPBOX_SERVERS, or what scripts/servers made.
func place(t *testing.T) Place {
	t.Helper()
	dir := setup.Found(t, "MCPBOX_SERVERS", "../../build/servers", "scripts/servers")
	p := Place{NPM: filepath.Join(dir, "servers"), Go: filepath.Join(dir, "go")}
	for _, name := range []string{"chromium-headless-shell", "chromium"} {
		if path, err := exec.LookPath(name); err == nil && p.Browser == "" {
			p.Browser = path
		}
	}
	return p
}
