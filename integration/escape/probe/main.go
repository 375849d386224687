// Probe is a program that tries to get out of a box.
//
//	probe list                          prints the attacks it knows
//	probe needs                         prints what honest servers do
//	probe attacks SCENARIO OUT [ID...]  tries them all, or the named ones
//	probe attack SCENARIO ID            tries one, in this very process
//	probe sweep OUT                     calls system calls 0 to 500 with zeros
//	probe facts                         prints what the process sees of itself
//	probe act NAME [ARG...]             behaves in one way, see act.go
//
// Output is one JSON object per line. attacks runs each attack in a process of
// its own, so that a signal, a hang or a swarm of children is an observation
// and not the end of the run, and writes to the file OUT.
//
// It is static, and most attacks are raw system calls: a libc that falls back
// to another call would hide which one was refused.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/mcpbox/mcpbox/integration/escape"
)

func main() {
	err := run(os.Args[1:])
	code := exitStatus(0)
	if err != nil && !errors.As(err, &code) {
		fmt.Fprintf(os.Stderr, "probe: %v\n", err)
		code = 1
	}
	os.Exit(int(code))
}

func run(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("want one of list, needs, attacks, attack, sweep, facts, act")
	}
	out := json.NewEncoder(os.Stdout)
	switch verb, args := args[0], args[1:]; {
	case verb == "list":
		return list(out, attacks())
	case verb == "needs":
		return list(out, needs)
	case verb == "attacks" && len(args) >= 2:
		return supervise(args[0], args[1], args[2:])
	case verb == "attack" && len(args) == 2:
		return attackHere(args[0], args[1])
	case verb == "sweep" && len(args) == 1:
		return sweep(args[0])
	case verb == "facts":
		return out.Encode(facts())
	case verb == "act" && len(args) >= 1:
		return act(args[0], args[1:])
	case verb == "exec-child":
		return out.Encode(credentials())
	default:
		return fmt.Errorf("cannot %q with %d arguments", verb, len(args))
	}
}

func list(out *json.Encoder, all []attack) error {
	for _, a := range all {
		if err := out.Encode(escape.Attack{ID: a.id, Tries: a.tries}); err != nil {
			return err
		}
	}
	return nil
}
