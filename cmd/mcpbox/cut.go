package main

import (
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/control"
	"github.com/spf13/cobra"
)

func cutCommand() *cobra.Command {
	return changeCommand(control.Cut, "Take the network from a server",
		`Cut ends the connections of a server and refuses every new one, whatever its
policy allows, until mcpbox restore. The server keeps running, and its host keeps
talking to it.

NAME stands for all runs of that name; mcpbox ps lists them.`)
}

func restoreCommand() *cobra.Command {
	return changeCommand(control.Restore, "Give a server its network back",
		`Restore lets a server connect again to what its policy allows, after mcpbox cut.

NAME stands for all runs of that name; mcpbox ps lists them.`)
}
