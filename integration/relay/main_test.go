package relay

import (
	"os"
	"testing"

	"github.com/mcpbox/mcpbox/integration/netns"
	"github.com/mcpbox/mcpbox/integration/setup"
)

// insideVariable names the directory of the programs, peer and mcpbox, to a copy of
// the test program that runs in a network namespace of its own.
const insideVariable = "MCPBOX_RELAY_INSIDE"

// lacking says why there are no namespaces, if there are none.
var lacking error

func TestMain(m *testing.M) {
	build := func(dir string) error { return setup.Programs(dir, "peer") }
	code, err := netns.Inside(insideVariable, build, func(string) int { return netns.Loopback(m.Run) })
	if err == nil {
		os.Exit(code)
	}
	lacking = err
	os.Exit(m.Run())
}
