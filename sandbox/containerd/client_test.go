package containerd

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// listenAs has a user listen where a containerd of his own would.
func listenAs(t *testing.T, uid int, at string) {
	t.Helper()
	made := make(chan error)
	done := make(chan struct{})
	go func() {
		// Never unlocked: the thread, which has that user, ends with the goroutine.
		runtime.LockOSThread()
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); errno != 0 {
			made <- errno
			return
		}
		l, err := net.Listen("unix", at)
		made <- err
		if err == nil {
			<-done
			l.Close()
		}
	}()
	if err := <-made; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(done) })
}

// TestForeignContainerd: a containerd of another user is one that a person has named.
func TestForeignContainerd(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("as root this test is another user")
	}
	for _, uid := range []int{0, 54321} {
		dir := t.TempDir()
		at := filepath.Join(dir, "containerd", "containerd.sock")
		if err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.Mkdir(filepath.Dir(at), 0o777), os.Chmod(filepath.Dir(at), 0o777)); err != nil {
			t.Fatal(err)
		}
		listenAs(t, uid, at)
		t.Setenv("XDG_RUNTIME_DIR", dir)
		t.Setenv("CONTAINERD_ADDRESS", "")
		found, err := find("") // the machine may have one of its own
		if (found == at) != (uid == 0) {
			t.Errorf("of user %d: %s, %v", uid, found, err)
		}
		if uid != 0 && err != nil && !strings.Contains(err.Error(), "is another user's") {
			t.Errorf("of user %d: %v", uid, err)
		}
		t.Setenv("CONTAINERD_ADDRESS", at)
		if found, err := find(""); found != at {
			t.Errorf("of user %d, named: %s, %v", uid, found, err)
		}
	}
}
