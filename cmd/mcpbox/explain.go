package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/packages"
	"github.com/mcpbox/mcpbox/policy"
	"github.com/mcpbox/mcpbox/sandbox"
	"github.com/spf13/cobra"
)

func explainCommand(c console) *cobra.Command {
	inv := &invocation{verb: "explain"}
	var asJSON, asSpec bool
	cmd := &cobra.Command{
		Use:   "explain [flags] [--] [COMMAND [ARG...]]",
		Short: "Say what a server could see and do",
		Long: `Explain takes the command line of run, starts nothing, and says in English what
the server could read, write, reach and use, and which profile and policy that
comes from.

With --spec it prints what the box is made from. That has the values of the
variables that the server gets; the other forms have only their names.`,
		Example: `  mcpbox explain --rw ~/projects/x -- node server.js ~/projects/x
  mcpbox explain --json -- github-mcp-server stdio
  mcpbox explain --spec -- node server.js > config.json`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			inv.argv = args
			if asJSON && asSpec {
				return &usageError{cmd, fmt.Errorf("--json and --spec exclude each other")}
			}
			if err := inv.choose(); err != nil {
				return err
			}
			defer inv.engine.close()
			if err := inv.engine.provide(inv, c, nil); err != nil {
				return err
			}
			p, err := inv.prepare()
			if err != nil {
				return err
			}
			if err := inv.engine.refuses(p); err != nil {
				p.hints = append([]string{"it would not start: " + err.Error()}, p.hints...)
			}
			e := policy.Explain(p.policy, p.spec, p.report)
			tier := inv.engine.Tier()
			switch {
			case asSpec:
				return writeJSON(c, p.spec)
			case asJSON:
				return writeJSON(c, struct {
					Name string `json:"name"`
					*policy.Explanation
					Tier       sandbox.Tier    `json:"tier"`
					Package    *packages.Entry `json:"package,omitempty"`
					Undeclared []string        `json:"undeclared,omitempty"`
					Hints      []string        `json:"hints,omitempty"`
				}{p.name, e, tier, p.installed.entry(), p.undeclared, p.hints})
			}
			if p.installed != nil {
				fprint(c.out, printableText(p.installed.String()))
			}
			fprint(c.out, printableText(e.String()))
			fprint(c.out, "\n"+describeTier(tier))
			if os.Geteuid() == 0 {
				fprint(c.out, fmt.Sprintf("\nRuns as user %d, which owns nothing; what it makes in writable directories belongs to their owner.", p.spec.Process.User.UID))
			}
			for _, line := range p.hints {
				fprint(c.out, "\nNote: "+printable(line))
			}
			return nil
		},
	}
	inv.addFlags(cmd)
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the explanation as JSON")
	cmd.Flags().BoolVar(&asSpec, "spec", false, "print the OCI config.json of the box")
	return cmd
}

// writeJSON writes v to stdout, indented.
func writeJSON(c console, v any) error {
	enc := json.NewEncoder(c.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
