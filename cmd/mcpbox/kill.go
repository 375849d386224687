package main

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/control"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/runs"
	"github.com/mcpbox/mcpbox/sandbox/native"
	"github.com/spf13/cobra"
)

func killCommand() *cobra.Command {
	var all bool
	cmd := &cobra.Command{
		Use:   "kill NAME|ID... | --all",
		Short: "End servers at once",
		Long: `Kill ends servers with all their processes, frozen or not, and returns when they
are gone. A server whose mcpbox does not answer is killed together with it.

NAME stands for all runs of that name; mcpbox ps lists them.`,
		Example: `  mcpbox kill fs
  mcpbox kill --all`,
		ValidArgsFunction: completeRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return &usageError{cmd, errors.New("name what to kill, or say --all")}
			}
			list, unreadable := liveRuns()
			chosen, err := list, unreadable
			if !all {
				if chosen, err = targets(list, args); err != nil {
					return errors.Join(err, unreadable)
				}
			}
			failed := each(chosen, kill)
			liveRuns() // removes what stuck launchers have left
			return errors.Join(failed, err)
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "every server of yours")
	return cmd
}

// How long a kill waits before it goes on to the next step.
const (
	killAskTime  = 500 * time.Millisecond // for the launcher to hear it
	killBoxTime  = time.Second            // for the box to be gone, once heard
	killGoneTime = 2 * time.Second        // for the box to be gone, if not its launcher has seen to it
	killEndTime  = 8 * time.Second        // for the launcher to write down what has happened
)

// kill ends the run and sees to it that nothing is left.
func kill(_ int, r *runs.Run) error {
	if err := end(r); err != nil {
		return err
	}
	// A box whose launcher was killed lives a moment longer. A launcher that ends by itself
	// before its box has found that nobody can end that.
	for end := time.Now().Add(killGoneTime); r.Box.Acts(); time.Sleep(5 * time.Millisecond) {
		if time.Now().Before(end) {
			continue
		}
		if native.FrozenCgroups(r.Cgroups) {
			return errors.New("it is killed, and its mcpbox has ended, but it is frozen, and does not end before it is thawed, which this user may not do without containerd; it does nothing any more; have containerd running, then type: mcpbox ps")
		}
		return errors.New("it is killed, and its mcpbox has ended, but a process of it is still there: it waits in the kernel for something that does not come, such as the answer of a file system")
	}
	return nil
}

// end has the launcher end the run, which also records it. A launcher that does
// not answer, or does not do it, is killed after its box.
func end(r *runs.Run) error {
	_, err := control.Ask(r.Control(), control.Kill, killAskTime)
	if refused := (*control.RefusedError)(nil); errors.As(err, &refused) {
		return err
	}
	if err == nil || errors.Is(err, control.ErrGone) {
		if r.Await(killBoxTime) {
			return nil
		}
		err := killBox(r)
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			return err
		}
		if r.Await(killEndTime - killBoxTime) {
			return nil
		}
		if status, e := control.Ask(r.Control(), control.Query, killAskTime); err != nil && e == nil && status.Frozen {
			return fmt.Errorf("this user may not end it without containerd, which does not answer; start that, then type: mcpbox thaw %[1]s; mcpbox kill %[1]s", r.ID)
		}
	}
	// The box first: without its launcher it would end too, but nobody would
	// know when. A container's cgroups are root's, and it ends without them.
	err = killBox(r)
	if errors.Is(err, fs.ErrPermission) {
		err = nil
	}
	if err := errors.Join(err, r.Launcher.Kill()); err != nil {
		return err
	}
	if !r.Await(killEndTime) {
		return fmt.Errorf("process %d (mcpbox) is still there; it waits for something in the kernel", r.Launcher.PID)
	}
	own, err := ownDirs()
	if err != nil {
		return err
	}
	return journal.Add(r.Journal, journal.Event{
		Kind: journal.KilledOutright, Detail: whyKilled(own.State, r.Name) + ", together with its mcpbox, which was stuck",
	})
}

// killBox ends the processes of a box: its PID 1, with which the kernel ends the
// rest, and all that are in its cgroup, where it has one.
func killBox(r *runs.Run) error {
	return errors.Join(native.KillCgroups(r.Cgroups), r.Box.Kill())
}
