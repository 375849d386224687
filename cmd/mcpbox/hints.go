package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcpbox/mcpbox/policy"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// hints says what a server is likely to miss in its box, one line each, with
// what to do about it.
func hints(args []string, p *prepared) []string {
	list := unexpanded(args, p.host.Facts().Home)
	if line := imageHint(p.spec.Process.Args); line != "" {
		list = append(list, line)
	}
	for _, name := range p.report.EnvMissing {
		list = append(list, fmt.Sprintf(`%s is to be passed but is not set; put it into "env" of the server's entry in your host's configuration`, name))
	}
	for _, path := range p.undeclared {
		list = append(list, fmt.Sprintf("%s is on the command line but not in the box; to show it, add: %s", path, declaration(path)))
	}
	return list
}

// undeclared lists what the arguments name, the host has and the box has not:
// the usual reason why a server fails at its start.
func undeclared(args []string, facts policy.Facts, spec *specs.Spec) []string {
	var list []string
	for _, arg := range args {
		if _, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(arg, "-") {
			arg = value
		}
		if !strings.Contains(arg, "/") && !strings.HasPrefix(arg, ".") {
			continue
		}
		path := arg
		if !filepath.IsAbs(path) {
			path = filepath.Join(facts.Cwd, path)
		}
		path, err := filepath.EvalSymlinks(path)
		if err != nil || path == "/" || visible(path, spec) || slices.Contains(list, path) {
			continue
		}
		list = append(list, path)
	}
	return list
}

// unexpanded lists the arguments that a shell would have expanded, and that MCP
// hosts, which start servers without one, have not.
func unexpanded(args []string, home string) []string {
	var list []string
	for _, arg := range args {
		if rest, ok := strings.CutPrefix(arg, "~/"); ok {
			list = append(list, fmt.Sprintf("%s is not expanded without a shell; write %s", arg, filepath.Join(home, rest)))
		}
	}
	return list
}

// visible reports whether path of the host is at the same place in the box.
func visible(path string, spec *specs.Spec) bool {
	for _, m := range spec.Mounts {
		if m.Type == "bind" && m.Source == m.Destination && (path == m.Destination || strings.HasPrefix(path, m.Destination+"/")) {
			return true
		}
	}
	return false
}

// declaration is the flag that would declare path, as one would type it.
func declaration(path string) string {
	flag := "--ro"
	if fi, err := os.Stat(path); err == nil && fi.IsDir() {
		flag = "--ro or --rw"
	}
	return flag + " " + shellQuote(path)
}

// shellQuote quotes s where a shell needs it.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("/._-+=:,@%", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
