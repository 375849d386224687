package limits

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// comm is the name of hog's processes, which no other test's have that runs meanwhile.
var comm = fmt.Sprintf("hog%d", os.Getpid())

// programs are what the tests run, in a directory that every user can read.
type programs struct{ dir, hog, mcpbox, layersoff string }

// build makes the programs once. TestMain removes them.
var build = sync.OnceValues(func() (*programs, error) {
	dir, err := os.MkdirTemp("", "mcpbox-limits-bin-")
	if err != nil {
		return nil, err
	}
	p := &programs{dir, filepath.Join(dir, comm), filepath.Join(dir, "mcpbox"), filepath.Join(dir, "mcpbox-layersoff")}
	if err := os.Chmod(dir, 0o755); err != nil {
		return p, err
	}
	prebuilt := os.Getenv("MCPBOX_LIMITS_PREBUILT")
	for _, b := range []struct{ out, have, pkg, tags, cgo string }{
		{p.hog, in(prebuilt, "hog"), "./hog", "", "0"},
		{p.layersoff, in(prebuilt, "mcpbox-layersoff"), "../../cmd/mcpbox", "layersoff", "1"},
		{p.mcpbox, os.Getenv("MCPBOX_BIN"), "../../cmd/mcpbox", "", "1"},
	} {
		if b.have != "" {
			err = copyFile(b.have, b.out)
		} else {
			cmd := exec.Command("go", "build", "-p", "2", "-tags", b.tags, "-o", b.out, b.pkg)
			cmd.Env = append(os.Environ(), "CGO_ENABLED="+b.cgo)
			cmd.Stderr = os.Stderr
			err = cmd.Run()
		}
		if err != nil {
			return p, err
		}
	}
	return p, nil
})

func in(dir, name string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

func copyFile(from, to string) error {
	b, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, b, 0o755)
	}
	return err
}

func TestMain(m *testing.M) {
	code := m.Run()
	if p, _ := build(); p != nil {
		os.RemoveAll(p.dir)
	}
	os.Exit(code)
}

// lack ends a test that needs something this machine does not have.
func lack(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("MCPBOX_REQUIRE") != "" {
		t.Fatalf("needs %s", what)
	}
	t.Skipf("needs %s", what)
}
