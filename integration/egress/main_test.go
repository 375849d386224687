package egress

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/mcpbox/mcpbox/integration/netns"
)

// insideVariable names the directory of the programs to a copy of the test
// program that runs in namespaces of its own.
const insideVariable = "MCPBOX_EGRESS_INSIDE"

// lacking says why there are no namespaces, if there are none.
var lacking error

func TestMain(m *testing.M) {
	flag.Parse()
	if os.Getenv(insideVariable) != "" {
		os.Exit(inside(m))
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
	dir, err := os.MkdirTemp("", "mcpbox-egress-bin-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := build(dir); err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n", err)
		return 1, nil
	}
	return netns.Rerun(insideVariable + "=" + dir)
}

// inside makes the world and runs the tests in it.
func inside(m *testing.M) int {
	// The first thread says which namespaces the process has.
	runtime.LockOSThread()
	w, err := newWorld(os.Getenv(insideVariable))
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
		need(t, false, lacking.Error())
	}
	return the
}

// need ends the test where this machine lacks something: a failure where it is
// meant to have everything.
func need(t *testing.T, ok bool, what string) {
	t.Helper()
	switch {
	case ok:
	case os.Getenv("MCPBOX_REQUIRE") != "":
		t.Fatalf("needs %s", what)
	default:
		t.Skipf("needs %s", what)
	}
}
