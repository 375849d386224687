package escape

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// stageVariable holds a staging in the environment of a copy of the test
// program that sets the scene for one launch.
const stageVariable = "MCPBOX_ESCAPE_STAGE"

// stageFailed is the exit status of a stage that could not be set.
const stageFailed = 99

// staging is what has to be done by the launcher's parent, since it is
// inherited: limits, keys, mounts.
type staging struct {
	Home string
	UID  int
	Key  string
	// Mounts is whether to make mounts, which takes root: a mount namespace
	// that passes on mount events, a file system on docs/sub, and later, when
	// the probe is ready, another on docs/late.
	Mounts bool
}

// stage sets the scene, runs args as its user, and exits as that did. It
// returns only if the scene could not be set.
func stage(args []string) error {
	// The keyring belongs to the thread, as does what comes with a fork.
	runtime.LockOSThread()
	var s staging
	if err := json.Unmarshal([]byte(os.Getenv(stageVariable)), &s); err != nil {
		return err
	}
	if err := os.Unsetenv(stageVariable); err != nil {
		return err
	}
	if s.Mounts {
		for _, flags := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
			if err := unix.Mount("", "/", "", unix.MS_REC|flags, ""); err != nil {
				return fmt.Errorf("propagation: %w", err)
			}
		}
		if err := s.mount("docs/sub"); err != nil {
			return err
		}
	}
	if err := s.inherit(); err != nil {
		return err
	}
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if os.Getuid() == 0 {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(s.UID), Gid: uint32(s.UID)}
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- s.late() }()
	err := cmd.Wait()
	select {
	case late := <-done:
		err = errors.Join(late, err)
	default:
	}
	if err != nil && cmd.ProcessState.ExitCode() <= 0 {
		return err
	}
	os.Exit(cmd.ProcessState.ExitCode())
	return nil
}

// inherit sets limits high enough for every attack to succeed, and gives the
// session a key.
func (s *staging) inherit() error {
	for resource, n := range map[int]uint64{
		unix.RLIMIT_CORE: unix.RLIM_INFINITY, unix.RLIMIT_NOFILE: 8192,
		unix.RLIMIT_MEMLOCK: 8 << 20, unix.RLIMIT_MSGQUEUE: 819200,
	} {
		var now unix.Rlimit
		if err := unix.Getrlimit(resource, &now); err != nil {
			return err
		}
		lim := unix.Rlimit{Cur: n, Max: n}
		if os.Getuid() != 0 {
			lim = unix.Rlimit{Cur: min(n, now.Max), Max: now.Max}
		}
		if err := unix.Setrlimit(resource, &lim); err != nil {
			return fmt.Errorf("limit %d: %w", resource, err)
		}
	}
	if _, err := unix.KeyctlJoinSessionKeyring("mcpbox-escape"); err != nil {
		return fmt.Errorf("session keyring: %w", err)
	}
	if _, err := unix.AddKey("user", s.Key, []byte("key material"), unix.KEY_SPEC_SESSION_KEYRING); err != nil {
		return fmt.Errorf("session key: %w", err)
	}
	return nil
}

// late waits until the probe and the host are ready, mounts a file system on
// docs/late, and lets the probe go.
func (s *staging) late() error {
	out := filepath.Join(s.Home, "out")
	for {
		if _, err := os.Lstat(filepath.Join(out, "host")); err == nil {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	if s.Mounts {
		if err := s.mount("docs/late"); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(out, "go"), nil, 0o644)
}

// mount puts a small file system of the user's on a directory of the home.
func (s *staging) mount(dir string) error {
	at := filepath.Join(s.Home, dir)
	data := fmt.Sprintf("size=64k,mode=755,uid=%d,gid=%d", s.UID, s.UID)
	if err := unix.Mount("tmpfs", at, "tmpfs", 0, data); err != nil {
		return fmt.Errorf("mount %s: %w", dir, err)
	}
	return os.WriteFile(filepath.Join(at, "secret"), []byte("secret\n"), 0o644)
}
