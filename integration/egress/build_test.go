package egress

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// build makes, in a directory that every user can read, what the tests run: the
// probe, static, and mcpbox as users get it: MCPBOX_BIN if that is set, else
// built here.
func build(dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if err := goBuild(filepath.Join(dir, "probe"), "./probe", "CGO_ENABLED=0"); err != nil {
		return err
	}
	launcher := filepath.Join(dir, "mcpbox")
	bin := os.Getenv("MCPBOX_BIN")
	if bin == "" {
		return goBuild(launcher, "../../cmd/mcpbox")
	}
	b, err := os.ReadFile(bin)
	if err != nil {
		return err
	}
	return os.WriteFile(launcher, b, 0o755)
}

func goBuild(out, pkg string, env ...string) error {
	cmd := exec.Command("go", "build", "-p", "2", "-o", out, pkg)
	cmd.Env = append(os.Environ(), env...)
	if b, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", pkg, err, b)
	}
	return nil
}
