package program

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// What leads from one file to the next (a symbolic link, the first line of a
// script, pyvenv.cfg, the run path of a binary) may have been written by a
// server that ran in a box before. If such a file could lead anywhere, the next
// box would show what its author chose. Hence two rules, which do not depend on
// each other:
//
//   - What lies in a writable tree leads only within that tree, to the system's
//     directories, and to tools in their known places: see mayLead.
//   - Private places of the home are shown only if the user named the program
//     there: see private. This holds for trees, too, which were writable once.

// declareIt is the fix where a file may not be shown for a program's sake.
const declareIt = "declare it with --ro %s if the server is to see it, or keep the program out of the directories that servers write to"

// learn reports, as a [*ForbiddenError], that path may not be followed: because
// of the file that names it (canonical; "" for the user and PATH), or because of
// a link on the way.
func (f *finder) learn(from, path string) error {
	links, real := linksOn(path)
	if from != "" {
		links = append(links, from)
	}
	for _, at := range links {
		if !f.mayLead(at, real) {
			return &ForbiddenError{real, at + " leads there, and servers or packages may write that", strings.ReplaceAll(declareIt, "%s", real)}
		}
	}
	return nil
}

// linksOn lists the symbolic links on the way that path takes, and where it
// ends. All of them are canonical.
func linksOn(path string) (links []string, real string) {
	nothing := &finder{} // shows nothing, so that each link is visited
	real = nothing.follow(path, func(link string) bool {
		links = append(links, link)
		return true
	})
	return links, real
}

// mayLead reports whether the file or link from, if it tells of to, is to be
// believed. Both are canonical.
func (f *finder) mayLead(from, to string) bool {
	suspect := false
	for _, tree := range f.writable {
		if within(from, tree) {
			if within(to, tree) {
				return true
			}
			suspect = true
		}
	}
	if !suspect || f.covered(to) || f.declared(to) {
		return true
	}
	if dir := f.prefixOf(to); dir != "" && !withinAny(dir, f.writable) {
		return true
	}
	return f.onPath(to)
}

// declared reports whether the policy shows the canonical path anyway.
func (f *finder) declared(path string) bool { return withinAny(path, f.readable) }

// onPath reports whether the canonical path is an interpreter that the user's
// PATH leads to without the help of a writable tree.
func (f *finder) onPath(path string) bool {
	base := filepath.Base(path)
	if kindOfName(base) == noKind {
		return false
	}
	stem := strings.TrimRight(base, "0123456789.-")
	for _, dir := range filepath.SplitList(f.q.Env("PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		for _, name := range []string{base, stem, stem + "3"} {
			links, real := linksOn(filepath.Join(dir, name))
			if real == path && !withinAny(real, f.writable) && !slices.ContainsFunc(links, func(l string) bool { return withinAny(l, f.writable) }) {
				return true
			}
		}
	}
	return false
}

// name notes a path that the user named, on the command line or by PATH.
func (f *finder) name(path string) {
	if home := filepath.Clean(f.q.Home); within(path, home) {
		path = filepath.Join(f.home, path[len(home):])
	}
	f.named = append(f.named, path)
	dir := filepath.Dir(path)
	if !slices.Contains(filepath.SplitList(f.q.Env("PATH")), dir) && !withinAny(canonical(dir), f.system) {
		return
	}
	// An installer put a link into a directory of programs.
	if chain, err := hops(path); err == nil && executable(path) == nil && f.learn("", path) == nil {
		f.named = append(f.named, chain...)
	}
}

// private reports whether the canonical path lies in a dot directory of the
// home, or is a dot file there, or lies in a directory for settings and data,
// and is not of a tool that installs programs there.
func (f *finder) private(path string) bool {
	inside := within(path, f.home) && strings.HasPrefix(path[len(f.home):], "/.")
	for _, variable := range []string{"XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"} {
		if base := f.q.Env(variable); filepath.IsAbs(base) && within(path, canonical(base)) {
			inside = true
		}
	}
	if !inside || f.prefixOf(path) != "" {
		return false
	}
	if f.places == nil {
		for _, below := range programPlaces() {
			f.places = append(f.places, f.root("", below))
		}
	}
	return !withinAny(path, f.places)
}

// withheld reports whether the canonical path is private, was not named by the
// user, and holds nothing that was.
func (f *finder) withheld(path string) bool {
	// The places that private looks up come last.
	return !slices.ContainsFunc(f.named, func(named string) bool { return within(named, path) }) && !f.declared(path) && f.private(path)
}

// privateError refuses what is withheld.
func privateError(path string) error {
	return &ForbiddenError{path, "it lies among the private files of the home directory", strings.ReplaceAll(declareIt, "%s", path)}
}

// programPlaces are the directories below home, besides those of the layouts,
// that hold programs and libraries and no secrets.
func programPlaces() []string {
	return []string{
		".local/bin", ".local/lib", ".local/libexec", ".local/opt", ".local/share/pnpm", ".local/share/virtualenvs", ".local/share/gem",
		".npm-global/bin", ".npm-global/lib", ".npm-packages/bin", ".npm-packages/lib", ".npm/_npx", ".yarn/bin", ".config/yarn/global",
		".bun/bin", ".bun/install/global", ".deno/bin", ".cargo/bin", ".cache/uv", ".cache/pypoetry/virtualenvs",
		".venv", ".venvs", ".virtualenvs", ".conda/envs", ".gem/ruby", ".composer/vendor", ".config/composer/vendor",
		".dotnet/sdk", ".dotnet/shared", ".dotnet/host", ".dotnet/tools", ".ghcup", ".opam", ".cabal/bin", ".krew/bin", ".foundry/bin",
		".claude/local", ".claude/plugins", ".local/share/claude/versions", ".vscode/extensions", ".cursor/extensions",
	}
}

// owned reports whether a file belongs to this user, to the owner of the home
// directory or to root.
func (f *finder) owned(path string) bool {
	uid := func(path string) int {
		if info, err := os.Lstat(path); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				return int(st.Uid)
			}
		}
		return -1
	}
	owner := uid(path)
	return owner == 0 || owner >= 0 && (owner == os.Getuid() || owner == uid(f.home))
}
