package main

import (
	"fmt"
	"os"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/packages"
	"github.com/mcpbox/mcpbox/policy"
	"github.com/mcpbox/mcpbox/sandbox"
)

// engine is a backend, and what is run in its boxes: programs of the host, or of an
// image.
type engine interface {
	sandbox.Backend

	// provide has what the command line asks for at hand: a package, an image.
	// What is not there is fetched, until a signal comes; with signals nil it is
	// an error.
	provide(inv *invocation, c console, signals <-chan os.Signal) error

	// ready is called when a box will be started soon.
	ready()

	// program finds what to run.
	program(inv *invocation, p *prepared, file, flags *policy.Policy) (policy.Program, error)

	// refuses is why a box of p would not start, as far as that can be known without
	// starting one, or nil.
	refuses(p *prepared) error

	// begin tells the ID of the run and its directory, before Start.
	begin(id, dir string)

	// what is run, in the journal's words, or "".
	what() string

	// close ends what is not a box.
	close()
}

// fullName is the name of the program that has containerd's client, where mcpbox has
// been built without.
const fullName = "mcpbox-containerd"

// choose settles the server's name, reads its policy, and opens the backend that
// the policy or a flag names. A program that has not that backend is replaced by
// the one that has.
func (inv *invocation) choose() error {
	if inv.engine != nil {
		return nil
	}
	var err error
	if inv.host, inv.dirs, err = openHost(); err != nil {
		return err
	}
	flags, err := inv.flags()
	if err != nil {
		return err
	}
	if inv.name == "" && inv.policyFile == "" && inv.image == "" && len(inv.argv) == 0 {
		return inv.noCommand()
	}
	if !inv.given("name") {
		inv.name = inv.guessName()
	}
	if inv.name != "" || inv.given("name") {
		if err := journal.CheckName(inv.name); err != nil {
			return err
		}
	}
	file, err := within(prepareTimeout, inv.host, func() (*policy.Policy, error) {
		return inv.readFile(inv.host, inv.dirs, inv.name)
	})
	if err != nil {
		return err
	}
	inv.said = policy.Extend(file, flags)
	if err := inv.said.CheckBackend(); err != nil {
		return err
	}
	if inv.said.BackendName() == policy.BackendContainerd {
		if inv.name == "" {
			inv.name = nameOfImage(inv.said.Image.Value)
		}
		inv.engine, err = openContainerd(inv)
		return err
	}
	if len(inv.argv) == 0 {
		return inv.noCommand()
	}
	inv.engine = newNativeEngine(inv.dirs)
	return nil
}

func (inv *invocation) noCommand() error {
	return fmt.Errorf("no command; type: mcpbox %s -- COMMAND [ARG...]", inv.verb)
}

// guessName derives the server's name from what is run. Of an image that only the
// policy names, it is not known yet.
func (inv *invocation) guessName() string {
	if inv.image != "" {
		return nameOfImage(inv.image)
	}
	if len(inv.argv) == 0 {
		return ""
	}
	if request, err := packages.Parse(inv.argv); err == nil && request != nil {
		return cleanName(request.ServerName())
	}
	return nameOf(inv.argv)
}
