package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// execute runs the command line args and returns the exit code.
func execute(args []string, c console) int {
	root := &cobra.Command{
		Use:   "mcpbox",
		Short: "Run MCP servers with nothing but what they need",
		Long: `mcpbox starts an MCP stdio server in a box: the server sees the directories and
variables that you declare and nothing else of your machine, reaches the hosts
that you name and no other, and ends when its host does. Put it before the
command in your host's mcpServers.`,
		Example: `  mcpbox run --name fs --rw ~/projects/x -- node server.js ~/projects/x
  mcpbox explain --rw ~/projects/x -- node server.js ~/projects/x
  mcpbox doctor`,
		Version:       version,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          knownCommand,
		// With something to run, cobra asks Args instead of printing the help
		// and reporting success.
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		// The usage has a line for the commands.
		DisableFlagsInUseLine: true,
	}
	root.SetArgs(args)
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.SetIn(c.in)
	hurried := c.hurried()
	root.AddCommand(runCommand(hurried), explainCommand(c), checkCommand(c), profilesCommand(c), doctorCommand(c), versionCommand(c),
		psCommand(c), logsCommand(c), changesCommand(c), killCommand(), freezeCommand(), thawCommand(), cutCommand(), restoreCommand(),
		quarantineCommand(c), releaseCommand(), snapshotCommand(c), addCommand(c), updateCommand(c), packagesCommand(c), imageCommand(c))
	root.AddCommand(hiddenCommands()...)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return &usageError{cmd, err}
	})
	cmd, err := root.ExecuteC()
	otherwise := 1
	if cmd != nil && cmd.Name() == "run" {
		c, otherwise = hurried, exitFailure
	}
	return c.report(err, otherwise)
}

// knownCommand refuses what is left of a command line that names no command.
func knownCommand(root *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	root.SuggestionsMinimumDistance = 2
	if near := root.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("unknown command %q; did you mean %q?", args[0], near[0])
	}
	return &usageError{root, fmt.Errorf("unknown command %q", args[0])}
}

// usageError is a command line that cannot be understood.
type usageError struct {
	cmd *cobra.Command
	err error
}

func (e *usageError) Error() string {
	return strings.TrimSuffix(e.err.Error(), "\n") + "; type: " + e.cmd.CommandPath() + " --help"
}

func (e *usageError) Unwrap() error { return e.err }
