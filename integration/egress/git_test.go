package egress

import (
	"fmt"
	"net/http"
	"net/http/cgi"
	"os"
	"os/exec"
	"strings"
)

// git serves the repositories below the world's directory, smartly.
func (w *world) git(out http.ResponseWriter, r *http.Request) {
	(&cgi.Handler{
		Path: program("git"), Args: []string{"http-backend"}, Root: "/git",
		Env: []string{"GIT_PROJECT_ROOT=" + w.file("repositories"), "GIT_HTTP_EXPORT_ALL=1", "GIT_CONFIG_COUNT=1",
			"GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	}).ServeHTTP(out, r)
}

// repository makes the one to clone, with one empty commit.
func (w *world) repository() error {
	if program("git") == "" {
		return nil // the row that clones will say so
	}
	at := w.file("repositories/project.git")
	if err := os.MkdirAll(at, 0o755); err != nil {
		return err
	}
	run := func(args ...string) (string, error) {
		cmd := exec.Command(program("git"), args...)
		cmd.Env = []string{
			"HOME=" + w.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_DIR=" + at,
			"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org",
		}
		b, err := cmd.Output()
		if err != nil {
			err = fmt.Errorf("git %q: %w", args, err)
		}
		return strings.TrimSpace(string(b)), err
	}
	if _, err := run("init", "--quiet", "--bare", "--initial-branch=main"); err != nil {
		return err
	}
	tree, err := run("mktree") // of nothing: its input is empty
	if err != nil {
		return err
	}
	commit, err := run("commit-tree", "-m", "first", tree)
	if err != nil {
		return err
	}
	_, err = run("update-ref", "refs/heads/main", commit)
	return err
}
