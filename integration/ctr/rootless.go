package ctr

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Rootless is a containerd of an ordinary user's, in a user namespace that rootlesskit
// has made, as containerd's own script for it arranges it.
type Rootless struct {
	UID     int    // who owns nothing but what is below Dir, and whose processes are all of this
	Dir     string // everything of it
	Runtime string // XDG_RUNTIME_DIR
	Home    string
	Address string // its socket, as the user finds it
	Path    string // PATH that it has

	flags       []string // of rootlesskit's, besides
	rootlesskit *exec.Cmd
	log         string
}

// session gives a user a name and subordinate ids, in a mount namespace of its own, and
// becomes him. $1 is the directory, $2 the user; the rest is executed.
const session = `dir=$1 uid=$2; shift 2
for f in passwd group subuid subgid; do mount --bind "$dir/etc/$f" "/etc/$f" || exit 9; done
exec setpriv --reuid "$uid" --regid "$uid" --clear-groups --inh-caps=-all -- "$@"`

// inner is what rootlesskit executes: the directories are where those of root's are.
const inner = `set -e
rm -rf /run/containerd /var/lib/containerd
mkdir -p /run/containerd /var/lib/containerd "$XDG_RUNTIME_DIR/containerd" "$HOME/containerd"
mount --bind "$XDG_RUNTIME_DIR/containerd" /run/containerd
mount --bind "$HOME/containerd" /var/lib/containerd
exec containerd --config "$1"`

// StartRootless starts one that ends with the test, with all that it has started. Flags
// are for rootlesskit.
func StartRootless(t testing.TB, flags ...string) *Rootless {
	t.Helper()
	Need(t)
	r := &Rootless{UID: 31000 + os.Getpid()%10000, Path: searchPath(), flags: flags}
	for _, program := range []string{"rootlesskit", "newuidmap", "setpriv", "unshare"} {
		if lookPath(r.Path, program) == "" {
			if os.Getenv("MCPBOX_REQUIRE") != "" {
				t.Fatalf("%s is not installed; run scripts/setup test", program)
			}
			t.Skipf("%s is not installed; run scripts/setup test", program)
		}
	}
	dir, err := os.MkdirTemp("", "ctr-")
	if err != nil {
		t.Fatal(err)
	}
	r.Dir, r.Runtime, r.Home = dir, filepath.Join(dir, "run"), filepath.Join(dir, "home")
	r.Address, r.log = filepath.Join(r.Runtime, "containerd", "containerd.sock"), filepath.Join(dir, "log")
	t.Cleanup(func() {
		if err := r.close(); err != nil {
			t.Error(err)
		}
	})
	if err := r.prepare(); err != nil {
		t.Fatal(err)
	}
	if err := r.run(); err != nil {
		t.Fatalf("%v\n%s", err, r.Log())
	}
	return r
}

func (r *Rootless) prepare() error {
	if err := os.Chmod(r.Dir, 0o755); err != nil {
		return err
	}
	for _, d := range []string{"etc", "run", "home"} {
		if err := os.Mkdir(filepath.Join(r.Dir, d), 0o755); err != nil {
			return err
		}
	}
	name, n := fmt.Sprintf("mcpbox%d", r.UID), strconv.Itoa(r.UID)
	for file, line := range map[string]string{
		"passwd": name + ":x:" + n + ":" + n + "::" + r.Home + ":/bin/sh", "group": name + ":x:" + n + ":",
		"subuid": name + ":1700000000:65536", "subgid": name + ":1700000000:65536",
	} {
		data, err := os.ReadFile("/etc/" + file)
		if err != nil && !os.IsNotExist(err) {
			return err
		}
		if os.IsNotExist(err) { // there has to be something to mount on
			if err := os.WriteFile("/etc/"+file, nil, 0o644); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(r.Dir, "etc", file), append(data, line+"\n"...), 0o644); err != nil {
			return err
		}
	}
	config := `version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
address = "/run/containerd/containerd.sock"
`
	if err := os.WriteFile(filepath.Join(r.Dir, "config.toml"), []byte(config), 0o644); err != nil {
		return err
	}
	for _, d := range []string{r.Runtime, r.Home} {
		if err := os.Chown(d, r.UID, r.UID); err != nil {
			return err
		}
	}
	return os.Chmod(r.Runtime, 0o700)
}

// Command is a command of the user's.
func (r *Rootless) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Dir, cmd.Env = r.Home, r.Env()
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(r.UID), Gid: uint32(r.UID)}}
	return cmd
}

// Env is the user's environment.
func (r *Rootless) Env() []string {
	return []string{"PATH=" + r.Path, "HOME=" + r.Home, "XDG_RUNTIME_DIR=" + r.Runtime, "USER=" + fmt.Sprintf("mcpbox%d", r.UID)}
}

func (r *Rootless) run() error {
	log, err := os.OpenFile(r.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	line := []string{"--mount", "--propagation", "private", "sh", "-c", session, "sh", r.Dir, strconv.Itoa(r.UID),
		"rootlesskit", "--state-dir=" + filepath.Join(r.Runtime, "rootlesskit"), "--net=host", "--copy-up=/run", "--copy-up=/var/lib"}
	line = append(line, r.flags...)
	r.rootlesskit = exec.Command("unshare", append(line, "sh", "-c", inner, "sh", filepath.Join(r.Dir, "config.toml"))...)
	r.rootlesskit.Env, r.rootlesskit.Dir = r.Env(), r.Home
	r.rootlesskit.Stdout, r.rootlesskit.Stderr = log, log
	if err := r.rootlesskit.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	go func() { defer close(done); r.rootlesskit.Wait() }()
	for end := time.Now().Add(30 * time.Second); ; {
		conn, err := net.Dial("unix", r.Address)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-done:
			return fmt.Errorf("rootlesskit ended")
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("containerd is not there after 30 seconds: %w", err)
		}
	}
}

// Log is what has been said.
func (r *Rootless) Log() string {
	said, err := os.ReadFile(r.log)
	if err != nil {
		return err.Error()
	}
	return string(said)
}

// Processes are those of the user, by their command lines.
func (r *Rootless) Processes() map[int]string {
	list := map[int]string{}
	for _, dir := range glob("/proc/[0-9]*") {
		var st syscall.Stat_t
		line, err := os.ReadFile(dir + "/cmdline")
		status, _ := os.ReadFile(dir + "/status")
		if err != nil || syscall.Stat(dir, &st) != nil || !strings.Contains(string(status), fmt.Sprintf("\nUid:\t%d\t", r.UID)) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(dir)); err == nil && len(line) > 0 {
			list[pid] = strings.ReplaceAll(string(line), "\x00", " ")
		}
	}
	return list
}

func (r *Rootless) close() error {
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		list := r.Processes()
		for pid := range list {
			syscall.Kill(pid, syscall.SIGKILL)
		}
		if len(list) == 0 {
			break
		}
		if time.Now().After(end) {
			return fmt.Errorf("processes are left: %v", list)
		}
	}
	return os.RemoveAll(r.Dir)
}
