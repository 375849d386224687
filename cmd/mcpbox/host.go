package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/policy"
	"github.com/mcpbox/mcpbox/sandbox/native"
)

// openHost is this machine, as a policy sees it.
func openHost() (*boxHost, dirs.Dirs, error) {
	own, err := ownDirs()
	if err != nil {
		return nil, own, err
	}
	host, err := policy.OSHost(policy.Dirs(own))
	if err != nil {
		return nil, own, err
	}
	uid, gid, err := native.BoxUser()
	return &boxHost{Host: host, uid: uid, gid: gid}, own, err
}

// ownDirs are mcpbox's directories for this user.
func ownDirs() (dirs.Dirs, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return dirs.Dirs{}, err
	}
	return dirs.Resolve(dirs.Environment(os.Getenv, os.Getuid()), home, os.Getuid())
}

// boxHost is a host whose boxes run as another user than the launcher, where
// that is root, and which remembers what it was asked last.
type boxHost struct {
	policy.Host
	uid, gid int
	asked    atomic.Pointer[string]
}

func (h *boxHost) Facts() policy.Facts {
	f := h.Host.Facts()
	f.EUID, f.EGID = h.uid, h.gid
	return f
}

func (h *boxHost) Lstat(path string) (policy.Info, error) {
	h.asked.Store(&path)
	return h.Host.Lstat(path)
}

func (h *boxHost) Readlink(path string) (string, error) {
	h.asked.Store(&path)
	return h.Host.Readlink(path)
}

func (h *boxHost) ReadDir(path string, limit int) ([]policy.Entry, error) {
	h.asked.Store(&path)
	return h.Host.ReadDir(path, limit)
}

func (h *boxHost) ReadFile(path string) ([]byte, error) {
	h.asked.Store(&path)
	return h.Host.ReadFile(path)
}

// prepareTimeout bounds the look at the host's files: a FUSE or network file
// system that hangs must fail the start, not hang it.
const prepareTimeout = 10 * time.Second

// within returns what f does, or an error if that takes longer than d. f is
// then left behind, blocked in the kernel.
func within[T any](d time.Duration, h *boxHost, f func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	c := make(chan answer, 1)
	go func() {
		value, err := f()
		c <- answer{value, err}
	}()
	select {
	case a := <-c:
		return a.value, a.err
	case <-time.After(d):
		var none T
		path := "a declared path"
		if last := h.asked.Load(); last != nil {
			path = *last
		}
		return none, fmt.Errorf("%s: its file system has not answered within %s; leave it out, or mount it anew", path, d)
	}
}
