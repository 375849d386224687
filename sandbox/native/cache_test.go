package native

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestFilterCache(t *testing.T) {
	arch := testSpec(t, "/bin/true").Linux.Seccomp.Architectures[0]
	filter := pid1Filter(specs.Arch(arch))
	want, err := compileSeccomp(filter)
	if err != nil {
		t.Fatal(err)
	}
	planted := bytes.Repeat([]byte{1}, 40)
	for name, change := range map[string]func(dir, file string) error{
		"untouched":         func(string, string) error { return nil },
		"cut off":           func(_, file string) error { return os.Truncate(file, 20) },
		"other content":     func(_, file string) error { return os.WriteFile(file, planted, 0o600) },
		"writable by all":   func(_, file string) error { return os.Chmod(file, 0o666) },
		"directory of all":  func(dir, _ string) error { return os.Chmod(dir, 0o777) },
		"a link to another": func(dir, file string) error { return os.Rename(file, file+"x") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "filters")
			cache := filterCache{dir}
			if _, err := cache.compile(filter); err != nil {
				t.Fatal(err)
			}
			files, err := filepath.Glob(dir + "/*.bpf")
			if err != nil || len(files) != 1 {
				t.Fatalf("cached %v, %v", files, err)
			}
			if err := change(dir, files[0]); err != nil {
				t.Fatal(err)
			}
			if name == "a link to another" {
				if err := os.Symlink(files[0]+"x", files[0]); err != nil {
					t.Fatal(err)
				}
			}
			if _, used := readCached(files[0]); used != (name == "untouched") {
				t.Errorf("used: %v", used)
			}
			if got, err := cache.compile(filter); err != nil || !bytes.Equal(got, want) {
				t.Errorf("compiled otherwise: %v", err)
			}
		})
	}
}
