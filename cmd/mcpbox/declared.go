package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcpbox/mcpbox/policy"
)

// declaredPaths lists, canonical, what this policy shows to the server and what
// servers can write, whether by this policy or by that of another server. What
// is not there is left out: working out the policy says so.
func declaredPaths(h policy.Host, config string, own ...*policy.Policy) (readable, writable []string) {
	facts := h.Facts()
	resolve := func(list []policy.Path) (paths []string) {
		for _, p := range list {
			path := p.Text
			if path == "~" || strings.HasPrefix(path, "~/") {
				path = facts.Home + path[1:]
			}
			if !filepath.IsAbs(path) {
				path = facts.Cwd + "/" + path // "/.." counts after links are followed
			}
			if real, err := filepath.EvalSymlinks(path); err == nil {
				paths = append(paths, real)
			}
		}
		return paths
	}
	for _, p := range own {
		if p != nil {
			readable = append(readable, resolve(p.Files.Read)...)
			writable = append(writable, resolve(p.Files.Write)...)
		}
	}
	readable = append(readable, writable...)
	others, _ := filepath.Glob(filepath.Join(config, "servers", "*.toml"))
	for _, file := range others {
		if p, err := loadPolicy(h, file); err == nil { // a broken one starts no server
			writable = append(writable, resolve(p.Files.Write)...)
		}
	}
	slices.Sort(writable)
	return readable, slices.Compact(writable)
}
