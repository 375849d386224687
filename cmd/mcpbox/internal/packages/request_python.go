package packages

import (
	"fmt"
	"strings"
)

// PyPI is an index of Python packages, of the kind that pip speaks to (PEP 503).
const PyPI Kind = "pypi"

// uvx runs a tool of the same name as its package; see "uvx --help".
func uvx(runner string) *grammar {
	return &grammar{
		runner: runner, kind: PyPI, parse1: parsePyPI,
		ignored: []string{"-q", "--quiet", "-n", "--no-cache", "--isolated", "--no-progress", "--native-tls", "--no-config", "-U", "--upgrade", "--refresh", "--no-env-file"},
		value:   map[string]string{"--from": "package", "--with": "with", "-w": "with", "-p": "python", "--python": "python", "--index-url": "registry", "-i": "registry", "--default-index": "registry"},
		refused: map[string]string{
			"--with-editable": "installs from a directory", "--with-requirements": "reads a file", "--offline": "forbids to install",
			"--index": "adds another index", "--extra-index-url": "adds another index; set it in pip's configuration", "-f": "adds another place", "--find-links": "adds another place",
			"--directory": "is about a project",
		},
		example: runner + " PACKAGE[==VERSION] [ARG...]",
	}
}

// uvRun runs a command with packages; without --with it is about a project.
func uvRun() *grammar {
	g := uvx("uv run")
	g.value = map[string]string{"--with": "package", "-w": "package", "-p": "python", "--python": "python", "--index-url": "registry", "-i": "registry", "--default-index": "registry"}
	g.ignored = append(g.ignored, "--no-project", "--no-sync", "--frozen", "--locked")
	for _, o := range []string{"--project", "--directory", "-m", "--module", "-s", "--script", "--extra", "--group", "--env-file"} {
		g.refused[o] = "is about a project"
	}
	g.needs = "it runs what a project has installed"
	g.example = "uv run --with PACKAGE PROGRAM [ARG...]; of a project that is there, make its environment with uv sync, and run PROJECT/.venv/bin/PROGRAM"
	return g
}

func pipx() *grammar {
	return &grammar{
		runner: "pipx run", kind: PyPI, parse1: parsePyPI,
		ignored: []string{"-q", "--quiet", "-v", "--verbose", "--no-cache"},
		value:   map[string]string{"--spec": "package", "--with": "with", "--python": "python", "-i": "registry", "--index-url": "registry"},
		refused: map[string]string{"--pip-args": "changes how pip is run", "--path": "runs a file", "--pypackages": "is about a project", "--system-site-packages": "shows other packages", "--editable": "installs from a directory"},
		example: "pipx run PACKAGE[==VERSION] [ARG...]",
	}
}

// parsePyPI reads NAME, NAME==VERSION and other version specifiers of PEP 440,
// NAME@VERSION of uv, and extras: NAME[EXTRA]. The name is normalised (PEP 503)
// but for what stands in brackets.
func parsePyPI(text string) (Spec, error) {
	bad := fmt.Errorf("%q: %w: programs are not fetched from elsewhere (git, files, addresses)", text, errNotPackage)
	end := strings.IndexAny(text, "@=<>!~ ")
	if end < 0 {
		end = len(text)
	}
	name, version := text[:end], strings.TrimSpace(text[end:])
	bare, extras, extra := strings.Cut(name, "[")
	if extra {
		var closed bool
		if extras, closed = strings.CutSuffix(extras, "]"); !closed || strings.Trim(extras, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-,") != "" {
			return Spec{}, bad
		}
	}
	if !nameOfPyPI(bare) {
		return Spec{}, bad
	}
	if after, ok := strings.CutPrefix(version, "@"); ok {
		if version = "==" + after; after == "latest" {
			version = ""
		}
	}
	if strings.Trim(version, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+!*=<>~, ") != "" || version == "==" {
		return Spec{}, bad
	}
	name = NormalPyPI(bare)
	if extra {
		name += "[" + extras + "]"
	}
	return Spec{name, version}, nil
}

func nameOfPyPI(s string) bool {
	alnum := func(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' }
	return s != "" && len(s) <= 214 && alnum(s[0]) && alnum(s[len(s)-1]) &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}

// NormalPyPI is the name by which an index knows a package (PEP 503).
func NormalPyPI(name string) string {
	name, _, _ = strings.Cut(name, "[")
	return strings.Join(strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return strings.ContainsRune("-_.", r) }), "-")
}

// Requirement is a spec of PyPI as pip takes it.
func (s Spec) Requirement() string { return s.Name + s.Version }
