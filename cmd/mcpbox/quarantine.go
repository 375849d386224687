package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/quarantine"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/runs"
	"github.com/spf13/cobra"
)

func quarantineCommand(c console) *cobra.Command {
	var reason string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "quarantine [NAME...]",
		Short: "Kill servers, and refuse every later start",
		Long: `Quarantine ends all runs of the servers NAME, as mcpbox kill does, and from then on
mcpbox run refuses to start them, with the reason that you give, until mcpbox
release. A start that is going on at that moment does not get away, and nothing is
installed for them.

Without a name it lists which servers are in quarantine, since when, by whom, why,
and how often their hosts have tried to start them.`,
		Example: `  mcpbox quarantine fs --reason 'reads keys, see ticket 12'
  mcpbox quarantine
  mcpbox release fs`,
		ValidArgsFunction: completeServers,
		RunE: func(cmd *cobra.Command, args []string) error {
			own, err := ownDirs()
			if err != nil {
				return err
			}
			switch {
			case len(args) == 0 && reason != "":
				return &usageError{cmd, errors.New("--reason is for a server; name it")}
			case len(args) > 0 && asJSON:
				return &usageError{cmd, errors.New("--json is for the list, which has no name before it")}
			case len(args) == 0:
				return listQuarantine(c, own.State, asJSON)
			case len(reason) > quarantine.MaxReason:
				return fmt.Errorf("--reason has %d bytes; the most is %d", len(reason), quarantine.MaxReason)
			}
			return isolate(c, own, args, reason)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why; whoever starts the server reads it")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the list as JSON")
	cmd.RegisterFlagCompletionFunc("reason", cobra.NoFileCompletions)
	return cmd
}

// isolate puts servers in quarantine, and then ends what runs of them: what
// starts later finds that, and what started earlier is found.
func isolate(c console, own dirs.Dirs, names []string, reason string) error {
	list, _ := liveRuns()
	for _, name := range names {
		if err := journal.CheckName(name); err != nil {
			return err
		}
		known := slices.Contains(servers(own), name)
		i := slices.IndexFunc(list, func(r *runs.Run) bool { return r.ID == name })
		if !known && i >= 0 {
			return fmt.Errorf("%q is the ID of a run, and what stays out is a server; type: mcpbox quarantine %s", name, list[i].Name)
		}
		if !known {
			c.say("no server %s has run here; if it ever starts, it will be refused", name)
		}
	}
	for _, name := range names {
		e := quarantine.Entry{Name: name, Reason: reason, By: whoAsks(), Since: time.Now().UTC()}
		if err := quarantine.Set(own.State, e); err != nil {
			return fmt.Errorf("quarantine %s: %w", name, err)
		}
	}
	list, unreadable := liveRuns()
	list = slices.DeleteFunc(list, func(r *runs.Run) bool { return !slices.Contains(names, r.Name) })
	failed := each(list, kill)
	liveRuns() // removes what stuck launchers have left
	return errors.Join(failed, unreadable)
}

// whoAsks is the user of this command, and the program that it was typed into.
func whoAsks() string {
	who := fmt.Sprintf("user %d", os.Getuid())
	if name := os.Getenv("USER"); name != "" {
		who += " (" + name + ")"
	}
	if from := clientOf(os.Getppid()); from != "" {
		who += " from " + from
	}
	return who
}

func listQuarantine(c console, state string, asJSON bool) error {
	list, unreadable := quarantine.List(state)
	if asJSON {
		if list == nil {
			list = []quarantine.Entry{}
		}
		return errors.Join(writeJSON(c, list), unreadable)
	}
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tSINCE\tBY\tREFUSED\tREASON")
	for _, e := range list {
		refused := fmt.Sprint(e.Refused)
		if e.Last != nil {
			refused += ", " + age(time.Since(*e.Last)) + " ago"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", e.Name, e.Since.Local().Format("2006-01-02 15:04"), printable(e.By), refused, orDash(printable(e.Reason)))
	}
	return errors.Join(w.Flush(), unreadable)
}

// servers are the names that are known here: of what has run, and of policies.
func servers(own dirs.Dirs) []string {
	files, _ := journal.Files(own.State)
	var names []string
	for _, f := range files {
		names = append(names, f.Name)
	}
	policies, _ := filepath.Glob(filepath.Join(own.Config, "servers", "*.toml"))
	for _, file := range policies {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".toml"))
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// completeServers offers the names of servers.
func completeServers(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	own, err := ownDirs()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := servers(own)
	return slices.DeleteFunc(names, func(n string) bool { return slices.Contains(given, n) }), cobra.ShellCompDirectiveNoFileComp
}
