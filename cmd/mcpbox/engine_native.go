package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/program"
	"github.com/mcpbox/mcpbox/policy"
	"github.com/mcpbox/mcpbox/sandbox/native"
)

// nativeEngine runs programs of the host, and packages that mcpbox has installed.
type nativeEngine struct {
	*native.Backend
	installed *provided
}

func newNativeEngine(own dirs.Dirs) *nativeEngine {
	return &nativeEngine{Backend: &native.Backend{CacheDir: filepath.Join(own.Cache, "filters")}}
}

func (e *nativeEngine) provide(inv *invocation, c console, signals <-chan os.Signal) (err error) {
	if signals == nil {
		err = inv.provide(nil)
	} else {
		err = inv.provideNow(c, signals)
	}
	e.installed = inv.installed
	return err
}

func (e *nativeEngine) ready() { e.Prefork() }

func (e *nativeEngine) program(inv *invocation, p *prepared, file, flags *policy.Policy) (policy.Program, error) {
	facts := p.host.Facts()
	readable, writable := declaredPaths(p.host, p.dirs.Config, file, flags)
	query := program.Query{
		Argv: inv.argv, Env: os.Getenv, Cwd: facts.Cwd, Home: facts.Home, Own: p.dirs.All(),
		Readable: readable, Writable: writable,
	}
	p.args = inv.argv[1:]
	if p.installed = inv.installed; p.installed != nil {
		query.Argv, query.Own = p.installed.argv(), withoutStore(p.dirs)
		p.installed.distrust(&query)
		p.args = query.Argv[1:]
	}
	prog, err := program.Find(query)
	if err != nil {
		if tilde := unexpanded(inv.argv[:1], facts.Home); tilde != nil {
			err = &codedError{exitNotFound, errors.New(tilde[0])}
		}
		err = programError(err)
		if line := imageHint(inv.argv); line != "" {
			err = &codedError{exitNotFound, fmt.Errorf("%w; %s", err, line)}
		}
		return prog, err
	}
	if p.installed != nil {
		prog.PathDirs = append(prog.PathDirs, p.installed.pathDir())
	}
	return prog, nil
}

func (e *nativeEngine) refuses(*prepared) error { return nil }

func (e *nativeEngine) begin(string, string) {}

func (e *nativeEngine) what() string { return e.installed.id() }

func (e *nativeEngine) close() { e.Abandon() }
