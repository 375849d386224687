package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/packages"
	"github.com/spf13/cobra"
)

func packagesCommand(c console) *cobra.Command {
	var asJSON, prune bool
	cmd := &cobra.Command{
		Use:   "packages",
		Short: "List installed packages, and which servers run them",
		Long: `Packages lists what is in the package store: each package that a server was
installed from, with all it depends on. SIGNED says whether the registry has signed
it: yes, partly, or no, if it publishes no keys. USED BY are the servers that are
pinned to it.

With --prune it removes those that no server is pinned to.`,
		Example: `  mcpbox packages
  mcpbox packages --json
  mcpbox packages --prune`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			own, err := ownDirs()
			if err != nil {
				return err
			}
			store := packages.Open(own)
			store.Sweep()
			list, err := inventory(store)
			if err != nil {
				return err
			}
			if prune {
				return pruneStore(c, store, list)
			}
			if asJSON {
				return writeJSON(c, list)
			}
			return showPackages(c, list)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&prune, "prune", false, "remove packages that no server is pinned to")
	return cmd
}

// kept is an entry, and who uses it.
type kept struct {
	*packages.Entry
	UsedBy []string `json:"usedBy"`
	Path   string   `json:"path"`
}

func inventory(store *packages.Store) ([]kept, error) {
	entries, err := store.List()
	if err != nil {
		return nil, err
	}
	pins, err := store.Pins("")
	if err != nil {
		return nil, err
	}
	list := []kept{}
	for _, e := range entries {
		k := kept{e, []string{}, e.Dir}
		for _, p := range pins {
			if store.PinDir(p) == e.Dir && !slices.Contains(k.UsedBy, p.Server) {
				k.UsedBy = append(k.UsedBy, p.Server)
			}
		}
		list = append(list, k)
	}
	return list, nil
}

func showPackages(c console, list []kept) error {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PACKAGE\tVERSION\tKIND\tSIZE\tDEPENDENCIES\tSIGNED\tINSTALLED\tUSED BY")
	for _, k := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d\t%s\t%s\t%s\n", printable(k.Name), printable(k.Version), k.Kind, size(k.Bytes), k.Dependencies,
			map[string]string{packages.Signed: "yes", packages.PartlySigned: "partly"}[k.Signatures.State]+map[bool]string{true: "no"}[k.Signatures.State == packages.Unsigned],
			k.Installed.Local().Format("2006-01-02"), orDash(strings.Join(k.UsedBy, ", ")))
	}
	return w.Flush()
}

// pruneStore removes what nobody is pinned to.
func pruneStore(c console, store *packages.Store, list []kept) error {
	var failed []error
	for _, k := range list {
		if len(k.UsedBy) > 0 {
			continue
		}
		if err := store.Remove(context.Background(), k.Entry); err != nil {
			failed = append(failed, err)
			continue
		}
		fprint(c.out, printable(fmt.Sprintf("removed %s@%s, %s", k.Name, k.Version, size(k.Bytes))))
	}
	return errors.Join(failed...)
}
