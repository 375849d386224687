package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/policy"
	"golang.org/x/sys/unix"
)

// hungFileSystem is a FUSE file system whose server never answers, as root can
// make one.
func hungFileSystem(t *testing.T) string {
	t.Helper()
	need := func(err error) {
		if err == nil {
			return
		}
		if os.Getenv("MCPBOX_REQUIRE") != "" && os.Geteuid() == 0 {
			t.Fatalf("no FUSE: %v", err)
		}
		t.Skipf("no FUSE: %v", err)
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	need(err)
	dir := t.TempDir()
	options := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other", fd)
	if err := unix.Mount("mcpbox-test", dir, "fuse", unix.MS_NOSUID|unix.MS_NODEV, options); err != nil {
		unix.Close(fd)
		need(err)
	}
	t.Cleanup(func() {
		unix.Unmount(dir, unix.MNT_DETACH)
		unix.Close(fd) // whoever waits for an answer gets an error
	})
	return dir
}

// T-M17: a file system that does not answer fails the start, and is named.
func TestHungFileSystemIsNamed(t *testing.T) {
	dir := hungFileSystem(t)
	host, _, err := openHost()
	if err != nil {
		t.Fatal(err)
	}
	look := func() (policy.Info, error) { return host.Lstat(dir) }
	if _, err := within(300*time.Millisecond, host, look); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v does not name %s", err, dir)
	}
	// Control: one that answers.
	dir = t.TempDir()
	if info, err := within(time.Minute, host, look); err != nil || info.Type != policy.Directory {
		t.Errorf("%v, %v", info, err)
	}
}
