package main

import (
	"errors"
	"slices"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/quarantine"
	"github.com/spf13/cobra"
)

func releaseCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "release NAME...",
		Short: "Let servers start again that are in quarantine",
		Long: `Release ends what mcpbox quarantine has begun: the servers NAME may start again, the
next time that their hosts start them.`,
		Example:           "  mcpbox release fs",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeQuarantine,
		RunE: func(_ *cobra.Command, args []string) error {
			own, err := ownDirs()
			if err != nil {
				return err
			}
			var failed []error
			for _, name := range args {
				failed = append(failed, quarantine.Release(own.State, name))
			}
			return errors.Join(failed...)
		},
	}
}

// completeQuarantine offers the names of what is in quarantine.
func completeQuarantine(_ *cobra.Command, given []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	if own, err := ownDirs(); err == nil {
		list, _ := quarantine.List(own.State)
		for _, e := range list {
			if !slices.Contains(given, e.Name) {
				names = append(names, e.Name)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
