package packages

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Kind is where packages come from, and the name of their part of the store.
type Kind string

// NPM is a registry of the kind that npm speaks to.
const NPM Kind = "npm"

// Spec is a package with the version that was asked for.
type Spec struct {
	Name string `json:"name"`
	// Version is a version, a range of versions or a tag such as "latest"; ""
	// leaves it to the registry.
	Version string `json:"version,omitempty"`
}

func (s Spec) String() string {
	if s.Version == "" {
		return s.Name
	}
	return s.Name + "@" + s.Version
}

// Request is what a package runner's command line asks for.
type Request struct {
	Kind     Kind   `json:"kind"`
	Packages []Spec `json:"packages"`           // the first is the one that the request is about
	Bin      string `json:"bin,omitempty"`      // the program to run; "": the first package's own
	Registry string `json:"registry,omitempty"` // named on the command line
	Python   string `json:"python,omitempty"`   // version, such as "3.12"
	// Build are flags of Go that make another program, such as "-tags=x".
	Build []string `json:"build,omitempty"`

	Runner string   `json:"-"` // what was typed, such as "pnpm dlx"
	Args   []string `json:"-"` // for the program
	with   []Spec   // while it is read: packages to be there, too
}

// Key identifies the request among those of one server.
func (r *Request) Key() string {
	sum := sha256.Sum256([]byte(fmt.Sprintf("%q", append([]string{string(r.Kind), r.Bin, r.Registry + r.settings()}, r.specs()...))))
	return hex.EncodeToString(sum[:8])
}

func (r *Request) settings() string {
	text := ""
	if r.Python != "" {
		text = " python" + r.Python
	}
	for _, flag := range r.Build {
		text += fmt.Sprintf(" %q", flag)
	}
	return text
}

func (r *Request) specs() []string {
	var list []string
	for _, s := range r.Packages {
		if r.Kind == PyPI {
			list = append(list, s.Requirement())
			continue
		}
		list = append(list, s.String())
	}
	return list
}

func (r *Request) String() string {
	s := strings.Join(r.specs(), " ")
	if r.Bin != "" {
		s += " (program " + r.Bin + ")"
	}
	return s
}

// Equal reports whether two requests ask for the same.
func (r *Request) Equal(other *Request) bool {
	return r.Kind == other.Kind && r.Bin == other.Bin && r.Registry == other.Registry && r.Python == other.Python && slices.Equal(r.Build, other.Build) && slices.Equal(r.Packages, other.Packages)
}

// ServerName is the last part of the package's name, which may have characters
// that a server's name cannot.
func (r *Request) ServerName() string {
	if r.Kind == Go {
		return goProgram(r.Packages[0].Name)
	}
	name, _, _ := strings.Cut(r.Packages[0].Name, "[")
	return path.Base(name)
}

// NotUnderstoodError is a package runner's command line in a form that cannot be
// turned into an installation.
type NotUnderstoodError struct {
	Runner string
	Reason string
	Fix    string // what to type
}

func (e *NotUnderstoodError) Error() string {
	return fmt.Sprintf("%s: %s; %s", e.Runner, e.Reason, e.Fix)
}

// Parse reads the command line of a package runner. For any other command it
// returns nil, at once. Errors are [*NotUnderstoodError] values.
func Parse(argv []string) (*Request, error) {
	if len(argv) == 0 {
		return nil, nil
	}
	first := ""
	if len(argv) > 1 {
		first = argv[1]
	}
	var g *grammar
	rest := argv[1:]
	switch filepath.Base(argv[0]) {
	case "npx":
		g = npx()
	case "npm":
		if g = npmExec(); first != "exec" && first != "x" {
			return nil, nil
		}
	case "bunx":
		g = bunx()
	case "bun":
		if g = bunx(); first != "x" {
			return nil, nil
		}
		g.runner = "bun x"
	case "pnpx":
		g = pnpmDlx("pnpx")
	case "pnpm":
		if g = pnpmDlx("pnpm dlx"); first != "dlx" {
			return nil, nil
		}
	case "yarn":
		if g = pnpmDlx("yarn dlx"); first != "dlx" {
			return nil, nil
		}
	case "uvx":
		g = uvx("uvx")
	case "uv":
		second := ""
		if len(argv) > 2 {
			second = argv[2]
		}
		switch {
		case first == "tool" && second == "run":
			g, rest = uvx("uv tool run"), rest[1:]
		case first == "run":
			g = uvRun()
		case first == "--directory" || first == "--project":
			g = uvRun()
			return nil, g.errorf("%s is about a project", first)
		default:
			return nil, nil
		}
	case "go":
		return goRun(rest)
	case "pipx":
		if g = pipx(); first != "run" {
			return nil, nil
		}
	default:
		return nil, nil
	}
	if strings.Contains(g.runner, " ") {
		rest = rest[1:]
	}
	return g.parse(rest)
}

