package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/packages"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/program"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/quarantine"
	"github.com/mcpbox/mcpbox/profiles"
)

// provided is the installed package that a package runner's command line has
// become.
type provided struct {
	store   *packages.Store
	request *packages.Request
	pin     *packages.Pin
}

// argv is the command line of the program itself.
func (p *provided) argv() []string {
	return append([]string{p.store.Program(p.pin)}, p.request.Args...)
}

// id is the package in the journal's words, or "".
func (p *provided) id() string {
	if p == nil {
		return ""
	}
	return fmt.Sprintf("%s:%s@%s %s", p.pin.Request.Kind, p.pin.Name, p.pin.Version, p.pin.Integrity)
}

// entry is what the store says about the package, or nil.
func (p *provided) entry() *packages.Entry {
	if p == nil {
		return nil
	}
	e, err := p.store.Read(p.request.Kind, filepath.Base(p.store.PinDir(p.pin)))
	if err != nil {
		return nil
	}
	return e
}

// String is the package in English, for explain.
func (p *provided) String() string {
	text := fmt.Sprintf("%-12s %s %s@%s, with what it depends on: %s\n", "package", p.pin.Request.Kind, p.pin.Name, p.pin.Version, p.pin.Integrity)
	line := func(format string, args ...any) { text += fmt.Sprintf("%-12s %s\n", "", fmt.Sprintf(format, args...)) }
	if e := p.entry(); e != nil {
		line("installed %s from %s; %s", e.Installed.Local().Format(time.DateOnly), strings.Join(e.Origin, ", "), signed(e))
		if left := notRun(e); len(left) > 0 {
			line("install scripts not run: %s", strings.Join(left, ", "))
		}
		if len(e.Ran) > 0 {
			line("install scripts run: %s", strings.Join(e.Ran, ", "))
		}
	}
	line("pinned for %s on %s, whatever %q comes to mean; to change: mcpbox update %s", p.pin.Server, p.pin.Pinned.Local().Format(time.DateOnly), p.request, p.pin.Server)
	return text
}

// signed says in words what is known by signatures.
func signed(e *packages.Entry) string {
	switch e.Signatures.State {
	case packages.Signed:
		if e.Signatures.Detail != "" {
			return e.Signatures.Detail
		}
		return "every package is signed by its registry"
	case packages.PartlySigned:
		return "partly signed: " + e.Signatures.Detail
	}
	return "unsigned: " + e.Signatures.Detail
}

// profile is the one of the package's interpreter, or of the package.
func (p *provided) profile() (name, why string) {
	switch p.request.Kind {
	case packages.PyPI:
		return "python", "the command runs a package of PyPI"
	case packages.Go:
		return "go", "the command runs a package of Go"
	}
	name, why = profiles.For("node", append([]string{"node"}, p.argv()...))
	if name == "node" {
		why = "the command runs a package of npm"
	}
	return name, why
}

// distrust has what the package says of other files (a script's first line, a
// link) show nothing outside of the package but tools in their places, as if a
// server had written it. The link to Python is mcpbox's own.
func (p *provided) distrust(q *program.Query) {
	dir := p.store.PinDir(p.pin)
	if real, err := filepath.EvalSymlinks(dir); err == nil {
		dir = real
	}
	q.Writable = append(slices.Clone(q.Writable), dir)
	if python, err := filepath.EvalSymlinks(filepath.Join(dir, "venv", "bin", "python")); err == nil && p.request.Kind == packages.PyPI {
		q.Readable = append(slices.Clone(q.Readable), python)
	}
}

// pathDir holds the programs of the package and its dependencies, which runners
// put into PATH.
func (p *provided) pathDir() string {
	switch p.request.Kind {
	case packages.PyPI:
		return filepath.Join(p.store.PinDir(p.pin), "venv", "bin")
	case packages.Go:
		return filepath.Join(p.store.PinDir(p.pin), "bin")
	}
	return filepath.Join(p.store.PinDir(p.pin), "node_modules", ".bin")
}

