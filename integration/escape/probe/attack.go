package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"

	"github.com/mcpbox/mcpbox/integration/escape"
	"golang.org/x/sys/unix"
)

// attack is one way out. It cleans up behind itself when it succeeds, as far as
// the thing it broke is not the evidence.
type attack struct {
	id    string
	tries string
	run   func(*escape.Scenario) outcome
}

// attacks returns every attack, in the order of the lists they come from.
func attacks() []attack {
	return slices.Concat(
		userNamespaceAttacks, mountAttacks, procAttacks, deviceAttacks, secretAttacks, treeAttacks,
		descriptorAttacks, terminalAttacks, crossProcessAttacks, kernelAttacks, ipcAttacks,
		unixSocketAttacks, familyAttacks, filterAttacks, nativeAttacks(), setIDAttacks, limitAttacks,
		protectedAttacks, readOnlyAttacks, networkAttacks,
	)
}

// outcome is a result that does not know its attack yet.
type outcome struct {
	ok     bool
	ret    int64
	err    string
	detail string
}

// by turns the error of the deciding call into an outcome: no error is success.
func by(err error) outcome {
	if err == nil {
		return outcome{ok: true}
	}
	return outcome{ret: -1, err: name(err), detail: err.Error()}
}

// saw is the outcome of looking for something that should not be there.
func saw(found bool, detail string) outcome {
	if found {
		return outcome{ok: true, detail: detail}
	}
	return outcome{err: "absent", detail: detail}
}

// changed is the outcome of an attack whose calls pass either way.
func changed(did bool, detail string) outcome {
	if did {
		return outcome{ok: true, detail: detail}
	}
	return outcome{err: "unchanged", detail: detail}
}

// signalled is the error of a process that a signal ended.
type signalled syscall.Signal

func (s signalled) Error() string { return unix.SignalName(syscall.Signal(s)) }

// name is the name of what err comes down to.
func name(err error) string {
	var sig signalled
	var errno syscall.Errno
	switch {
	case errors.As(err, &sig):
		return sig.Error()
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	default:
		return err.Error()
	}
}

// attackHere tries one attack in this process and prints the result.
func attackHere(scenario, id string) error {
	s, err := load(scenario)
	if err != nil {
		return err
	}
	all := slices.Concat(attacks(), needs)
	i := slices.IndexFunc(all, func(a attack) bool { return a.id == id })
	if i < 0 {
		return fmt.Errorf("no attack %q", id)
	}
	o := all[i].run(s)
	return json.NewEncoder(os.Stdout).Encode(escape.Result{
		ID: id, Succeeded: o.ok, Ret: o.ret, Error: o.err, Detail: o.detail,
	})
}

// load reads a scenario.
func load(path string) (*escape.Scenario, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	s := new(escape.Scenario)
	return s, json.Unmarshal(b, s)
}
