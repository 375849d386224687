package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/control"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/runs"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/snapshot"
	"github.com/spf13/cobra"
)

func snapshotCommand(c console) *cobra.Command {
	t := &taking{console: c}
	var listing, pruning bool
	cmd := &cobra.Command{
		Use:   "snapshot NAME|ID | --list [NAME] | --prune [NAME]",
		Short: "Keep what a server has and does, as evidence",
		Long: `Snapshot freezes a server, copies what is known of it into a directory for later,
and lets it go on, unless it was frozen before, or with --keep-frozen. Nothing of
the server is executed.

The directory has its processes, their open files, memory maps and names of
variables; its connections; all that lies in its home, /tmp and /dev/shm; its
policy; its journal; and a manifest with the SHA-256 of each file, and what was
left out: beyond bounds, what you may not see or is the host's as well, such as the
inside of a container of gVisor's, and what is changed in staged directories, which
mcpbox changes shows once the server has ended. The directory is printed.
Links in the box are recorded and not followed. What comes from the box keeps its
contents, so treat it as what it is: do not run it.

By default the directory is snapshots/NAME-TIME-ID in mcpbox's directory for state.
It is for you alone, and may hold the server's secrets.

Snapshots stay until you remove them; when there are many, that is said. With --list
those in mcpbox's directory are listed, with --prune old ones are removed: those that
are older than --older-than and not among the newest --keep of their server. Those
that were taken into other directories (-o) are yours to remove.`,
		Example: `  mcpbox snapshot fs
  mcpbox snapshot fs --keep-frozen -o ~/cases/12
  mcpbox snapshot fs && mcpbox quarantine fs
  mcpbox snapshot --list
  mcpbox snapshot --prune --older-than 30d --keep 3`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: completeRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			own, err := ownDirs()
			if err != nil {
				return err
			}
			if err := t.check(cmd, args, listing, pruning); err != nil {
				return err
			}
			name := strings.Join(args, "")
			switch {
			case listing:
				return t.list(own, name)
			case pruning:
				return t.prune(own, name)
			}
			return t.all(own, args)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&listing, "list", false, "list the snapshots that there are")
	f.BoolVar(&pruning, "prune", false, "remove old snapshots, by --older-than and --keep")
	f.IntVar(&t.keep, "keep", -1, "with --prune: keep the newest `N` of each server")
	f.StringVar(&t.olderThan, "older-than", "", "with --prune: keep those that are not older than `DURATION`: 12h, 30d")
	f.StringVarP(&t.to, "output", "o", "", "the directory to make")
	f.BoolVar(&t.keepFrozen, "keep-frozen", false, "leave the server frozen")
	f.BoolVar(&t.asJSON, "json", false, "print JSON: the directory, the manifest's SHA-256, what was left out")
	cmd.MarkFlagDirname("output")
	return cmd
}

// taking is what a command line says of snapshots.
type taking struct {
	console            console
	to                 string
	keepFrozen, asJSON bool
	// What --prune keeps.
	keep      int
	olderThan string
}

// check refuses what does not go together.
func (t *taking) check(cmd *cobra.Command, args []string, listing, pruning bool) error {
	taking := !listing && !pruning
	for _, f := range []struct {
		name string
		fits bool
	}{{"output", taking}, {"keep-frozen", taking}, {"json", !pruning}, {"keep", pruning}, {"older-than", pruning}, {"list", !pruning}} {
		if cmd.Flags().Changed(f.name) && !f.fits {
			with := map[bool]string{true: "--list", false: "--prune"}[listing]
			if taking {
				return &usageError{cmd, fmt.Errorf("--%s goes with --prune", f.name)}
			}
			return &usageError{cmd, fmt.Errorf("--%s does not go with %s", f.name, with)}
		}
	}
	switch {
	case taking && len(args) == 0:
		return &usageError{cmd, errors.New("name the server to take a snapshot of; --list lists those that there are")}
	case cmd.Flags().Changed("keep") && t.keep < 0:
		return &usageError{cmd, fmt.Errorf("--keep %d: that is less than none", t.keep)}
	}
	return nil
}

// taken is a snapshot that was taken.
type taken struct {
	Server string   `json:"server"`
	Run    string   `json:"run"`
	Dir    string   `json:"dir"`
	SHA256 string   `json:"manifestSha256"`
	Files  int      `json:"files"`
	Bytes  int64    `json:"bytes"`
	Left   []string `json:"leftOut"`
}

