package program

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// PATH may name a directory that the user may not search: that is no reason to
// end the search, nor to say that the program is there.
func TestClosedDirectoryInPath(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may search every directory; the tests run as an ordinary user as well")
	}
	dir := t.TempDir()
	closed, open := filepath.Join(dir, "closed"), filepath.Join(dir, "open")
	for _, d := range []string{closed, open} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d, "server"), []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(closed, 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(closed, 0o755)
	find := func(path string) error {
		env := func(name string) string { return map[string]string{"PATH": path}[name] }
		_, err := Find(Query{Argv: []string{"server"}, Env: env, Cwd: "/", Home: "/nonexistent"})
		return err
	}
	if err := find(closed + ":" + open); err != nil {
		t.Errorf("the program behind the closed directory: %v", err)
	}
	var missing *NotFoundError
	if err := find(closed); !errors.As(err, &missing) {
		t.Errorf("error %v, want a NotFoundError", err)
	}
}
