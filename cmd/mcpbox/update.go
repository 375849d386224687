package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/images"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/packages"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/quarantine"
	"github.com/spf13/cobra"
)

func updateCommand(c console) *cobra.Command {
	var yes bool
	cmd := &cobra.Command{
		Use:   "update NAME",
		Short: "Show what is new of an installed server, and change to it",
		Long: `Update asks the registry what the command of a server that is installed means today,
installs that beside what there is, and shows what would change: versions, other
dependencies, install scripts, and the tools that the server offers, for which the
old and the new one are started in a box without network. Then it asks.

Of a server that runs an image, it asks what the image's reference means today, or
takes what has been imported under it, and shows what both say of themselves.

Servers that are running go on as they are. The old version stays in the store until
"mcpbox packages --prune".`,
		Example: `  mcpbox update fs
  mcpbox update fs --yes`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completePinned,
		RunE: func(_ *cobra.Command, args []string) error {
			return update(c, args[0], yes)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "change without asking")
	return cmd
}

// completePinned lists the servers that are pinned.
func completePinned(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if own, err := ownDirs(); err == nil && len(args) == 0 {
		pins, _ := packages.Open(own).Pins("")
		for _, p := range pins {
			if !slices.Contains(names, p.Server) {
				names = append(names, p.Server)
			}
		}
		ofImages, _ := images.List(own.State, "")
		for _, p := range ofImages {
			if !slices.Contains(names, p.Server) {
				names = append(names, p.Server)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func update(c console, name string, yes bool) error {
	own, err := ownDirs()
	if err != nil {
		return err
	}
	store := packages.Open(own)
	pins, err := store.Pins(name)
	if err != nil {
		return err
	}
	ofImages, err := images.List(own.State, name)
	if err != nil {
		return err
	}
	if len(pins)+len(ofImages) == 0 || strings.ContainsAny(name, "*?[\\/") {
		return fmt.Errorf(`nothing is installed for a server %q; type: mcpbox add %s --from "npx -y PACKAGE"`, name, shellQuote(name))
	}
	if err := quarantine.Refuse(own.State, name); err != nil {
		return err
	}
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	defer signal.Stop(signals)
	ctx, cancel := context.WithCancelCause(context.Background())
	defer cancel(nil)
	stop := cancelOn(signals, cancel)
	defer stop()
	for _, pin := range pins {
		if err := updatePin(ctx, c, store, pin, yes); err != nil {
			return err
		}
	}
	if len(ofImages) > 0 {
		return updateImages(ctx, c, own, name, yes)
	}
	return nil
}

func updatePin(ctx context.Context, c console, store *packages.Store, pin *packages.Pin, yes bool) error {
	own, err := ownDirs()
	if err != nil {
		return err
	}
	pin.Request.Runner, pin.Request.Args = "update", pin.Args
	inv := &invocation{name: pin.Server, given: func(flag string) bool { return flag == "name" }}
	in, err := inv.installation(own, &provided{store: store, request: pin.Request})
	if err != nil {
		return err
	}
	in.console, in.quiet = c, true
	done, err := in.install(ctx)
	if err != nil {
		return err
	}
	if done.entry.Integrity == pin.Integrity && done.bin == pin.Entry {
		fprint(c.out, printable(fmt.Sprintf("%s: %s@%s is what %s still means", pin.Server, pin.Name, pin.Version, pin.Request)))
		return nil
	}
	old, err := packages.ReadLock(pin.LockFile())
	if err != nil {
		return err
	}
	next := newPin(pin.Server, pin.Request, done)
	changed, forged := packages.Changes(old, done.lock)
	tools := changedTools(ctx, in, store, pin, next)
	if err := quarantine.Check(own.State, pin.Server); err != nil {
		return err
	}
	lines := slices.Concat([]string{brief(fmt.Sprintf("%s: %s %s -> %s", pin.Server, pin.Name, pin.Version, next.Version))},
		briefList(changed), briefList(tools), briefList(scriptLines(old, done)), []string{brief("signatures: " + signed(done.entry))})
	if len(forged) > 0 {
		lines = append(lines, brief(fmt.Sprintf("ATTENTION: the registry has another content for the same version of %s: %s", plural(len(forged), "package"), strings.Join(forged, ", "))))
	}
	if before, err := store.Read(pin.Request.Kind, filepath.Base(store.PinDir(pin))); err == nil && before.Signatures.State == packages.Signed && done.entry.Signatures.State != packages.Signed {
		lines = append(lines, brief(fmt.Sprintf("ATTENTION: %s %s was signed throughout, and %s is not", shorten(pin.Name, briefName), pin.Version, next.Version)))
	}
	fprint(c.out, strings.Join(lines, "\n  "))
	if !yes {
		if err := confirm(ctx, c, pin.Server); err != nil {
			return err
		}
	}
	if err := store.SetPin(next, done.lock.Data); err != nil {
		return err
	}
	fprint(c.out, printable(fmt.Sprintf("%s runs %s@%s from its next start on", pin.Server, next.Name, next.Version)))
	return nil
}

// What update shows before it asks is written by packages and servers, for the
// most part. Each of them has one line, of these many bytes, and each list these
// many lines, so that the lines that are mcpbox's own word, next to the question,
// are seen.
const (
	briefBytes = 140
	briefName  = 60 // where something of weight comes behind it
	briefLines = 50
)

// brief is one line for a terminal.
func brief(s string) string { return shorten(printable(s), briefBytes) }

func shorten(s string, n int) string {
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "..."
	}
	return s
}

// briefList is a list of lines, with the number of those that are left out.
func briefList(lines []string) []string {
	var list []string
	for _, line := range lines[:min(briefLines, len(lines))] {
		list = append(list, brief(line))
	}
	if more := len(lines) - briefLines; more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return list
}

// scriptLines is about the install scripts of what is new, first of packages that
// had none.
func scriptLines(old *packages.Lock, done *installed) []string {
	var first, then []string
	before := old.Scripts()
	for _, name := range done.entry.Scripts {
		line := "install script: " + shorten(name, briefName)
		added := !slices.Contains(before, name)
		if added {
			line += ", which had none before"
		}
		if slices.Contains(done.entry.Ran, name) {
			line += "; it was run in the box, as the policy says"
		} else {
			line += "; not run"
		}
		if added {
			first = append(first, line)
		} else {
			then = append(then, line)
		}
	}
	return append(first, then...)
}

// changedTools compares what the two versions offer.
func changedTools(ctx context.Context, in *installation, store *packages.Store, old, next *packages.Pin) []string {
	if !store.Stored(old) {
		return []string{"tools: not compared, as the old version is not in the store any more"}
	}
	before, err := in.dryTools(ctx, old)
	if err != nil {
		return []string{fmt.Sprintf("tools: not compared, as %s does not answer a dry start: %v", old.Version, err)}
	}
	after, err := in.dryTools(ctx, next)
	if err != nil {
		return []string{fmt.Sprintf("tools: %s does not answer a dry start: %v", next.Version, err)}
	}
	var lines []string
	for _, name := range sortedNames(before, after) {
		was, had := before[name]
		is, has := after[name]
		switch {
		case !had:
			lines = append(lines, "tool added: "+name)
		case !has:
			lines = append(lines, "tool removed: "+name)
		case was != is:
			lines = append(lines, "tool changed: "+name)
		}
	}
	if len(lines) == 0 {
		lines = []string{fmt.Sprintf("tools: the same %d", len(after))}
	}
	return lines
}

// confirm asks, and is an error if the answer is not yes.
func confirm(ctx context.Context, c console, server string) error {
	if !isTerminal(c.in) {
		return fmt.Errorf("nothing was changed; to change it, type: mcpbox update %s --yes", server)
	}
	fmt.Fprint(c.err, "Run that from now on? [y/N] ")
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(c.in).ReadString('\n')
		answer <- line
	}()
	select {
	case line := <-answer:
		if slices.Contains([]string{"y", "yes"}, strings.ToLower(strings.TrimSpace(line))) {
			return nil
		}
	case <-ctx.Done():
	}
	return &codedError{1, errors.New("nothing was changed")}
}

func sortedNames(sets ...map[string]string) []string {
	var names []string
	for _, set := range sets {
		for name := range set {
			if !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	return names
}
