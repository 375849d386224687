package escape

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// declared are the flags of the tests' boxes.
func (w *world) declared() []string {
	return []string{
		"--ro", w.In("docs"), "--ro", w.In("tools"), "--ro", w.In(".sshfoo"),
		"--rw", w.In("project"), "--rw", w.In("out"),
	}
}

// environment is what the user's client has when it starts the launcher, with
// secrets, and with variables that must not be passed on.
func (w *world) environment(more ...string) []string {
	env := []string{
		"PATH=/usr/local/bin:/usr/bin:/bin", "HOME=" + w.Home, "USER=probe", "LANG=C.UTF-8",
		"XDG_RUNTIME_DIR=" + filepath.Join(w.Scratch, "run"),
		"GITHUB_TOKEN=" + w.Token, "AWS_SECRET_ACCESS_KEY=" + w.Token,
		"LD_LIBRARY_PATH=/nonexistent", "NODE_OPTIONS=--no-warnings", "PYTHONSTARTUP=/nonexistent",
		"BASH_ENV=/nonexistent", "GIT_SSH_COMMAND=false",
		"DBUS_SESSION_BUS_ADDRESS=unix:path=/nonexistent", "SSH_AUTH_SOCK=/nonexistent", "DISPLAY=:99",
	}
	return append(env, more...)
}

// boxed is the command line that runs args in a box of the launcher.
func (w *world) boxed(launcher string, args ...string) []string {
	line := append([]string{launcher, "run", "--raw", "--name", "probe"}, w.declared()...)
	return append(append(line, "--"), args...)
}

// command is a command of the world's user, in the project directory.
func (w *world) command(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir = w.In("project")
	cmd.Env = w.environment()
	cmd.SysProcAttr = w.credential()
	return cmd
}

// attack runs the probe's attacks, or those with the given ids, by way of line,
// and returns the results by id.
func (w *world) attack(line []string, env []string, ids ...string) (map[string]Result, error) {
	line = append(append(line, ids...), nil...)
	staging, err := json.Marshal(staging{Home: w.Home, UID: w.uid, Key: w.Token, Mounts: os.Getuid() == 0})
	w.must(err)
	w.Key = w.Token
	w.scenario(w.Target)

	self, err := os.Executable()
	w.must(err)
	cmd := exec.Command(self, line...)
	cmd.Dir = w.In("project")
	cmd.Env = append(w.environment(env...), stageVariable+"="+string(staging))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWNS
	}
	// Descriptors that a careless client leaves open.
	for i := range 18 {
		f, err := os.Open([]string{w.Scratch, "/", "/etc"}[i%3])
		w.must(err)
		defer f.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	// Node connects its children with sockets, not pipes.
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	w.must(err)
	stdin, ours := os.NewFile(uintptr(ends[0]), "stdin"), os.NewFile(uintptr(ends[1]), "client")
	defer stdin.Close()
	defer ours.Close()
	cmd.Stdin = stdin
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	w.must(cmd.Start())
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	if w.await(w.In("out/ready"), ended) {
		w.seen = residents(w.t, w.facts(w.In("out/facts")).Namespaces["pid"])
		w.listenLate()
		w.must(os.WriteFile(w.In("out/host"), nil, 0o644))
	}
	err = <-ended
	if stderr.Len() > 0 || stdout.Len() > 0 {
		w.t.Logf("stdout: %s\nstderr: %s", stdout.String(), stderr.String())
	}
	if err != nil {
		err = fmt.Errorf("%w: %s", err, stderr.String())
	}
	return w.results(), err
}

// await waits for a file, unless the process that makes it ends before.
func (w *world) await(path string, ended chan error) bool {
	for range 6000 {
		if _, err := os.Lstat(path); err == nil {
			return true
		}
		select {
		case err := <-ended:
			ended <- err
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	w.t.Errorf("%s did not appear", path)
	return false
}

// results reads what the probe wrote.
func (w *world) results() map[string]Result {
	results := map[string]Result{}
	b, _ := os.ReadFile(w.In("out/results"))
	for line := range strings.Lines(string(b)) {
		var r Result
		w.must(json.Unmarshal([]byte(line), &r))
		results[r.ID] = r
	}
	return results
}
