//go:build nocontainerd

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/spf13/cobra"
)

// withContainerd says that containerd's client is in this program. It costs each
// start of a server milliseconds and memory, which most never need: so it is in a
// second program, from the same source, which this one becomes when it has to.
const withContainerd = false

// becomeFull replaces this process by the program that has containerd's client,
// with the same arguments. It only returns with an error.
func becomeFull() error {
	path, err := findFull()
	if err != nil {
		return &codedError{exitFailure, err}
	}
	return fmt.Errorf("start %s: %w", path, syscall.Exec(path, os.Args, os.Environ()))
}

// findFull looks beside this program, and in PATH.
func findFull() (string, error) {
	self, err := os.Executable()
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(self); err == nil {
		self = real
	}
	beside := filepath.Join(filepath.Dir(self), fullName)
	if self == beside {
		return "", fmt.Errorf("%s has been built without containerd's client (tag nocontainerd); build it anew, without that tag", self)
	}
	if path, err := exec.LookPath(beside); err == nil {
		return path, nil
	}
	if path, err := exec.LookPath(fullName); err == nil && filepath.IsAbs(path) {
		return path, nil
	}
	return "", fmt.Errorf("the backend containerd is a program of its own, %s, which is neither beside %s nor in PATH; to build it, type where you have the source of mcpbox: make build && cp bin/%[1]s %[3]s",
		fullName, self, shellQuote(beside))
}

func openContainerd(*invocation) (engine, error) { return nil, becomeFull() }

func imageCommand(console) *cobra.Command {
	cmd := newImageCommand()
	cmd.DisableFlagParsing = true // its flags are those of the other program
	cmd.Args = cobra.ArbitraryArgs
	cmd.RunE = func(*cobra.Command, []string) error { return becomeFull() }
	cmd.ValidArgsFunction = completeImages
	return cmd
}

// completeImages leaves it to the other program, which is asked the same.
func completeImages(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	becomeFull()
	return nil, cobra.ShellCompDirectiveNoFileComp
}

func updateImages(context.Context, console, dirs.Dirs, string, bool) error { return becomeFull() }

// checkContainerd has the other program look, if it is there.
func checkContainerd() []sandbox.Layer {
	if _, err := findFull(); err == nil {
		becomeFull()
	}
	return []sandbox.Layer{{Name: "containerd", State: sandbox.Missing, Detail: `not looked for, as ` + fullName + ` is not installed; only backend = "containerd" needs it: make install puts it beside mcpbox`}}
}

func initContainerd() {}

func hiddenCommands() []*cobra.Command { return nil }

// leftName is the file that a run has in its directory as long as containerd may
// have something of it. It is the same as in package containerd, which is not here.
const leftName = "containerd.json"

// reapRun is a [runs.Reaper]: it has the other program clean up.
func reapRun(dir string) error {
	if _, err := os.Lstat(filepath.Join(dir, leftName)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	path, err := findFull()
	if err != nil {
		return err
	}
	return exec.Command(path, "reap", dir).Run()
}
