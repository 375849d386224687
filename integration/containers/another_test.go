package containers

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/sandbox/containerd"
)

// TestAnotherRun: two runs that have one name, of two users with one containerd, do not
// end each other, neither when the second one starts nor when it is reaped.
func TestAnotherRun(t *testing.T) {
	m := start(t, busybox(t))
	one, two := m.backend(t), m.backend(t)
	box, err := one.Start(t.Context(), m.specOf(t, "", "sh", "-c", "echo ready; cat"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer box.Kill()
	if _, err := io.ReadFull(box.Stdout(), make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	two.ID = one.ID
	two.RunDir = filepath.Join(t.TempDir(), one.ID)
	if err := os.Mkdir(two.RunDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if other, err := two.Start(t.Context(), m.specOf(t, "", "true"), nil); err == nil {
		other.Kill()
		t.Error("two containers of one name")
	}
	if !lives(box.PID()) {
		t.Error("the start of the second has ended the first")
	}
	if _, err := os.Stat(filepath.Join(two.RunDir, containerd.RecordName)); err == nil {
		t.Error("the second means to reap the first")
	}
	// A record as if it did.
	record, err := os.ReadFile(filepath.Join(one.RunDir, containerd.RecordName))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(two.RunDir, containerd.RecordName), record, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := containerd.Reap(t.Context(), two.RunDir); err == nil || !strings.Contains(err.Error(), "is another run's") {
		t.Errorf("reaped: %v", err)
	}
	if !lives(box.PID()) {
		t.Fatal("the second has reaped the first")
	}
	if n := len(m.left(t, launched{})); n < 4 {
		t.Errorf("of the first there is left: %v", m.left(t, launched{}))
	}
	// The control, by another name of its directory.
	again := filepath.Join(t.TempDir(), one.ID)
	if err := os.Symlink(one.RunDir, again); err != nil {
		t.Fatal(err)
	}
	if err := containerd.Reap(t.Context(), again); err != nil {
		t.Error(err)
	}
	await(t, "the first has ended", func() bool { return !lives(box.PID()) })
}
