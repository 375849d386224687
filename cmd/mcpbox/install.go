package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/packages"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/quarantine"
	"github.com/mcpbox/mcpbox/netfilter"
	"github.com/mcpbox/mcpbox/policy"
)

// installation puts into the store what one request asks for. See package
// packages for what is promised.
type installation struct {
	console console
	dirs    dirs.Dirs
	host    policy.Host
	store   *packages.Store
	server  string // its name
	request *packages.Request
	// rules are [packages] of the server's policy, and where that is or would be.
	rules      policy.Packages
	policyFile string
	records    policy.Journal // how installing is recorded
	// again is the lock that has to be installed again, exactly; nil asks the
	// registry what is newest.
	again *packages.Lock
	ran   []string // packages whose scripts were run, of the same
	limit int64    // bytes in the store

	quiet   bool // says nothing of what was installed: the caller does
	journal *journal.Journal
	secrets []string
}

// installed is what an installation has brought.
type installed struct {
	entry *packages.Entry
	lock  *packages.Lock
	bin   string // the program, relative to the entry's directory
}

// install installs the request, or waits for a process that does.
func (in *installation) install(ctx context.Context) (*installed, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, installTime, fmt.Errorf("it has taken more than %s", installTime))
	defer cancel()
	ctx, free, err := in.whileFree(ctx)
	if err != nil {
		return nil, err
	}
	defer free()
	started := time.Now()
	st, err := in.store.Stage(ctx, string(in.request.Kind)+"-"+in.request.Key(), func() {
		in.say("another mcpbox is installing %s; waiting for it", in.request)
	})
	if err != nil {
		return nil, in.failed(err)
	}
	defer st.Close()
	if st.Waited && in.again == nil {
		e := in.store.Newest(in.request)
		if e != nil && e.Installed.After(started) && in.wouldBe(ctx, e) {
			return in.stored(e)
		}
	}
	if in.journal, err = journal.Open(journal.Config{State: in.dirs.State, Name: in.server, Policy: in.records}); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	defer in.journal.Close()
	in.journal.Start(journal.Start{
		Name: in.server, Argv: []string{"mcpbox", "install", in.request.String()}, Backend: "native", PID: os.Getpid(), Version: version,
	})
	var done *installed
	switch in.request.Kind {
	case packages.PyPI:
		done, err = in.pip(ctx, st)
	case packages.Go:
		done, err = in.golang(ctx, st)
	default:
		done, err = in.npm(ctx, st)
	}
	end := journal.Exit{Duration: time.Since(started)}
	if err != nil {
		err = in.failed(err)
		end.Code, end.Reason = exitFailure, cut(err.Error())
	}
	in.journal.Exit(end)
	if err != nil {
		return nil, err
	}
	if !in.quiet {
		in.report(done, time.Since(started))
	}
	return done, nil
}

// whileFree returns a context that ends when the server is put in quarantine,
// with that as its cause, and an error if it is there already. What runs for the
// server meanwhile is no listed run, which who puts it there would kill.
func (in *installation) whileFree(ctx context.Context) (context.Context, func(), error) {
	if err := quarantine.Check(in.dirs.State, in.server); err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-tick.C:
				if err := quarantine.Check(in.dirs.State, in.server); err != nil {
					cancel(err)
				}
			}
		}
	}()
	return ctx, func() { cancel(nil) }, nil
}

// wouldBe reports whether an entry that another server's installation has brought
// is what this one would: from the same registries, with the same scripts run, and signed as it wants.
func (in *installation) wouldBe(ctx context.Context, e *packages.Entry) bool {
	registries, err := in.registries(ctx)
	return err == nil && slices.Equal(registries, e.Asked) && slices.Equal(in.runs(e.Scripts), e.Ran) && len(in.unsigned(e)) == 0
}

// unsigned lists the packages whose signatures are missing, and that the policy
// does not name.
func (in *installation) unsigned(e *packages.Entry) []string {
	return slices.DeleteFunc(slices.Clone(e.Signatures.Missing), func(name string) bool { return slices.Contains(in.rules.Unsigned, name) })
}

// runs lists those of the packages whose install scripts are to be run.
func (in *installation) runs(scripts []string) []string {
	allowed := in.rules.Scripts
	if in.again != nil {
		allowed = in.ran
	}
	return slices.DeleteFunc(slices.Clone(scripts), func(name string) bool { return !slices.Contains(allowed, name) })
}

// registries are the addresses of those that the client would ask.
func (in *installation) registries(ctx context.Context) ([]string, error) {
	switch in.request.Kind {
	case packages.NPM:
		config, err := in.npmConfig(ctx)
		if err != nil {
			return nil, err
		}
		return addresses(config.Registries()), nil
	case packages.Go:
		config, err := in.goConfig(ctx)
		if err != nil {
			return nil, err
		}
		return goAsked(config), nil
	}
	python, _, err := in.python(ctx)
	if err != nil {
		return nil, err
	}
	config, err := in.pipConfig(ctx, python)
	if err != nil {
		return nil, err
	}
	return addresses(config.Registries()), nil
}

