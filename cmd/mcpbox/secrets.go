package main

import (
	"slices"
	"strings"

	"github.com/mcpbox/mcpbox/policy"
)

// shortSecret is the length in bytes below which a value is taken for a word,
// which would make a journal unreadable where it is missing.
const shortSecret = 8

// secretsOf are the values of declared variables that no journal may hold, even
// where the command line or the server says one: all but short ones, paths, and
// what names a host that a rule names, too.
func secretsOf(p *prepared) []string {
	declared := slices.Concat(p.report.EnvPassed, p.report.EnvSet)
	var list []string
	for _, entry := range p.spec.Process.Env {
		name, value, _ := strings.Cut(entry, "=")
		if !slices.Contains(declared, name) || len(value) < shortSecret || strings.HasPrefix(value, "/") {
			continue
		}
		if !slices.ContainsFunc(p.policy.Network.Allow, func(r policy.Rule) bool { return r.Name != "" && strings.Contains(value, r.Name) }) {
			list = append(list, value)
		}
	}
	return list
}
