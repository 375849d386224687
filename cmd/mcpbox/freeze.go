package main

import (
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/control"
	"github.com/spf13/cobra"
)

func freezeCommand() *cobra.Command {
	return changeCommand(control.Freeze, "Stop a server where it is",
		`Freeze stops every process of a server where it is, until mcpbox thaw. What its
host sends waits. When the host ends it, or mcpbox does, a frozen server is
killed.

NAME stands for all runs of that name; mcpbox ps lists them.`)
}

func thawCommand() *cobra.Command {
	return changeCommand(control.Thaw, "Let a frozen server go on",
		`Thaw lets the processes of a server go on that mcpbox freeze has stopped.

NAME stands for all runs of that name; mcpbox ps lists them.`)
}
