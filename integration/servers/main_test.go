package servers

import (
	"flag"
	"fmt"
	"os"
	"testing"

	"github.com/mcpbox/mcpbox/integration/netns"
)

// insideVariable is set for the copy of this program that has a network
// namespace of its own.
const insideVariable = "MCPBOX_SERVERS_INSIDE"

// noNetwork says why this program has no network of its own, if it has none.
var noNetwork error

// Public servers tell their makers about each start, update themselves, and ask
// clouds where they are. No test run does that to anybody: the tests run where
// there is a loopback interface and nothing else.
func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(insideVariable) != "" {
		if err := netns.IP("link set lo up\n"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(m.Run())
	}
	code, err := netns.Rerun(insideVariable + "=yes")
	if err == nil {
		os.Exit(code)
	}
	noNetwork = err
	os.Exit(m.Run())
}
