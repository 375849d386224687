package program

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcpbox/mcpbox/policy"
)

// Query is what to find, and where.
type Query struct {
	Argv []string            // the command: argv[0] is a name to look up in PATH, or a path
	Env  func(string) string // the launcher's environment
	Cwd  string              // absolute
	Home string              // absolute

	// System lists the directories that every box shows; nil means
	// SystemDirs(). Nothing inside them is named in the answer.
	System []string
	// Own lists mcpbox's own directories. No program comes from there, and
	// none of them is shown.
	Own []string

	// Writable lists what servers can write, canonical: the directories and
	// files that this policy or another one declares so; and an installed
	// package, which is its author's word. What is read in there can have been
	// put there by a server, and shows nothing outside.
	Writable []string
	// Readable lists what the policy shows anyway, canonical, Writable paths of
	// this policy among it.
	Readable []string
}

// SystemDirs are the directories that hold the operating system's programs and
// libraries, and the links by which Debian chooses among them.
func SystemDirs() []string {
	return []string{"/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store", "/etc/alternatives"}
}

// Find finds the program and everything it needs to start. It only reads.
//
// Errors: [*NotFoundError] (exit code 127), [*NotExecutableError] (126),
// [*IndirectError] and [*ForbiddenError] (125).
func Find(q Query) (policy.Program, error) {
	if len(q.Argv) == 0 || q.Argv[0] == "" {
		return policy.Program{}, errors.New("find the program: no command was given; type it after --, such as mcpbox run -- node server.js")
	}
	f := newFinder(q)
	path, err := f.look(q.Argv[0], "")
	if err != nil {
		return policy.Program{}, err
	}
	f.name(path)
	launch, err := f.exec(path, 0)
	if err != nil {
		return policy.Program{}, err
	}
	args, err := f.arguments(path, launch, q.Argv[1:])
	if err != nil {
		return policy.Program{}, err
	}
	p := policy.Program{Exec: launch[0], Argv: append(slices.Clone(launch), args...)}
	p.Prefixes, p.Files = f.shown()
	p.PathDirs = f.pathDirs
	return p, nil
}

// finder collects what one program needs.
type finder struct {
	q       Query
	home    string   // canonical
	system  []string // canonical
	own     []string // canonical
	layouts []layout

	writable, readable []string // canonical
	named              []string // what the user named, not resolved
	places             []string // programPlaces, canonical

	prefixes, files []string // canonical
	paths           []string // through links that are not shown otherwise
	pathDirs        []string
	linked          string          // the script that a link on the command line leads to
	done            map[string]bool // canonical files whose needs have been met
	links           int             // prefixes that links out of a node_modules brought in
	nodeDir         string          // where Volta's node is, which PATH does not say
}

func newFinder(q Query) *finder {
	f := &finder{q: q, home: canonical(q.Home), writable: q.Writable, readable: q.Readable, done: map[string]bool{}}
	if q.System == nil {
		q.System = SystemDirs()
	}
	for _, dir := range q.System {
		if real := canonical(dir); !slices.Contains(f.system, real) {
			f.system = append(f.system, real)
		}
	}
	for _, dir := range q.Own {
		f.own = append(f.own, canonical(dir))
	}
	return f
}

// look finds name as execvp(3) would, through PATH or, with a slash in it, from
// the working directory. neededBy is the script whose interpreter it is.
func (f *finder) look(name, neededBy string) (string, error) {
	if strings.Contains(name, "/") {
		path := f.abs(name)
		err := executable(path)
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, errNotDir) {
			return "", &NotFoundError{Name: name, Looked: []string{path}, NeededBy: neededBy}
		}
		if err != nil {
			return "", &NotExecutableError{path, err.Error()}
		}
		return path, nil
	}
	missing := &NotFoundError{Name: name, NeededBy: neededBy}
	if path := filepath.Join(f.nodeDir, name); f.nodeDir != "" && executable(path) == nil {
		return path, nil
	}
	var denied error
	for _, dir := range filepath.SplitList(f.q.Env("PATH")) {
		// An empty or relative element means the working directory, where any
		// project could put a program; Go and other tools refuse those too.
		if !filepath.IsAbs(dir) || slices.Contains(missing.Looked, filepath.Clean(dir)) {
			continue
		}
		dir = filepath.Clean(dir)
		missing.Looked = append(missing.Looked, dir)
		path := filepath.Join(dir, name)
		err := executable(path)
		if err == nil {
			return path, nil
		}
		// A directory that may not be searched has nothing, as far as shells are
		// concerned: PATH often names somebody else's, after su for one.
		if denied == nil && !errors.Is(err, os.ErrNotExist) && !errors.Is(err, errNotDir) && !errors.Is(err, os.ErrPermission) {
			denied = &NotExecutableError{path, err.Error()}
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", missing
}

func (f *finder) abs(path string) string {
	if !filepath.IsAbs(path) {
		path = f.q.Cwd + "/" + path
	}
	// ".." behind a link is not the directory that the path's text says.
	if i := strings.LastIndexByte(path, '/'); strings.Contains(path, "..") && i > 0 {
		if dir, err := filepath.EvalSymlinks(path[:i]); err == nil {
			return filepath.Join(dir, path[i:])
		}
	}
	return filepath.Clean(path)
}
