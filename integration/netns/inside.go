package netns

import (
	"flag"
	"fmt"
	"os"
)

// Inside has a program of tests run in namespaces of its own. build, if there is
// one, makes programs in a new directory, once, before that. inside runs the tests
// and returns their exit status; it is called in the copy of the program for which
// variable is set in the environment. Inside ends the program, unless this machine
// lets nobody have namespaces: then it returns why.
func Inside(variable string, build func(dir string) error, inside func(dir string) int) error {
	flag.Parse()
	if dir := os.Getenv(variable); dir != "" {
		os.Exit(inside(dir))
	}
	code, err := outside(variable, build)
	if err == nil {
		os.Exit(code)
	}
	return err
}

func outside(variable string, build func(dir string) error) (int, error) {
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
