package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/policy"
)

// startPolicy writes a policy for a new server, if there is none: one that allows
// nothing, and says how to allow what.
func (in *installation) startPolicy(inv *invocation) error {
	if _, err := os.Lstat(in.policyFile); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	for _, dir := range []string{in.dirs.Config, filepath.Dir(in.policyFile)} {
		if err := dirs.Private(dir); err != nil {
			return err
		}
	}
	file, err := os.OpenFile(in.policyFile, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil // by another start of the same server
	}
	if err != nil {
		return err
	}
	_, err = file.WriteString(policyText(inv.name, inv.argv, in.request.Args, in.host.Facts()))
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		in.say("what it may do stands in %s: nothing yet, besides flags of run", in.policyFile)
	}
	return err
}

// policyText is the policy that startPolicy writes. Paths on the command line are
// what the server will ask for; it does not get them without a person's word.
func policyText(name string, argv, args []string, facts policy.Facts) string {
	var paths []string
	for _, path := range existing(args, facts) {
		paths = append(paths, tomlString(path))
	}
	example := "[" + strings.Join(paths, ", ") + "]"
	why := ""
	if len(paths) == 0 {
		example = `["~/projects/x"]`
	} else {
		why = "    # on its command line"
	}
	return fmt.Sprintf(`# What the MCP server %[1]s may do. Only what stands here, and the flags of
# "mcpbox run", is allowed. It was installed for the command
#
#   %[2]s
#
# See what that means:  mcpbox explain --name %[1]s -- %[2]s
# Check this file:      mcpbox check %[1]s.toml

[files]
# read  = ["~/docs"]
# write = %[3]s%[4]s

[network]
# What it tries and may not reach: mcpbox logs --denied %[1]s
# allow = ["api.example.com:443"]

[env]
# pass = ["API_KEY"]

[packages]
# Packages whose install scripts are run, when it is installed or updated.
# scripts = ["sqlite3"]
`, name, strings.ReplaceAll(commandLine(argv), "\n", " "), example, why)
}

// existing lists what arguments name that is there.
func existing(args []string, facts policy.Facts) []string {
	var list []string
	for _, arg := range args {
		if rest, ok := strings.CutPrefix(arg, "~/"); ok {
			arg = filepath.Join(facts.Home, rest)
		}
		if filepath.IsAbs(arg) {
			if _, err := os.Stat(arg); err == nil {
				list = append(list, filepath.Clean(arg))
			}
		}
	}
	return list
}

// tomlString writes a basic string of TOML 1.0.
func tomlString(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String() + `"`
}