// grammar is how a runner's command line is read: options, what to run, and
// what belongs to that.
type grammar struct {
	runner string
	kind   Kind
	// ignored are options that mean nothing here: what they ask for is always
	// so, or never.
	ignored []string
	value   map[string]string // options with a value, and what it is: a field below
	refused map[string]string // options that change what is run, and why not
	needs   string            // why there has to be an option that names packages; "" if not
	late    bool              // options are also read after what to run, until "--"
	parse1  func(string) (Spec, error)
	example string // a line that is understood
}

func (g *grammar) errorf(format string, args ...any) error {
	return &NotUnderstoodError{g.runner, fmt.Sprintf(format, args...), "write it as in: " + g.example}
}

func (g *grammar) parse(args []string) (*Request, error) {
	r := &Request{Kind: g.kind, Runner: g.runner}
	for len(args) > 0 {
		arg := args[0]
		if arg == "--" || !strings.HasPrefix(arg, "-") || arg == "-" {
			break
		}
		n, err := g.option(r, args)
		if err != nil {
			return nil, err
		}
		args = args[n:]
	}
	if len(args) > 0 && args[0] == "--" {
		args = args[1:]
		g.late = false
	}
	if len(args) == 0 || args[0] == "" {
		return nil, g.errorf("no package is named")
	}
	what, rest := args[0], args[1:]
	if g.needs != "" && len(r.Packages) == 0 {
		return nil, g.errorf("%s", g.needs)
	}
	named := len(r.Packages) > 0
	r.Packages = append(r.Packages, r.with...)
	if g.late && len(rest) > 0 {
		// npm takes options from anywhere before "--".
		if rest[0] == "--" {
			rest = rest[1:]
		} else if i := slices.IndexFunc(rest, func(a string) bool { return strings.HasPrefix(a, "-") }); i >= 0 {
			return nil, g.errorf("%s would be taken as an option of npm", rest[i])
		}
	}
	r.Args = rest
	if g.kind == PyPI && strings.HasSuffix(what, ".py") {
		return nil, g.errorf("%s is a script; put python before it", what)
	}
	if named {
		if strings.ContainsAny(what, "/\\ ") || what[0] == '.' || what[0] == '-' {
			return nil, g.errorf("%q is not the name of a program", what)
		}
		r.Bin = what
		return r, nil
	}
	spec, err := g.parse1(what)
	if err != nil {
		return nil, g.errorf("%v", err)
	}
	r.Packages = append([]Spec{spec}, r.Packages...)
	return r, nil
}

// option reads the option at args[0], and returns how many words it takes.
func (g *grammar) option(r *Request, args []string) (int, error) {
	name, value, joined := strings.Cut(args[0], "=")
	if why, ok := g.refused[name]; ok {
		return 0, g.errorf("%s %s", name, why)
	}
	if slices.Contains(g.ignored, name) {
		if joined && value != "true" {
			return 0, g.errorf("%s is not understood", args[0])
		}
		return 1, nil
	}
	field, ok := g.value[name]
	if !ok {
		return 0, g.errorf("the option %s is not understood", name)
	}
	n := 1
	if !joined {
		if n = 2; len(args) < 2 {
			return 0, g.errorf("%s has no value", name)
		}
		value = args[1]
	}
	switch field {
	case "package", "with":
		spec, err := g.parse1(value)
		if err != nil {
			return 0, g.errorf("%v", err)
		}
		if field == "with" {
			r.with = append(r.with, spec)
		} else {
			r.Packages = append(r.Packages, spec)
		}
	case "python":
		if value = strings.TrimPrefix(value, "python"); value != "" && strings.Trim(value, "0123456789.") != "" {
			return 0, g.errorf("%s %s: only versions such as 3.12 are understood", name, value)
		}
		r.Python = value
	case "build":
		r.Build = append(r.Build, name+"="+value)
	case "registry":
		if _, err := ParseRegistry(value); err != nil {
			return 0, g.errorf("%v", err)
		}
		r.Registry = value
	}
	return n, nil
}

var errNotPackage = errors.New("it is no package of a registry")
