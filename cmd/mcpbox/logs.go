package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/spf13/cobra"
)

func logsCommand(c console) *cobra.Command {
	l := &logs{console: c}
	var since string
	cmd := &cobra.Command{
		Use:   "logs [-f] [NAME|ID]",
		Short: "Show what servers did",
		Long: `Logs shows the journals: what was started, where it connected, what it was refused
and which --egress would allow it, what was done to it, how it ended. NAME is one
server, ID one run; without either it shows all.

With --verify it says instead whether the journals are as they were written: each
record holds the digest of the one before it, and each run how far the earlier ones
were. The exit status is 1 if one was changed, cut short or taken away. Who can
write a journal can also write all of it anew; what runs in a box cannot.`,
		Example: `  mcpbox logs fs --since 1h
  mcpbox logs -f --denied
  mcpbox logs --json fs
  mcpbox logs --verify fs`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeJournals,
		RunE: func(cmd *cobra.Command, args []string) error {
			own, err := ownDirs()
			if err != nil {
				return err
			}
			l.state = own.State
			if len(args) == 1 {
				l.of = args[0]
			}
			if since != "" {
				d, err := parseDays("--since", since)
				if err != nil {
					return err
				}
				l.from = time.Now().Add(-d)
			}
			if l.verifying && (l.follow || l.denied || since != "") {
				return &usageError{cmd, errors.New("--verify looks at whole journals, so it goes with --json only")}
			}
			if l.verifying {
				return l.verify()
			}
			return l.print()
		},
	}
	f := cmd.Flags()
	f.BoolVarP(&l.follow, "follow", "f", false, "wait for more, until interrupted")
	f.BoolVar(&l.denied, "denied", false, "only what servers were refused, or could not reach")
	f.StringVar(&since, "since", "", "only the last DURATION: 90s, 15m, 24h, 7d")
	f.BoolVar(&l.asJSON, "json", false, "print the records, one a line, with the server and the run")
	f.BoolVar(&l.verifying, "verify", false, "check that the journals are whole and unchanged")
	cmd.RegisterFlagCompletionFunc("since", cobra.NoFileCompletions)
	return cmd
}

// logs is one showing of journals.
type logs struct {
	console console
	of      string // a server's name or a run's ID; "" for all
	from    time.Time
	follow  bool
	denied  bool
	asJSON  bool

	verifying bool

	state string
	seen  map[string]*journal.Follower // by path
	calls calls
}

// followTime is how often journals are looked at for more.
const followTime = 250 * time.Millisecond

func (l *logs) print() error {
	l.seen = map[string]*journal.Follower{}
	files, err := l.files()
	if err != nil {
		return err
	}
	if l.of != "" && len(files) == 0 && !l.follow {
		return l.unknown()
	}
	for {
		if err := l.show(files); err != nil || !l.follow {
			return err
		}
		time.Sleep(followTime)
		if files, err = l.files(); err != nil {
			return err
		}
	}
}

// files are the journals that are asked for.
func (l *logs) files() ([]journal.File, error) {
	all, err := journal.Files(l.state)
	return slices.DeleteFunc(all, func(f journal.File) bool { return !l.matches(f) }), err
}

func (l *logs) matches(f journal.File) bool { return l.of == "" || f.Name == l.of || f.ID == l.of }

func (l *logs) unknown() error {
	all, err := journal.Files(l.state)
	if err != nil {
		return err
	}
	var names []string
	for _, f := range all {
		if !slices.Contains(names, f.Name) {
			names = append(names, f.Name)
		}
	}
	if len(names) == 0 {
		return fmt.Errorf("no server or run %q: nothing has run yet", l.of)
	}
	slices.Sort(names)
	return fmt.Errorf("no server or run %q; servers that have run: %s", l.of, strings.Join(names, ", "))
}

// show prints what has come into the journals since it was called last.
func (l *logs) show(files []journal.File) error {
	var entries []journal.Entry
	var bad []error
	for _, file := range files {
		f := l.seen[file.Path]
		if f == nil {
			f = &journal.Follower{File: file}
			l.seen[file.Path] = f
		}
		some, err := f.Next(l.from)
		if err != nil {
			bad = append(bad, err)
		}
		entries = append(entries, some...)
	}
	slices.SortStableFunc(entries, func(a, b journal.Entry) int { return a.Time.Compare(b.Time) })
	colour := !l.asJSON && isTerminal(l.console.out) && os.Getenv("NO_COLOR") == ""
	for _, e := range entries {
		during := l.calls.during(e)
		if l.denied && !e.Denied() && e.Verdict != "failed" {
			continue
		}
		line := recordLine(e, during, colour)
		if l.asJSON {
			line = fmt.Sprintf(`{"server":%q,"run":%q,%s`, e.Name, e.ID, e.Line[1:])
		}
		if _, err := l.console.out.WriteString(line + "\n"); err != nil {
			return err
		}
	}
	return errors.Join(bad...)
}

// parseDays reads what time.ParseDuration does, and days, for a flag.
func parseDays(flag, text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		d = time.Duration(n) * 24 * time.Hour
	}
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%s %q is no duration; write 90s, 15m, 24h or 7d", flag, text)
	}
	return d, nil
}

// completeJournals offers the names of servers that have run.
func completeJournals(_ *cobra.Command, given []string, _ string) (names []string, _ cobra.ShellCompDirective) {
	if own, err := ownDirs(); err == nil && len(given) == 0 {
		files, _ := journal.Files(own.State)
		for _, f := range files {
			if !slices.Contains(names, f.Name) {
				names = append(names, f.Name)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
