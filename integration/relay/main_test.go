package relay

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/mcpbox/mcpbox/integration/netns"
)

// insideVariable names the directory of the programs to a copy of the test
// program that runs in a network namespace of its own.
const insideVariable = "MCPBOX_RELAY_INSIDE"

// lacking says why there are no namespaces, if there are none.
var lacking error

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(insideVariable) != "" {
		if err := netns.IP("link set lo up\n"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	code, err := outside()
	if err == nil {
		os.Exit(code)
	}
	lacking = err
	os.Exit(m.Run())
}

// outside builds the programs and runs this program again in namespaces of its
// own. An error is that this machine does not let us.
func outside() (int, error) {
	dir, err := os.MkdirTemp("", "mcpbox-relay-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1, nil
	}
	return netns.Rerun(insideVariable + "=" + dir)
}

// build makes, in a directory that every user can read, the server's side, and
// mcpbox as users get it: MCPBOX_BIN if that is set, else built here.
func build(dir string) error {
	if err := os.Chmod(dir, 0o755); err != nil {
		return err
	}
	if err := goBuild(filepath.Join(dir, "peer"), "./peer", "CGO_ENABLED=0"); err != nil {
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
