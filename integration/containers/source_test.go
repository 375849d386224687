package containers

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/sandbox/containerd"
	"golang.org/x/sys/unix"
)

// TestSourceSwap: what the runtime mounts is what the launcher has looked at, also
// where its path leads to something else by then: another server may write to the
// directory that it lies in.
func TestSourceSwap(t *testing.T) { each(t, testSourceSwap) }

func testSourceSwap(t *testing.T, m *machine) {
	dir := t.TempDir()
	sub, link, secret := filepath.Join(dir, "work/sub"), filepath.Join(dir, "work/link"), filepath.Join(dir, "secret")
	err := errors.Join(os.Chmod(filepath.Dir(dir), 0o755), os.MkdirAll(sub, 0o755), os.Mkdir(secret, 0o755), os.Symlink(secret, link),
		os.WriteFile(filepath.Join(sub, "file"), []byte("declared"), 0o644), os.WriteFile(filepath.Join(secret, "file"), []byte("secret"), 0o644))
	if err != nil {
		t.Fatal(err)
	}
	swap := func() {
		t.Helper()
		if err := unix.Renameat2(unix.AT_FDCWD, sub, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE); err != nil {
			t.Fatal(err)
		}
	}
	script := "cat " + sub + "/file"
	out, errs, _ := m.outcome(t, `files.read = ["`+sub+`"]`, "", "sh", "-c", script)
	if out != "declared" {
		t.Fatalf("the control, without a swap: %q, %q", out, errs)
	}
	b := m.backend(t)
	spec := m.specOf(t, `files.read = ["`+sub+`"]`, "sh", "-c", script)
	// The run's directory is filled once the launcher has looked, and before anybody
	// mounts anything.
	swapped := make(chan struct{})
	go func() {
		defer close(swapped)
		await(t, "the start has begun", func() bool { _, err := os.Stat(filepath.Join(b.RunDir, containerd.RecordName)); return err == nil })
		swap()
	}()
	box, err := b.Start(t.Context(), spec, nil)
	<-swapped
	if err == nil {
		out, errs, _ = finish(t, box, "")
	}
	switch {
	case err != nil && !strings.Contains(err.Error(), "source changed"):
		t.Errorf("%v\n%s", err, m.Log())
	case err == nil && out != "declared":
		t.Errorf("the box has %q, %q", out, errs)
	}
}