// provide finds the package that the command is about, if it is a package
// runner's. The first time, and after the store was deleted, install installs it;
// without that it is an error. Nothing is installed, nor found for that, for a
// server in quarantine.
func (inv *invocation) provide(install func(*installation) (*installed, error)) error {
	request, err := packages.Parse(inv.argv)
	if request == nil || err != nil {
		return err
	}
	own, err := ownDirs()
	if err != nil {
		return err
	}
	if !inv.given("name") {
		inv.name = cleanName(request.ServerName())
	}
	if err := journal.CheckName(inv.name); err != nil {
		return err
	}
	if install != nil {
		if err := quarantine.Refuse(own.State, inv.name); err != nil {
			return err
		}
	}
	p := &provided{store: packages.Open(own), request: request}
	if p.pin, err = p.store.Pin(inv.name, request); err != nil {
		return err
	}
	inv.installed = p
	if p.pin != nil && p.store.Stored(p.pin) {
		return nil
	}
	if install == nil {
		return &codedError{exitNotFound, fmt.Errorf("%s is not installed for the server %s; type: mcpbox add %s --from %s",
			request, inv.name, inv.name, shellQuote(commandLine(inv.argv)))}
	}
	in, err := inv.installation(own, p)
	if err != nil {
		return err
	}
	done, err := install(in)
	if err != nil {
		return err
	}
	return p.setPin(inv.name, done)
}

// installation prepares what answers the request, exactly as pinned if it is.
func (inv *invocation) installation(own dirs.Dirs, p *provided) (*installation, error) {
	host, _, err := openHost()
	if err != nil {
		return nil, err
	}
	in := &installation{dirs: own, host: host, store: p.store, server: inv.name, request: p.request, limit: installBytes, policyFile: inv.policyFile}
	if in.policyFile == "" {
		in.policyFile = filepath.Join(own.Config, "servers", inv.name+".toml")
	}
	file, err := inv.readFile(host, own, inv.name)
	if err != nil {
		return nil, err
	}
	if file != nil {
		in.rules, in.records = file.Packages, file.Journal
	}
	if p.pin != nil {
		if in.again, err = packages.ReadLock(p.pin.LockFile()); err != nil {
			return nil, fmt.Errorf("%s is pinned, but not in the store, and cannot be installed again: %w", p.pin.Name, err)
		}
		if (in.again.Go != nil) != (p.request.Kind == packages.Go) {
			return nil, fmt.Errorf("%s: the lock of %s is of another kind; to pin anew, type: rm -r %s", inv.name, p.request, filepath.Dir(p.pin.LockFile()))
		}
		in.ran = p.pin.Scripts
		if in.again.Digest(in.ran) != p.pin.Integrity {
			return nil, fmt.Errorf("%s: the pin of %s does not fit its lock; to pin anew, type: rm -r %s", inv.name, p.request, filepath.Dir(p.pin.LockFile()))
		}
	}
	return in, nil
}

// setPin has the server run what was installed.
func (p *provided) setPin(server string, done *installed) error {
	e := done.entry
	if p.pin != nil && p.pin.Integrity == e.Integrity && p.pin.Entry == done.bin {
		return nil
	}
	if p.pin != nil {
		// The pin decides, not what was installed for it.
		return fmt.Errorf("%s is pinned to %s, and what was installed is %s; nothing was changed", server, p.pin.Integrity, e.Integrity)
	}
	p.pin = newPin(server, p.request, done)
	return p.store.SetPin(p.pin, done.lock.Data)
}

func newPin(server string, r *packages.Request, done *installed) *packages.Pin {
	e := done.entry
	return &packages.Pin{
		Server: server, Request: r, Name: e.Name, Version: e.Version, Integrity: e.Integrity,
		Entry: done.bin, Scripts: e.Ran, Pinned: time.Now().UTC(), Args: r.Args,
	}
}

// provideNow is provide for a run: it installs, until a signal comes.
func (inv *invocation) provideNow(c console, signals <-chan os.Signal) error {
	return inv.provide(func(in *installation) (*installed, error) {
		ctx, cancel := context.WithCancelCause(context.Background())
		defer cancel(nil)
		stop := cancelOn(signals, cancel)
		defer stop()
		in.console = c
		in.store.Sweep()
		done, err := in.install(ctx)
		if err != nil && ctx.Err() != nil {
			var coded *codedError
			if errors.As(context.Cause(ctx), &coded) {
				err = &codedError{coded.code, fmt.Errorf("%s: interrupted while installing %s, and nothing is left of it; to install it beforehand, type: mcpbox add %s --from %s",
					in.server, in.request, in.server, shellQuote(commandLine(inv.argv)))}
			}
		}
		if err == nil && inv.policyFile == "" {
			err = in.startPolicy(inv)
		}
		return done, err
	})
}

// commandLine writes arguments as one would type them.
func commandLine(argv []string) string {
	text := ""
	for i, arg := range argv {
		if i > 0 {
			text += " "
		}
		text += shellQuote(arg)
	}
	return text
}

// withoutStore are mcpbox's own directories, without the one that the store is
// in.
func withoutStore(d dirs.Dirs) []string {
	return slices.DeleteFunc(d.All(), func(dir string) bool { return dir == d.Cache })
}
