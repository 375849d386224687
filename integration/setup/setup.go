// Package setup is what integration tests begin with: the programs that they run,
// directories that every user can enter, and what to do where this machine lacks
// something.
//
//	MCPBOX_BIN      mcpbox as users get it; else it is built
//	MCPBOX_REQUIRE  a need that is not met fails the test, which skips it otherwise
package setup

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Build has Go build a package, by its path or relative to the working directory,
// into the file out. env is added to the environment.
func Build(out, pkg string, env ...string) error {
	cmd := exec.Command("go", "build", "-p", "2", "-o", out, pkg)
	cmd.Env = append(os.Environ(), env...)
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", pkg, err, b)
	}
	return nil
}

// Launcher makes the file out mcpbox as users get it: a copy of MCPBOX_BIN if that
// is set, for users who cannot read that, else built here. The working directory
// is two below the module's.
func Launcher(out string) error {
	bin := os.Getenv("MCPBOX_BIN")
	if bin == "" {
		return Build(out, "../../cmd/mcpbox")
	}
	b, err := os.ReadFile(bin)
	if err != nil {
		return err
	}
	if err := os.WriteFile(out, b, 0o755); err != nil {
		return err
	}
	return os.Chmod(out, 0o755) // whatever the umask
}

// Containerd puts mcpbox into a directory, with the program beside it that runs
// images: copies of MCPBOX_BIN and its neighbour, or of what make build has made.
// Without them the test ends.
func Containerd(t testing.TB, dir string) {
	t.Helper()
	bin := os.Getenv("MCPBOX_BIN")
	if bin == "" {
		bin = "../../bin/mcpbox"
	}
	for _, name := range []string{"mcpbox", "mcpbox-containerd"} {
		b, err := os.ReadFile(filepath.Join(filepath.Dir(bin), name))
		Need(t, err == nil, name+" as it is installed, in "+filepath.Dir(bin)+": type `make build`")
		at := filepath.Join(dir, name) // where one may be running
		if err := os.Remove(at); err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if err := errors.Join(os.WriteFile(at, b, 0o755), os.Chmod(at, 0o755)); err != nil {
			t.Fatal(err)
		}
	}
}

// Programs makes, in a directory that every user can read, mcpbox and a static
// program of the package name, both under their names.
func Programs(dir, name string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if err := Build(filepath.Join(dir, name), "./"+name, "CGO_ENABLED=0"); err != nil {
		return err
	}
	return Launcher(filepath.Join(dir, "mcpbox"))
}

// Need ends the test unless ok, as this machine lacks what: a failure where it is
// meant to have everything.
func Need(t testing.TB, ok bool, what string) {
	t.Helper()
	switch {
	case ok:
	case os.Getenv("MCPBOX_REQUIRE") != "":
		t.Fatalf("needs %s", what)
	default:
		t.Skipf("needs %s", what)
	}
}

// Found is the path, free of links, that a variable of the environment names, or
// else path. Without it the test ends, with fix as what to type.
func Found(t testing.TB, variable, path, fix string) string {
	t.Helper()
	if v := os.Getenv(variable); v != "" {
		path = v
	}
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(path)
	Need(t, err == nil, fmt.Sprintf("%s: type `%s`", path, fix))
	return real
}

// Scratch is a new directory, by a path free of links, that every user can enter
// and that goes with the test. Its name begins with prefix.
func Scratch(t testing.TB, prefix string) string {
	t.Helper()
	dir, err := os.MkdirTemp("", prefix)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		t.Fatal(err)
	}
	return dir
}
