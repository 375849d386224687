package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

func versionCommand(c console) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Example: `  mcpbox version
  mcpbox version --json`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return writeJSON(c, map[string]any{"version": version, "go": runtime.Version(), "arch": runtime.GOARCH, "containerd": withContainerd})
			}
			client := "without containerd's client"
			if withContainerd {
				client = "with containerd's client"
			}
			fprint(c.out, fmt.Sprintf("mcpbox %s (%s, %s, %s)", version, runtime.Version(), runtime.GOARCH, client))
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}