// all takes a snapshot of each run that is named.
func (t *taking) all(own dirs.Dirs, args []string) error {
	list, unreadable := liveRuns()
	chosen, err := targets(list, args)
	if err != nil {
		return errors.Join(err, unreadable)
	}
	if t.to != "" && len(chosen) > 1 {
		return fmt.Errorf("%s has %d runs, and -o is one directory; take one of: %s", args[0], len(chosen), describeRuns(chosen))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	all := []taken{}
	var failed []error
	for _, r := range chosen {
		one, err := t.one(ctx, own, r)
		if err != nil {
			failed = append(failed, fmt.Errorf("%s (%s): %w", r.Name, r.ID, err))
			continue
		}
		all = append(all, one)
	}
	if t.asJSON {
		failed = append(failed, writeJSON(t.console, all))
	} else {
		for _, one := range all {
			fprint(t.console.out, one.Dir)
			if n := len(one.Left); n > 0 {
				t.console.say("%s (%s): left out: %s%s; all of it is in manifest.json", one.Server, one.Run, one.Left[0], andMore(n-1))
			}
		}
	}
	if t.to == "" && len(all) > 0 {
		t.tellMany(own)
	}
	return errors.Join(failed...)
}

func andMore(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(", and %d more", n)
}

// one takes the snapshot of a run. If that fails, what there is of it is removed.
func (t *taking) one(ctx context.Context, own dirs.Dirs, r *runs.Run) (taken, error) {
	before, err := control.Ask(r.Control(), control.Describe, askTime)
	if errors.Is(err, control.ErrSilent) {
		err = fmt.Errorf("%w; to end it, type: mcpbox kill %s", err, r.ID)
	}
	if err != nil {
		return taken{}, err
	}
	dir, err := t.place(own, r, before.Description)
	if err != nil {
		return taken{}, err
	}
	s, err := snapshot.Create(dir)
	if err != nil {
		return taken{}, err
	}
	about := aboutSnapshot{Version: version, Server: r.Name, Run: r.ID, By: whoAsks(), Began: time.Now().UTC(), FrozenBefore: before.Frozen}
	if _, err := control.Ask(r.Control(), control.Freeze, changeTime); err != nil {
		// It is also safe while it runs, but then it is not of one moment.
		about.Running = err.Error()
		s.LeaveOut("freezing it: %v; what was taken is of different moments", err)
	} else if !before.Frozen && !t.keepFrozen {
		defer func() {
			if _, err := control.Ask(r.Control(), control.Thaw, changeTime); err != nil && !errors.Is(err, control.ErrGone) {
				t.console.say("%s (%s): it is still frozen: %v; type: mcpbox thaw %s", r.Name, r.ID, err, r.ID)
			}
		}()
	}
	one := taken{Server: r.Name, Run: r.ID, Dir: dir}
	err = fill(ctx, s, r, before, about.Running == "", own)
	if err == nil {
		about.Ended = time.Now().UTC()
		one.SHA256, err = s.Finish(about)
	}
	if err != nil {
		os.RemoveAll(dir)
		return taken{}, err
	}
	one.Files, one.Bytes = s.Size()
	one.Left = append([]string{}, s.Left()...)
	return one, nil
}

// place is where the snapshot of a run goes: to no place that the server can write
// to.
func (t *taking) place(own dirs.Dirs, r *runs.Run, description []byte) (string, error) {
	if t.to == "" {
		parent := snapshotsDir(own)
		if err := errors.Join(dirs.Private(own.State), dirs.Private(parent)); err != nil {
			return "", err
		}
		return filepath.Join(parent, r.Name+"-"+time.Now().UTC().Format(snapshotTime)+"-"+r.ID), nil
	}
	dir, err := filepath.Abs(t.to)
	if err != nil {
		return "", err
	}
	parent, err := filepath.EvalSymlinks(filepath.Dir(dir))
	if err != nil {
		return "", err
	}
	dir = filepath.Join(parent, filepath.Base(dir))
	d, err := readDescription(description)
	if err != nil {
		return "", err
	}
	for _, writable := range d.Policy.Write {
		if inside(dir, writable) {
			return "", fmt.Errorf("%s is in %s, where the server can write; name another directory with -o", dir, writable)
		}
	}
	return dir, nil
}

// aboutSnapshot is what the manifest says of it.
type aboutSnapshot struct {
	Version      string    `json:"mcpbox"`
	Server       string    `json:"server"`
	Run          string    `json:"run"`
	By           string    `json:"by"`
	Began        time.Time `json:"began"`
	Ended        time.Time `json:"ended"`
	FrozenBefore bool      `json:"frozenBefore"`
	// Running is why the server was not frozen meanwhile, if it was not.
	Running string `json:"running,omitempty"`
}
