package main

import (
	"errors"
	"fmt"
	"text/tabwriter"

	"github.com/mcpbox/mcpbox/profiles"
	"github.com/spf13/cobra"
)

func profilesCommand(c console) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "profiles [NAME]",
		Short: "List profiles, or show one",
		Long: `Profiles lists what a policy can start from. With a NAME it prints that profile,
whose comments are its manual.`,
		Example: `  mcpbox profiles
  mcpbox profiles node`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: cobra.FixedCompletions(profiles.Names(), cobra.ShellCompDirectiveNoFileComp),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 {
				source, err := profiles.Source(args[0])
				if err != nil {
					return err
				}
				if asJSON {
					info, err := describe(args[0])
					info.Source = string(source)
					return errors.Join(err, writeJSON(c, info))
				}
				fprint(c.out, string(source))
				return nil
			}
			var list []profileInfo
			for _, name := range profiles.Names() {
				info, err := describe(name)
				if err != nil {
					return err
				}
				list = append(list, info)
			}
			if asJSON {
				return writeJSON(c, list)
			}
			w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
			for _, p := range list {
				fmt.Fprintf(w, "%s\t%s\n", p.Name, p.Summary)
			}
			return w.Flush()
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func describe(name string) (profileInfo, error) {
	summary, err := profiles.Summary(name)
	return profileInfo{Name: name, Summary: summary}, err
}

type profileInfo struct {
	Name    string `json:"name"`
	Summary string `json:"summary"`
	Source  string `json:"source,omitempty"`
}
