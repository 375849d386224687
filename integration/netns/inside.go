package netns

import (
	"flag"
	"fmt"
	"os"
)

// Inside has a program of tests run in namespaces of its own. build, if there is
// one, makes programs in a new directory, once, before that. inside runs the tests
// and returns their exit status; it is called in the copy of the program for which
// variable is set in the environment. Inside returns that status, with which the
// program is to end. An error is that this machine allows no namespaces.
func Inside(variable string, build func(dir string) error, inside func(dir string) int) (int, error) {
	flag.Parse()
	if dir := os.Getenv(variable); dir != "" {
		return inside(dir), nil
	}
	dir, err := os.MkdirTemp("", "mcpbox-inside-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if build != nil {
		if err := build(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1, nil
		}
	}
	return Rerun(variable + "=" + dir)
}

// Loopback brings the loopback interface up and runs tests.
func Loopback(run func() int) int {
	if err := IP("link set lo up\n"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return run()
}
