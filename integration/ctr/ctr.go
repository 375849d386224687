// Package ctr starts a containerd for tests, with directories and a socket of its
// own, beside which the machine's, if it has one, is not touched.
//
//	MCPBOX_CONTAINERD  a directory with containerd, its shim and runc, before PATH
//	MCPBOX_REQUIRE     a need that is not met fails the test
package ctr

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Daemon is a running containerd.
type Daemon struct {
	Address string // its socket
	Dir     string // everything of it
	Version string // as it says

	path string // PATH that it has
	cmd  *exec.Cmd
	done chan struct{}
}

// Need skips a test where no containerd can be started, or fails it.
func Need(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("containerd runs as root; as root this test runs")
	}
	path := searchPath()
	for _, program := range []string{"containerd", "containerd-shim-runc-v2", "runc"} {
		if lookPath(path, program) == "" {
			if os.Getenv("MCPBOX_REQUIRE") != "" {
				t.Fatalf("%s is not installed; run scripts/setup test", program)
			}
			t.Skipf("%s is not installed; run scripts/setup test", program)
		}
	}
}

// Start starts a containerd that ends with the test, with all that it has started.
func Start(t testing.TB) *Daemon {
	t.Helper()
	Need(t)
	d, err := Open()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// Open is Start for a TestMain. Its caller closes it.
func Open() (*Daemon, error) {
	// A socket's path may have 107 characters, and containerd puts some behind.
	dir, err := os.MkdirTemp("", "ctr-")
	if err != nil {
		return nil, err
	}
	// The root of a box is an ordinary user of the host, who passes through.
	if err := os.Chmod(dir, 0o711); err != nil {
		return nil, err
	}
	d := &Daemon{Dir: dir, Address: filepath.Join(dir, "containerd.sock"), path: searchPath()}
	if err := d.Run(); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// Run starts the daemon, again if it was killed.
func (d *Daemon) Run() error {
	config := fmt.Sprintf(`version = 2
root = %q
state = %q
disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.nri.v1.nri"]
[grpc]
address = %q
`, filepath.Join(d.Dir, "root"), filepath.Join(d.Dir, "state"), d.Address)
	file := filepath.Join(d.Dir, "config.toml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		return err
	}
	log, err := os.OpenFile(filepath.Join(d.Dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	d.cmd = exec.Command(lookPath(d.path, "containerd"), "--config", file)
	d.cmd.Env = append(os.Environ(), "PATH="+d.path)
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		return err
	}
	d.done = make(chan struct{})
	go func() { defer close(d.done); d.cmd.Wait() }()
	for end := time.Now().Add(30 * time.Second); ; {
		conn, err := net.Dial("unix", d.Address)
		if err == nil {
			conn.Close()
			break
		}
		select {
		case <-d.done:
			said, _ := os.ReadFile(log.Name())
			return fmt.Errorf("containerd ended: %s", said)
		case <-time.After(10 * time.Millisecond):
		}
		if time.Now().After(end) {
			return fmt.Errorf("containerd is not there after 30 seconds: %w", err)
		}
	}
	version, err := exec.Command(d.cmd.Path, "--version").Output()
	d.Version = strings.TrimSpace(string(version))
	return err
}

// Kill kills the daemon alone, as a crash would. Shims and containers go on.
func (d *Daemon) Kill() error {
	err := d.cmd.Process.Kill()
	<-d.done
	return err
}

// Signal signals the daemon alone.
func (d *Daemon) Signal(sig os.Signal) error { return d.cmd.Process.Signal(sig) }

// Log is what the daemon has said.
func (d *Daemon) Log() string {
	said, err := os.ReadFile(filepath.Join(d.Dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(said)
}

// Shims lists the process ids of its shims.
func (d *Daemon) Shims() []int {
	var list []int
	for _, file := range glob("/proc/[0-9]*/cmdline") {
		line, err := os.ReadFile(file)
		args := strings.Split(string(line), "\x00")
		if err != nil || !strings.HasPrefix(filepath.Base(args[0]), "containerd-shim") || !slices.Contains(args, d.Address) {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); err == nil {
			list = append(list, pid)
		}
	}
	return list
}

// Close ends the daemon, its shims and what they started, and removes its
// directory.
func (d *Daemon) Close() error {
	if d.done != nil {
		d.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-d.done:
		case <-time.After(10 * time.Second):
			d.Kill()
		}
	}
	for _, shim := range d.Shims() {
		for _, child := range children(shim) {
			syscall.Kill(child, syscall.SIGKILL)
		}
		syscall.Kill(shim, syscall.SIGKILL)
	}
	if err := d.unmount(); err != nil {
		return err
	}
	return os.RemoveAll(d.Dir)
}

// unmount takes off what is mounted below the directory, the last first.
func (d *Daemon) unmount() error {
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return err
	}
	lines := strings.Split(string(data), "\n")
	slices.Reverse(lines)
	for _, line := range lines {
		fields := strings.Fields(line)
		if len(fields) > 1 && strings.HasPrefix(fields[1], d.Dir+"/") {
			if err := syscall.Unmount(fields[1], syscall.MNT_DETACH); err != nil {
				return fmt.Errorf("unmount %s: %w", fields[1], err)
			}
		}
	}
	return nil
}

func children(pid int) []int {
	var list []int
	for _, file := range glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) {
		data, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for _, field := range strings.Fields(string(data)) {
			if child, err := strconv.Atoi(field); err == nil {
				list = append(list, child)
			}
		}
	}
	return list
}

func glob(pattern string) []string {
	list, err := filepath.Glob(pattern)
	if err != nil {
		panic(err) // a bad pattern of ours
	}
	return list
}

// searchPath is PATH with what MCPBOX_CONTAINERD names before it.
func searchPath() string {
	path := os.Getenv("PATH") + ":/usr/sbin:/sbin"
	if dir := os.Getenv("MCPBOX_CONTAINERD"); dir != "" {
		path = dir + ":" + path
	}
	return path
}

func lookPath(path, program string) string {
	for _, dir := range filepath.SplitList(path) {
		at := filepath.Join(dir, program)
		if info, err := os.Stat(at); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return at
		}
	}
	return ""
}
