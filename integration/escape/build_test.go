package escape

import (
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/mcpbox/mcpbox/integration/setup"
)

// programs are what the tests run, in a directory that every user can read.
type programs struct {
	dir string
	// probe is the attacker, static, for this machine.
	probe string
	// launcher is mcpbox as users get it: MCPBOX_BIN if that is set, else
	// built here.
	launcher string
}

// prebuilt names a directory that has the programs, for machines without a Go
// toolchain: probe and mcpbox-layersoff, as setup.Build would make them.
const prebuilt = "MCPBOX_ESCAPE_PREBUILT"

// build makes the programs once per test run. TestMain removes them.
var build = sync.OnceValues(func() (*programs, error) {
	dir, err := os.MkdirTemp("", "mcpbox-escape-bin-")
	if err != nil {
		return nil, err
	}
	p := &programs{dir: dir, probe: filepath.Join(dir, "probe"), launcher: filepath.Join(dir, "mcpbox")}
	if err := os.Chmod(dir, 0o755); err != nil {
		return p, err
	}
	if dir := os.Getenv(prebuilt); dir != "" {
		p.probe = filepath.Join(dir, "probe")
	} else if err := setup.Build(p.probe, "./probe", "CGO_ENABLED=0"); err != nil {
		return p, err
	}
	return p, setup.Launcher(p.launcher)
})

// buildLacking makes mcpbox with the tag layersoff, in which the environment
// variable MCPBOX_LAYER_OFF leaves layers out.
var buildLacking = sync.OnceValues(func() (string, error) {
	p, err := build()
	if err != nil {
		return "", err
	}
	if dir := os.Getenv(prebuilt); dir != "" {
		return filepath.Join(dir, "mcpbox-layersoff"), nil
	}
	bin := filepath.Join(p.dir, "mcpbox-layersoff")
	return bin, setup.Build(bin, "../../cmd/mcpbox", "GOFLAGS=-tags=layersoff")
})

// needPrograms returns the programs, or ends the test.
func needPrograms(t *testing.T) *programs {
	t.Helper()
	p, err := build()
	if err != nil {
		t.Fatalf("build: %v", err)
	}
	return p
}

// copyFile copies a regular file.
func copyFile(from, to string, mode os.FileMode) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to, b, mode); err != nil {
		return err
	}
	return os.Chmod(to, mode)
}
