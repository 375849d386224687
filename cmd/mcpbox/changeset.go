package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/changes"
	"github.com/spf13/cobra"
)

func changesCommand(c console) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "changes [NAME|ID]",
		Short: "Show what servers have changed in staged directories",
		Long: `Changes lists what servers have changed in their view of staged directories, and
shows it: file by file, with the differences of those that are text. The
directories themselves are as they were, until you apply the changes.

A directory is staged with --staged, or staged = true in the policy. ID is one
run; NAME stands for the runs of that server.`,
		Example: `  mcpbox changes
  mcpbox changes 1f0c9a7e
  mcpbox changes apply 1f0c9a7e
  mcpbox changes undo 1f0c9a7e`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeChanges,
		RunE: func(_ *cobra.Command, args []string) error {
			own, err := ownDirs()
			if err != nil {
				return err
			}
			var list []*changes.Entry
			if len(args) == 0 {
				list, err = changes.List(own.State)
			} else {
				list, err = changes.Find(own.State, args[0])
			}
			switch {
			case err != nil && len(list) == 0:
				return err
			case asJSON:
				return errors.Join(writeJSON(c, describeSets(list, len(args) > 0)), err)
			case len(args) == 0 || len(list) > 1:
				return errors.Join(listSets(c, list), err)
			}
			return showSet(c, list[0])
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.AddCommand(applyCommand(c), undoCommand(c), discardCommand())
	return cmd
}

// completeChanges offers the IDs of change sets.
func completeChanges(_ *cobra.Command, given []string, _ string) (ids []string, _ cobra.ShellCompDirective) {
	if own, err := ownDirs(); err == nil && len(given) == 0 {
		list, _ := changes.List(own.State)
		for _, e := range list {
			ids = append(ids, e.ID+"\t"+e.Name())
		}
	}
	return ids, cobra.ShellCompDirectiveNoFileComp
}

// listSets prints a table.
func listSets(c console, list []*changes.Entry) error {
	w := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "ID\tNAME\tAGE\tSTATE\tCHANGES")
	for _, e := range list {
		if s := e.Pending; s != nil {
			fmt.Fprintf(w, "%s\t%s\t%s\tpending\t%s\n", e.ID, printable(s.Name), age(time.Since(s.Time)), s.Summary())
		}
		if s := e.Undo; s != nil {
			fmt.Fprintf(w, "%s\t%s\t%s\tapplied\t%d\n", e.ID, printable(s.Name), age(time.Since(s.Time)), len(s.Changes))
		}
	}
	return w.Flush()
}

// showSet prints each change of a set, and what to type next. Names and content
// are the server's, so none of it reaches a terminal as it is.
func showSet(c console, e *changes.Entry) error {
	set, next := e.Pending, "to apply it, type: mcpbox changes apply "+e.ID
	if set == nil {
		set, next = e.Undo, "it is applied, and this would take it back; to do so, type: mcpbox changes undo "+e.ID
	}
	var b strings.Builder
	for i := range set.Changes {
		change := &set.Changes[i]
		fmt.Fprintf(&b, "%s %s", change.Kind(), printable(set.At(change)))
		if what := describeChange(change); what != "" {
			fmt.Fprintf(&b, " (%s)", printable(what))
		}
		if change.Refused != "" {
			fmt.Fprintf(&b, "; refused: %s", printable(change.Refused))
		}
		b.WriteByte('\n')
		diff, err := e.Diff(set, change)
		if err != nil {
			return err
		}
		if diff != "" {
			b.WriteString(printableText(strings.TrimRight(diff, "\n")) + "\n")
		}
	}
	fprint(c.out, b.String()+next)
	return nil
}

// describeChange says what a change is about, where that is not the content of a
// file.
func describeChange(c *changes.Change) string {
	var parts []string
	if c.Before != nil && c.After != nil && c.Before.Type != c.After.Type {
		parts = append(parts, fmt.Sprintf("%s, was a %s", c.After.Type, c.Before.Type))
	} else if n := either(c.After, c.Before); n.Type != changes.File {
		parts = append(parts, string(n.Type))
	}
	if c.After != nil && c.After.Type == changes.Link {
		parts = append(parts, "to "+string(c.After.Target))
	}
	if c.After != nil && c.After.Type != changes.Link && (c.Before == nil && c.After.Mode&0o111 != 0 && c.After.Type == changes.File ||
		c.Before != nil && c.Before.Mode != c.After.Mode) {
		parts = append(parts, fmt.Sprintf("mode %04o", c.After.Mode))
	}
	return strings.Join(parts, ", ")
}

func either(a, b *changes.Node) *changes.Node {
	if a != nil {
		return a
	}
	return b
}

