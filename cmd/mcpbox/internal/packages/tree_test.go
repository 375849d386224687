package packages

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestCheckTree(t *testing.T) {
	for name, c := range map[string]struct {
		make func(root, outside string) error
		want string // in the error; "" for none
	}{
		"a link within":       {func(root, _ string) error { return os.Symlink("../pkg/file", root+"/.bin/x") }, ""},
		"a link to nothing":   {func(root, _ string) error { return os.Symlink("nothing", root+"/x") }, ""},
		"an absolute link":    {func(root, outside string) error { return os.Symlink(outside, root+"/x") }, "outside the package"},
		"a link out":          {func(root, _ string) error { return os.Symlink("../../outside", root+"/pkg/x") }, "outside the package"},
		"a link out in steps": {func(root, _ string) error { return os.Symlink("../..", root+"/pkg/x") }, "outside the package"},
		"a link beside": {func(root, _ string) error {
			if err := os.Mkdir(root+"-evil", 0o755); err != nil {
				return err
			}
			return os.Symlink("../root-evil", root+"/x")
		}, "outside the package"},
		"a loop":      {func(root, _ string) error { return os.Symlink("x", root+"/x") }, "too many links"},
		"a FIFO":      {func(root, _ string) error { return syscall.Mkfifo(root+"/x", 0o644) }, "neither a file"},
		"a hard link": {func(root, outside string) error { return os.Link(outside+"/secret", root+"/x") }, "another name elsewhere"},
		"too much":    {func(root, _ string) error { return os.WriteFile(root+"/x", make([]byte, 2<<20), 0o644) }, "more than 1 MiB"},
		"too many": {func(root, _ string) (err error) {
			for i := range 300 {
				err = errFirst(err, os.Mkdir(fmt.Sprint(root, "/", i), 0o755))
			}
			return err
		}, "more than 1 MiB"},
		"holes": {func(root, _ string) error {
			return errFirst(os.WriteFile(root+"/x", nil, 0o644), os.Truncate(root+"/x", 1<<40))
		}, "more than 1 MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			root, outside := filepath.Join(dir, "root"), filepath.Join(dir, "outside")
			for _, d := range []string{root, outside, root + "/pkg", root + "/.bin"} {
				if err := os.Mkdir(d, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			os.WriteFile(root+"/pkg/file", []byte("12345"), 0o600)
			os.WriteFile(outside+"/secret", []byte("x"), 0o600)
			if err := c.make(root, outside); err != nil {
				t.Fatal(err)
			}
			_, err := CheckTree(root, 1<<20)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v, want %q", err, c.want)
			}
		})
	}
}

func errFirst(list ...error) error {
	for _, err := range list {
		if err != nil {
			return err
		}
	}
	return nil
}

func TestCheckTreeModes(t *testing.T) {
	root := t.TempDir()
	for name, mode := range map[string]os.FileMode{"plain": 0o600, "program": 0o700, "setuid": 0o755 | os.ModeSetuid, "open": 0o666} {
		if err := os.WriteFile(filepath.Join(root, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(filepath.Join(root, name), mode); err != nil {
			t.Fatal(err)
		}
	}
	size, err := CheckTree(root, 1<<20)
	if err != nil || size != 4 {
		t.Fatal(size, err)
	}
	for name, want := range map[string]os.FileMode{".": 0o755, "plain": 0o644, "program": 0o755, "setuid": 0o755, "open": 0o644} {
		info, err := os.Stat(filepath.Join(root, name))
		if err != nil || info.Mode()&^os.ModeDir != want {
			t.Errorf("%s: %v, want %v", name, info.Mode(), want)
		}
	}
}

// While it is filled a tree is as large as what it occupies, and names count.
func TestSize(t *testing.T) {
	root := t.TempDir()
	for i := range 100 {
		if err := errFirst(os.WriteFile(fmt.Sprint(root, "/f", i), nil, 0o644), os.Mkdir(fmt.Sprint(root, "/d", i), 0o755), os.Symlink("x", fmt.Sprint(root, "/l", i))); err != nil {
			t.Fatal(err)
		}
	}
	empty := Size(root)
	if empty < 300*minEntry {
		t.Errorf("300 names count %d", empty)
	}
	if err := errFirst(os.WriteFile(root+"/data", make([]byte, 1<<20), 0o644), os.WriteFile(root+"/holes", nil, 0o644), os.Truncate(root+"/holes", 1<<40)); err != nil {
		t.Fatal(err)
	}
	if n := Size(root) - empty; n < 1<<20 || n > 2<<20 {
		t.Errorf("1 MiB and holes count %d", n)
	}
}
