package main

import (
	"github.com/mcpbox/mcpbox/policy"
	"github.com/spf13/cobra"
)

func checkCommand(c console) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE...",
		Short: "Check policy files",
		Long: `Check reads policy files as run would: every key, every path on this machine, the
profile they extend, and who could change them. It starts nothing, says nothing
about a good file, and exits with 1 if one is bad.`,
		Example: `  mcpbox check ~/.config/mcpbox/servers/fs.toml`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, files []string) error {
			host, _, err := openHost()
			if err != nil {
				return err
			}
			bad := false
			for _, file := range files {
				if err := checkPolicy(host, file); err != nil {
					c.sayError(err)
					bad = true
				}
			}
			if bad {
				return &codedError{code: 1}
			}
			return nil
		},
	}
}

func checkPolicy(host policy.Host, file string) error {
	p, err := loadPolicy(host, file)
	if err != nil {
		return err
	}
	base, err := loadProfile(p.Profile, host.Facts())
	if err != nil {
		return err
	}
	// Any program will do: only the policy's own paths are in question.
	all, prog := policy.Extend(base, p), policy.Program{Exec: "/bin/true", Argv: []string{"true"}}
	if all.BackendName() == policy.BackendContainerd {
		prog = policy.Program{Image: &policy.Image{Ref: all.Image.Value}, Argv: []string{"true"}}
	}
	_, _, err = policy.Spec(all, prog, host)
	return err
}
