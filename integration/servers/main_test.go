package servers

import (
	"os"
	"testing"

	"github.com/mcpbox/mcpbox/integration/netns"
)

// noNetwork says why this program has no network of its own, if it has none.
var noNetwork error

// Public servers tell their makers about each start, update themselves, and ask
// clouds where they are. No test run does that to anybody: the tests run where
// there is a loopback interface and nothing else.
func TestMain(m *testing.M) {
	code, err := netns.Inside("MCPBOX_SERVERS_INSIDE", nil, func(string) int { return netns.Loopback(m.Run) })
	if err == nil {
		os.Exit(code)
	}
	noNetwork = err
	os.Exit(m.Run())
}
