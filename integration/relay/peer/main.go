// Command peer is the server's side of the relay's tests.
//
//	peer tap DIR COMMAND...   run COMMAND, and write down what it reads and
//	                          writes in DIR/in and DIR/out
//	peer play FILE            be the server of one of go-sdk's transcripts
//	peer sdk                  be a server that uses what go-sdk has
//	peer chaos FAULT NUMBER   be a server that does FAULT when it has read
//	                          message NUMBER
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
)

func main() {
	err := run(os.Args[1:])
	if exit := new(exec.ExitError); errors.As(err, &exit) && exit.Exited() {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) > 2 && args[0] == "tap":
		return tap(args[1], args[2:])
	case len(args) == 2 && args[0] == "play":
		return play(args[1])
	case len(args) == 3 && args[0] == "chaos":
		return chaos(args[1], args[2])
	case len(args) == 1 && args[0] == "sdk":
		return serve()
	}
	return fmt.Errorf("unknown arguments %q", args)
}
