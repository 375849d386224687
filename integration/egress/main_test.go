package egress

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/mcpbox/mcpbox/integration/netns"
	"github.com/mcpbox/mcpbox/integration/setup"
)

// lacking says why there are no namespaces, if there are none.
var lacking error

func TestMain(m *testing.M) {
	build := func(dir string) error { return setup.Programs(dir, "probe") }
	code, err := netns.Inside("MCPBOX_EGRESS_INSIDE", build, func(dir string) int { return inside(m, dir) })
	if err == nil {
		os.Exit(code)
	}
	lacking = err
	os.Exit(m.Run())
}

// inside makes the world and runs the tests in it.
func inside(m *testing.M, dir string) int {
	// The first thread says which namespaces the process has.
	runtime.LockOSThread()
	w, err := newWorld(dir)
	if the = w; err != nil {
		the, lacking = nil, err
	}
	code := m.Run()
	if err := w.close(); err != nil {
		fmt.Fprintf(os.Stderr, "world: %v\n", err)
		return 1
	}
	return code
}

// the is the world of this process: there can be no second one in a namespace.
var the *world

// needWorld returns the world, or ends the test.
func needWorld(t *testing.T) *world {
	t.Helper()
	if the == nil {
		setup.Need(t, false, lacking.Error())
	}
	return the
}
