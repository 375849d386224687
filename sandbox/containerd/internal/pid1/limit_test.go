package pid1

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/sandbox/internal/userns"
)

// TestLimits: what is written below the working directory is what is looked for; what the
// kernel does not have is neither, and anything else is refused.
func TestLimits(t *testing.T) {
	t.Chdir(t.TempDir())
	dir := strings.TrimPrefix(userns.Dir, "/")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	const missing = "max_fanotify_marks"
	for _, l := range limits() {
		if l.Name != missing {
			if err := os.WriteFile(filepath.Join(dir, l.Name), nil, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := checkLimits(dir); err == nil {
		t.Error("without limits it is not refused")
	}
	if err := limit(); err != nil {
		t.Fatal(err)
	}
	if err := checkLimits(dir); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, missing)); err == nil {
		t.Errorf("%s has been made", missing)
	}
	for _, name := range []string{"max_inotify_instances", userns.UserNamespaces} {
		file := filepath.Join(dir, name)
		was, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte("2147483647\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := checkLimits(dir); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s is not looked at: %v", name, err)
		}
		if err := os.WriteFile(file, was, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}