func applyCommand(c console) *cobra.Command {
	var partial bool
	cmd := &cobra.Command{
		Use:   "apply NAME|ID [PATH...]",
		Short: "Apply what a server has changed",
		Long: `Apply changes your directories as the server has changed its view of them: all of
it, or what is at or below each PATH.

Some changes are refused: of names that your own programs obey (git hooks, editor
settings), of what the server was not to change, links that lead out of the
directory, set-id files, hard links, devices, and whatever you have changed
yourself meanwhile. Then nothing is applied, unless you say --partial. What the
files held before is kept for mcpbox changes undo, for 30 days.`,
		Example: `  mcpbox changes apply 1f0c9a7e
  mcpbox changes apply fs ~/projects/x/src`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeChanges,
		RunE: func(_ *cobra.Command, args []string) error {
			return withSet(args[0], func(e *changes.Entry) bool { return e.Pending != nil }, func(e *changes.Entry, h *boxHost) error {
				var paths []string
				for _, p := range args[1:] {
					abs, err := filepath.Abs(p)
					if err != nil {
						return err
					}
					// The directories of a set are canonical.
					if dir, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
						abs = filepath.Join(dir, filepath.Base(abs))
					}
					paths = append(paths, abs)
				}
				done, err := e.Apply(h, partial, paths)
				return told(c, "apply "+e.ID, "applied", "mcpbox changes undo "+e.ID+" takes it back", done, err)
			})
		},
	}
	cmd.Flags().BoolVar(&partial, "partial", false, "leave out what is refused, and apply the rest")
	return cmd
}

func undoCommand(c console) *cobra.Command {
	var partial bool
	cmd := &cobra.Command{
		Use:   "undo NAME|ID",
		Short: "Take back what was applied",
		Long: `Undo takes back what mcpbox changes apply has done. Files that you have changed
since are left alone: then nothing is done, unless you say --partial.`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeChanges,
		RunE: func(_ *cobra.Command, args []string) error {
			return withSet(args[0], func(e *changes.Entry) bool { return e.Undo != nil }, func(e *changes.Entry, h *boxHost) error {
				done, err := e.TakeBack(h, partial)
				return told(c, "undo "+e.ID, "taken back", "", done, err)
			})
		},
	}
	cmd.Flags().BoolVar(&partial, "partial", false, "leave out what you have changed since")
	return cmd
}

func discardCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "discard NAME|ID...",
		Short: "Forget what servers have changed",
		Long: `Discard removes change sets for good: all of each NAME, or one ID. What was
applied stays applied, and cannot be taken back any more.`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: completeChanges,
		RunE: func(_ *cobra.Command, args []string) error {
			own, err := ownDirs()
			if err != nil {
				return err
			}
			var all []*changes.Entry
			for _, word := range args {
				list, err := changes.Find(own.State, word)
				if err != nil {
					return err
				}
				all = append(all, list...)
			}
			var failed error
			for _, e := range all {
				failed = errors.Join(failed, e.Discard())
			}
			return failed
		},
	}
}

// withSet finds the one change set that word means among those that fit.
func withSet(word string, fits func(*changes.Entry) bool, do func(*changes.Entry, *boxHost) error) error {
	host, own, err := openHost()
	if err != nil {
		return err
	}
	list, err := changes.Find(own.State, word)
	if err != nil {
		return err
	}
	if len(list) > 1 {
		list = slices.DeleteFunc(list, func(e *changes.Entry) bool { return !fits(e) })
	}
	if len(list) != 1 {
		return fmt.Errorf("%q is %s; to see their IDs, type: mcpbox changes %s", word, plural(len(list), "change set"), word)
	}
	return do(list[0], host)
}

// told says what was done, and what was not. Refusals are an error, also if the
// rest was done.
func told(c console, what, did, hint string, done changes.Applied, err error) error {
	var refused *changes.RefusedError
	if errors.As(err, &refused) {
		done.Refused = refused.List
	}
	for _, r := range done.Refused {
		c.say("refused: %s: %s", r.Path, r.Reason)
	}
	switch {
	case refused != nil:
		return fmt.Errorf("%w; for the rest, type: mcpbox changes %s --partial", err, what)
	case err != nil && done.Count > 0:
		return fmt.Errorf("%w; %s were %s before", err, plural(done.Count, "change"), did)
	case err != nil:
		return err
	}
	line := fmt.Sprintf("%s %s", plural(done.Count, "change"), did)
	if hint != "" && done.Count > 0 {
		line += "; " + hint
	}
	fprint(c.out, line)
	if len(done.Refused) > 0 {
		return &codedError{code: 1}
	}
	return nil
}