func addresses(registries []*url.URL) []string {
	var list []string
	for _, u := range registries {
		list = append(list, u.Redacted())
	}
	return list
}

// stored is what an entry of the store has.
func (in *installation) stored(e *packages.Entry) (*installed, error) {
	lock, err := packages.ReadLock(e.LockFile())
	if err != nil {
		return nil, in.failed(err)
	}
	bin, err := lock.Program(in.request)
	if err != nil {
		return nil, in.failed(err)
	}
	return &installed{e, lock, bin}, nil
}

func (in *installation) say(format string, args ...any) {
	in.console.say("%s: %s", in.server, fmt.Sprintf(format, args...))
}

func (in *installation) failed(err error) error {
	if coded := (*codedError)(nil); errors.As(err, &coded) {
		return &codedError{coded.code, fmt.Errorf("%s: not installed: %w", in.server, err)}
	}
	return fmt.Errorf("%s: cannot install %s: %w", in.server, in.request, err)
}

// report says once what there is now, and what was not done.
func (in *installation) report(done *installed, took time.Duration) {
	e := done.entry
	in.say("installed %s@%s with %s, %s, in %s; from now on exactly this is run, without the registry", e.Name, e.Version,
		count(e.Dependencies, "dependency", "dependencies"), size(e.Bytes), seconds(took))
	if e.Kind == packages.NPM && e.Signatures.State == packages.PartlySigned {
		in.say("not every package is signed by the registry, though it publishes keys: %s", e.Signatures.Detail)
	}
	if left := notRun(e); len(left) > 0 {
		in.say("%s: install scripts were not run; if the server does not work without, write [packages] scripts = [%s] into %s and type: mcpbox update %s",
			strings.Join(left, ", "), quotedList(left), in.policyFile, in.server)
	}
}

// notRun lists packages that have install scripts which were not run.
func notRun(e *packages.Entry) []string {
	return slices.DeleteFunc(slices.Clone(e.Scripts), func(name string) bool { return slices.Contains(e.Ran, name) })
}

func quotedList(names []string) string {
	var list []string
	for _, name := range names {
		list = append(list, `"`+name+`"`)
	}
	return strings.Join(list, ", ")
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// boxed makes a command of the installation.
func (in *installation) boxed(dir string, network policy.Network, argv ...string) *boxed {
	said := time.Now()
	return &boxed{
		host: in.host, dirs: in.dirs, argv: argv, dir: dir, network: network, limit: in.limit,
		report: func(e netfilter.Event) {
			if e.Kind != netfilter.Closed {
				in.journal.Connect(record(e, 0))
			}
		},
		progress: func(n int64) {
			if time.Since(said) > 5*time.Second {
				said = time.Now()
				in.say("installing: %s so far", size(n))
			}
		},
	}
}

// explained is an error from what a command has said, without secrets.
func (in *installation) explained(what string, o *boxedEnd) error {
	text := what + " " + o.failed()
	if lines := errorLines(o.errOut); len(lines) > 0 {
		text += ": " + strings.Join(lines, "; ")
	}
	for _, secret := range in.secrets {
		if len(secret) > 3 {
			text = strings.ReplaceAll(text, secret, "***")
		}
	}
	if len(o.refused) > 0 {
		var rules, names []string
		for _, e := range o.refused {
			rules, names = append(rules, e.Allow), append(names, destination(e))
		}
		text += fmt.Sprintf("; it was refused %s; if it is to have that, write [packages] allow = [%s] into %s", strings.Join(names, ", "), quotedList(rules), in.policyFile)
	}
	return errors.New(text)
}

// errorLines are the lines of the stderr of npm, pip or Go that say something.
func errorLines(stderr string) []string {
	var list []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimSpace(line)
		for _, prefix := range []string{"npm error ", "npm ERR! "} {
			line = strings.TrimPrefix(line, prefix)
		}
		if line == "" || line == "npm error" || strings.HasPrefix(line, "A complete log") || strings.HasPrefix(line, "Log files were not") || strings.HasPrefix(line, "npm warn") ||
			strings.HasPrefix(line, "go: downloading ") || strings.HasPrefix(line, "go: added ") || len(list) == 4 {
			continue
		}
		list = append(list, cut(line))
	}
	return list
}

// npmProgram is npm, or what to do about its absence.
func npmProgram(runner string) error {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		if info, err := os.Stat(filepath.Join(dir, "npm")); err == nil && !info.IsDir() {
			return nil
		}
	}
	return &codedError{exitNotFound, fmt.Errorf("%s: npm, which installs packages, is not in PATH; install Node.js with npm", runner)}
}
