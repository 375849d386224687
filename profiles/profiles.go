// Package profiles holds the policies that others start from: what a kind of
// program needs beyond the system's own files. They are TOML, as a user would
// write it, and the comment at the head of each is its manual.
package profiles

import (
	"embed"
	"fmt"
	"path"
	"slices"
	"strings"
)

//go:embed *.toml
var sources embed.FS

// Default is the profile of programs that have none of their own.
const Default = "default"

// Names lists the profiles, Default first.
func Names() []string {
	names := []string{Default}
	entries, err := sources.ReadDir(".")
	if err != nil {
		panic(err) // the files are part of the program
	}
	for _, e := range entries {
		if name := strings.TrimSuffix(e.Name(), ".toml"); name != Default {
			names = append(names, name)
		}
	}
	return names
}

// Source returns the text of a profile. The error for one that there is not
// lists those there are.
func Source(name string) ([]byte, error) {
	if !slices.Contains(Names(), name) {
		return nil, fmt.Errorf("unknown profile %q; there are %s", name, strings.Join(Names(), ", "))
	}
	return sources.ReadFile(name + ".toml")
}

// Summary returns what a profile is for, in one line: the first of its manual.
func Summary(name string) (string, error) {
	data, err := Source(name)
	if err != nil {
		return "", err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	return strings.TrimPrefix(line, "# "+name+": "), nil
}

// For chooses a profile by the file that is executed and its arguments, and
// says why. It looks at names alone: a name decides no more than which defaults
// a program starts from, and none of them opens a file of the user's.
func For(exec string, argv []string) (name, why string) {
	program := base(exec)
	if arg := base(first(argv)); kind(program) == "" && kind(arg) != "" {
		program = arg
	}
	k := kind(program)
	if k == "" {
		if strings.ContainsRune(path.Base(exec), '.') || isShell(program) {
			return Default, "no other fits " + path.Base(exec)
		}
		return "go", path.Base(exec) + " is no interpreter known here"
	}
	for _, arg := range argv {
		if server := browserServer(arg); server != "" {
			return "chromium", server + " drives a browser"
		}
	}
	return k, "the command runs " + program
}

// kind returns the profile for a program's name, or "".
func kind(program string) string {
	switch strings.TrimRight(program, "0123456789.") {
	case "node", "nodejs", "npx", "npm", "pnpm", "pnpx", "yarn", "corepack", "tsx", "ts-node",
		"npx-cli", "npm-cli":
		return "node"
	case "python", "pypy", "uv", "uvx", "pipx", "ipython", "poetry", "hatch", "rye":
		return "python"
	case "deno":
		return "deno"
	case "bun", "bunx":
		return "bun"
	case "chromium", "chromium-browser", "chrome", "google-chrome", "google-chrome-stable", "headless_shell":
		return "chromium"
	}
	return ""
}

func isShell(program string) bool {
	switch program {
	case "sh", "bash", "dash", "zsh", "ksh", "fish", "busybox", "env", "java", "ruby", "perl", "php", "dotnet":
		return true
	}
	return false
}

// browserServer returns the name of a known server that drives a browser, if an
// argument names its package: as npx does, or by a path into node_modules.
func browserServer(arg string) string {
	for _, name := range []string{
		"@playwright/mcp", "@modelcontextprotocol/server-puppeteer", "chrome-devtools-mcp", "puppeteer-mcp-server",
		"@executeautomation/playwright-mcp-server",
	} {
		rest, ok := strings.CutPrefix(arg, name)
		if i := strings.LastIndex(arg, "node_modules/"+name); i >= 0 {
			rest, ok = arg[i+len("node_modules/"+name):], true
		}
		if ok && (rest == "" || rest[0] == '@' || rest[0] == '/') {
			return name
		}
	}
	return ""
}

func first(argv []string) string {
	if len(argv) == 0 {
		return ""
	}
	return argv[0]
}

// base is a program's name without directory and the endings of scripts.
func base(p string) string {
	name := path.Base(p)
	for _, end := range []string{".exe", ".js", ".cjs", ".mjs", ".py"} {
		name = strings.TrimSuffix(name, end)
	}
	return name
}
