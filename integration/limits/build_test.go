package limits

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/mcpbox/mcpbox/integration/setup"
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
	if err := errors.Join(os.Chmod(dir, 0o755), setup.Launcher(p.mcpbox)); err != nil {
		return p, err
	}
	if prebuilt := os.Getenv("MCPBOX_LIMITS_PREBUILT"); prebuilt != "" {
		p.layersoff = filepath.Join(prebuilt, "mcpbox-layersoff")
		hog, err := os.ReadFile(filepath.Join(prebuilt, "hog"))
		return p, errors.Join(err, os.WriteFile(p.hog, hog, 0o755)) // under its own name
	}
	return p, errors.Join(setup.Build(p.hog, "./hog", "CGO_ENABLED=0"),
		setup.Build(p.layersoff, "../../cmd/mcpbox", "GOFLAGS=-tags=layersoff"))
})

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
	setup.Need(t, false, what)
}
