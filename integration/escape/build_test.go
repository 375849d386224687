package escape

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
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
// toolchain: probe and mcpbox-layersoff, as goBuild would make them.
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
	} else if err := goBuild(p.probe, "./probe", "CGO_ENABLED=0"); err != nil {
		return p, err
	}
	if bin := os.Getenv("MCPBOX_BIN"); bin != "" {
		err = copyFile(bin, p.launcher, 0o755)
	} else {
		err = goBuild(p.launcher, "../../cmd/mcpbox")
	}
	return p, err
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
	return bin, goBuild(bin, "../../cmd/mcpbox", "GOFLAGS=-tags=layersoff")
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

func goBuild(out, pkg string, env ...string) error {
	cmd := exec.Command("go", "build", "-p", "2", "-o", out, pkg)
	cmd.Env = append(os.Environ(), env...)
	cmd.Stderr = os.Stderr
	return cmd.Run()
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

// missing ends the test because the machine lacks something: a failure where
// MCPBOX_REQUIRE says that nothing may be missing.
func missing(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("MCPBOX_REQUIRE") != "" {
		t.Fatalf("needs %s", what)
	}
	t.Skipf("needs %s", what)
}
