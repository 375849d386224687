package servers

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
)

// Server is a public server, and what is asked of it.
type Server struct {
	// ID is the server's short name, also of its run: mcpbox run --name ID.
	ID string
	// Argv starts the server. In it, and in Env and Box and the arguments of
	// Calls, a word in braces stands for a part of [Place]: {npm} {go} {python}
	// {work} {browser}.
	Argv []string
	// Env is what the server needs in its environment.
	Env map[string]string
	// Box holds the flags of mcpbox run that the server needs beyond
	// "--rw {work}".
	Box []string
	// Dials is where the server connects to without being asked, "name:port" or
	// "address:port". A box that does not allow it says so.
	Dials []string
	// Chatty is for a server that logs to stdout, too. mcpbox says so.
	Chatty bool
	// NoWork is for a server whose box may have no directory declared.
	NoWork bool
	// Calls are its test calls, in order. None means that every tool needs a
	// network, and that only what it lists is compared.
	Calls []Call
	// Varies holds regular expressions for what is different in each run of
	// the server, box or no box, such as the time.
	Varies []string
}

// Call is one tools/call.
type Call struct {
	Tool  string
	Args  map[string]any
	Fails bool // the answer is an error, bare as in the box
}

// Place is where a server is installed and what it works on. Every path is
// absolute and without symbolic links.
type Place struct {
	NPM     string // install prefix, the parent of node_modules
	Go      string // directory of Go programs
	Python  string // directory of Python programs
	Work    string // the declared directory
	Browser string // path of a Chromium
}

func (p Place) expand(s string) string {
	return strings.NewReplacer("{npm}", p.NPM, "{go}", p.Go, "{python}", p.Python, "{work}", p.Work, "{browser}", p.Browser).Replace(s)
}

func (p Place) expandAll(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = p.expand(s)
	}
	return out
}

// Bare is the command line, and the variables to add to the environment, that
// start s without a box.
func (s Server) Bare(p Place) (argv, env []string) {
	for _, k := range slices.Sorted(maps.Keys(s.Env)) {
		env = append(env, k+"="+p.expand(s.Env[k]))
	}
	return p.expandAll(s.Argv), env
}

// Boxed is the command line that starts s by the program mcpbox, with what it
// needs declared and nothing more.
func (s Server) Boxed(mcpbox string, p Place) []string {
	argv := []string{mcpbox, "run", "--name", s.ID}
	if !s.NoWork {
		argv = append(argv, "--rw", p.Work)
	}
	argv = append(argv, p.expandAll(s.Box)...)
	bare, env := s.Bare(p)
	for _, kv := range env {
		argv = append(argv, "--env", kv)
	}
	return append(append(argv, "--"), bare...)
}

// uses reports whether s needs the part of Place that word, such as
// "{browser}", stands for.
func (s Server) uses(word string) bool {
	for _, a := range slices.Concat(s.Argv, s.Box) {
		if strings.Contains(a, word) {
			return true
		}
	}
	return false
}

// arguments is the call's arguments with the place filled in.
func (c Call) arguments(p Place) map[string]any {
	out := map[string]any{}
	for k, v := range c.Args {
		if s, ok := v.(string); ok {
			v = p.expand(s)
		}
		out[k] = v
	}
	return out
}

// Find is the server of [All] called id; it panics where there is none.
func Find(id string) Server {
	i := slices.IndexFunc(All(), func(s Server) bool { return s.ID == id })
	return All()[i]
}

// module is the path of an npm package's file below its install prefix.
func module(parts ...string) string {
	return filepath.Join(append([]string{"{npm}", "node_modules"}, parts...)...)
}
