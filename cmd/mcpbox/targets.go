package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/control"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/runs"
	"github.com/mcpbox/mcpbox/sandbox/native"
	"github.com/spf13/cobra"
)

// askTime is how long a launcher has to answer. Those that work need a
// millisecond; freezing a box may take more than two seconds.
const (
	askTime    = time.Second
	changeTime = 5 * time.Second
)

// liveRuns lists this user's runs.
func liveRuns() ([]*runs.Run, error) {
	own, err := ownDirs()
	if err != nil {
		return nil, err
	}
	native.Sweep()
	return runs.List(own.Runtime, reapRun)
}

// targets are the runs that args name, each once: a name stands for all runs of
// that name, an ID for one. An argument that names nothing, or something by its
// name and something else by its ID, is an error, and then nothing is done.
func targets(list []*runs.Run, args []string) ([]*runs.Run, error) {
	var chosen []*runs.Run
	for _, arg := range args {
		var named, known []*runs.Run
		for _, r := range list {
			switch {
			case r.Name == arg && r.ID != arg:
				named = append(named, r)
			case r.ID == arg:
				known = append(known, r)
			}
		}
		switch {
		case len(named) > 0 && len(known) > 0:
			return nil, fmt.Errorf("%q is the ID of one run and the name of another; use the ID of the one, or the name of the other: %s", arg, describeRuns(append(known, named...)))
		case len(named)+len(known) == 0 && len(list) == 0:
			return nil, fmt.Errorf("no run has the name or ID %q: nothing is running", arg)
		case len(named)+len(known) == 0:
			done := ""
			if len(args) > 1 {
				done = ", so nothing was done to the others"
			}
			return nil, fmt.Errorf("no run has the name or ID %q%s; running: %s", arg, done, describeRuns(list))
		}
		for _, r := range append(named, known...) {
			if !slices.Contains(chosen, r) {
				chosen = append(chosen, r)
			}
		}
	}
	return chosen, nil
}

// describeRuns names runs in a line, by name and ID.
func describeRuns(list []*runs.Run) string {
	const most = 20
	var names []string
	for i, r := range list {
		if i == most {
			names = append(names, fmt.Sprintf("and %d more", len(list)-most))
			break
		}
		names = append(names, fmt.Sprintf("%s (%s)", r.Name, r.ID))
	}
	return strings.Join(names, ", ")
}

// changeCommand is a command that has launchers do what v says.
func changeCommand(v control.Verb, short, long string) *cobra.Command {
	return &cobra.Command{
		Use:               string(v) + " NAME|ID...",
		Short:             short,
		Long:              long,
		Example:           "  mcpbox " + string(v) + " fs",
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeRuns,
		RunE: func(_ *cobra.Command, args []string) error {
			list, unreadable := liveRuns()
			chosen, err := targets(list, args)
			if err != nil {
				return errors.Join(err, unreadable)
			}
			return each(chosen, func(_ int, r *runs.Run) error {
				_, err := control.Ask(r.Control(), v, changeTime)
				if errors.Is(err, control.ErrSilent) {
					err = fmt.Errorf("%w; to end it, type: mcpbox kill %s", err, r.ID)
				}
				return err
			})
		},
	}
}

// each does something to all runs at once, and says of which it failed.
func each(list []*runs.Run, do func(i int, r *runs.Run) error) error {
	failed := make([]error, len(list))
	done := make(chan int)
	for i, r := range list {
		go func() {
			if err := do(i, r); err != nil {
				failed[i] = fmt.Errorf("%s (%s): %w", r.Name, r.ID, err)
			}
			done <- i
		}()
	}
	for range list {
		<-done
	}
	return errors.Join(failed...)
}

// completeRuns offers the names of what is running, and its IDs.
func completeRuns(_ *cobra.Command, given []string, _ string) ([]string, cobra.ShellCompDirective) {
	var words []string
	add := func(word, what string) {
		if !slices.Contains(given, word) && !slices.ContainsFunc(words, func(w string) bool { return strings.HasPrefix(w, word+"\t") }) {
			words = append(words, word+"\t"+what)
		}
	}
	list, _ := liveRuns()
	for _, r := range list {
		add(r.Name, "server")
	}
	for _, r := range list {
		add(r.ID, "a run of "+r.Name)
	}
	return words, cobra.ShellCompDirectiveNoFileComp
}
