package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// things are what the guest gets from us: a directory that becomes a disk.
type things struct{ dir string }

// static are flags for programs with cgo that run with whatever C library, or
// none. They are those of the Makefile.
var static = []string{"-trimpath", "-tags=netgo,osusergo,static_build", "-ldflags=-s -w -linkmode external -extldflags -static"}

// build compiles what the steps of batch.go run.
func (t things) build() error {
	for _, pkg := range packages {
		if err := t.tests(pkg); err != nil {
			return err
		}
	}
	layersoff := slices.Clone(static)
	layersoff[1] += ",layersoff"
	return errors.Join(
		t.program("../servers/go/everything-server", "github.com/modelcontextprotocol/go-sdk/conformance/everything-server"),
		t.program("hog", "./integration/limits/hog"),
		t.program("probe", "./integration/escape/probe"),
		t.program("mcpbox-layersoff", "./cmd/mcpbox", layersoff...))
}

// program builds a program into bin/.
func (t things) program(name, pkg string, flags ...string) error {
	cgo := "0"
	if len(flags) > 0 {
		cgo = "1"
	}
	return t.goTool(cgo, append([]string{"build", "-o", t.at("bin", name)}, append(flags, pkg)...)...)
}

// tests compiles the tests of a package into its directory in the tree.
func (t things) tests(pkg string) error {
	return t.goTool("1", append(append([]string{"test", "-c", "-o", t.at("tree", pkg, "compiled.test")}, static...), "./"+pkg)...)
}

// tree copies what is tracked of the repository, or would be: tests read files
// beside them and elsewhere in it.
func (t things) tree() error {
	list, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		return fmt.Errorf("git ls-files: %w", err)
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		if err := copyFile(name, t.at("tree", name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// disk makes a file system of all that.
func (t things) disk(file string) error {
	if err := os.RemoveAll(file); err != nil {
		return err
	}
	size, err := exec.Command("du", "-sm", t.dir).Output()
	if err != nil {
		return fmt.Errorf("du: %w", err)
	}
	var megabytes int
	if _, err := fmt.Sscan(string(size), &megabytes); err != nil {
		return err
	}
	cmd := exec.Command("mke2fs", "-q", "-t", "ext4", "-O", "^has_journal", "-E", "root_owner=0:0", "-m", "0",
		"-d", t.dir, file, fmt.Sprintf("%dM", megabytes*5/4+32))
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("mke2fs: %w: %s", err, out)
	}
	return nil
}

// at is a path among the things.
func (t things) at(elem ...string) string { return filepath.Join(t.dir, path.Join(elem...)) }

func (t things) goTool(cgo string, args ...string) error {
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED="+cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// copyFile copies a file or a link, with its permissions, and the directories it
// needs.
func copyFile(from, to string) error {
	info, err := os.Lstat(from)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return err
	}
	if info.Mode()&os.ModeSymlink != 0 {
		target, err := os.Readlink(from)
		if err != nil {
			return err
		}
		return os.Symlink(target, to)
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	// Everybody may read what the guest gets, whatever the umask.
	return errors.Join(os.WriteFile(to, content, info.Mode()), os.Chmod(to, info.Mode().Perm()|0o444))
}
