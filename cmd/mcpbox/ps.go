package main

import (
	"errors"
	"fmt"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/control"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/runs"
	"github.com/spf13/cobra"
)

func psCommand(c console) *cobra.Command {
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use:   "ps",
		Short: "List running servers",
		Long: `Ps lists your servers that are running.

CLIENT is the program that started mcpbox. STATE is running, frozen (mcpbox
freeze), cut (mcpbox cut), ending, or hung, if the mcpbox around the server does
not answer. CPU is the processor time that its processes have used, MEMORY what
they occupy now, CONNECTIONS how many are open, REQUESTS how many its host has
made, DENIED how often it was refused a connection or a name. LIMITS is by what its
limits hold, see mcpbox doctor.`,
		Example: `  mcpbox ps
  mcpbox ps --watch
  mcpbox ps --json`,
		Args:              cobra.NoArgs,
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			if watch {
				return watchRuns(c, asJSON)
			}
			list, err := survey()
			if asJSON {
				return errors.Join(writeJSON(c, list), err)
			}
			return errors.Join(showRuns(c, list, nil), err)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&watch, "watch", false, "print it again every second, with the processor time since (CPU%)")
	return cmd
}

// surveyed is a run and how it is. The figures of one that hangs are not known.
type surveyed struct {
	runs.State
	Condition string          `json:"state"`
	Status    *control.Status `json:"status,omitempty"`
}

// survey asks all runs at once how they are. Beside an error it returns those
// that there are.
func survey() ([]surveyed, error) {
	list, unreadable := liveRuns()
	all := make([]surveyed, len(list))
	failed := each(list, func(i int, r *runs.Run) error {
		s, err := control.Ask(r.Control(), control.Query, askTime)
		switch {
		case err == nil:
			all[i] = surveyed{r.State, condition(&s), &s}
		case errors.Is(err, control.ErrSilent):
			all[i] = surveyed{r.State, condition(nil), nil}
		case !errors.Is(err, control.ErrGone):
			return err
		}
		return nil
	})
	return slices.DeleteFunc(all, func(s surveyed) bool { return s.ID == "" }), errors.Join(unreadable, failed)
}

// condition is a status in a word.
func condition(s *control.Status) string {
	switch {
	case s == nil:
		return "hung"
	case s.Ending:
		return "ending"
	case s.Frozen && s.Cut:
		return "frozen,cut"
	case s.Frozen:
		return "frozen"
	case s.Cut:
		return "cut"
	}
	return "running"
}

// showRuns prints a table. With an earlier survey it has the share of a
// processor that each run has used since.
func showRuns(c console, list []surveyed, since *sample) error {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	share := ""
	if since != nil {
		share = "CPU%\t"
	}
	fmt.Fprintf(w, "NAME\tID\tPID\tAGE\tCLIENT\tSTATE\tCPU\t%sMEMORY\tPROCESSES\tCONNECTIONS\tREQUESTS\tDENIED\tLIMITS\n", share)
	for _, r := range list {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\t", r.Name, r.ID, r.Launcher.PID, age(time.Since(r.Started)), orDash(printable(r.Client)), r.Condition)
		if since != nil {
			share = since.share(r) + "\t"
		}
		if s := r.Status; s != nil {
			fmt.Fprintf(w, "%s\t%s%s\t%d\t%d\t%d\t%d\t%s\n", seconds(s.CPU), share, size(s.Memory), s.Processes, s.Connections, s.Requests, s.Denied, printable(r.Tier))
		} else {
			fmt.Fprintf(w, "-\t%s-\t-\t-\t-\t-\t%s\n", share, printable(r.Tier))
		}
	}
	return w.Flush()
}
