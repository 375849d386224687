package program

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// behindAsdf follows "asdf which". A shim lists the plugins and versions that
// have the program, one for each line "# asdf-plugin: nodejs 20.11.0"; the
// variable ASDF_NODEJS_VERSION or the nearest .tool-versions picks among them.
func (f *finder) behindAsdf(path, root string) (string, error) {
	name := filepath.Base(path)
	offered := map[string][]string{}
	var plugins []string
	for _, line := range readLines(path) {
		if words, ok := strings.CutPrefix(line, "# asdf-plugin:"); ok {
			if plugin, version, ok := strings.Cut(strings.TrimSpace(words), " "); ok && plain(plugin) && plain(version) {
				if !slices.Contains(plugins, plugin) {
					plugins = append(plugins, plugin)
				}
				offered[plugin] = append(offered[plugin], version)
			}
		}
	}
	for _, plugin := range plugins {
		for _, version := range f.toolVersions(plugin, "ASDF_"+variableName(plugin)+"_VERSION") {
			if version == "system" {
				if real := f.lookOutside(name, filepath.Dir(path)); real != "" {
					return real, nil
				}
			}
			if !slices.Contains(offered[plugin], version) {
				continue
			}
			for _, bin := range []string{"bin", ".npm/bin", "go/bin", "packages/bin", "shims", ""} {
				if real := filepath.Join(root, "installs", plugin, version, bin, name); executable(real) == nil {
					return real, nil
				}
			}
		}
	}
	return "", &IndirectError{path, "asdf", "no version of it is selected for " + f.q.Cwd,
		orElse(filepath.Join(root, "installs/*/*/bin", name), "type: asdf which "+name+", and name what it prints")}
}

// toolVersions returns the versions that a variable or a .tool-versions file,
// from the working directory upwards and then in the home directory, selects
// for one of the given names of a tool.
func (f *finder) toolVersions(tool, variable string) []string {
	if v := strings.Fields(f.q.Env(variable)); len(v) > 0 {
		return v
	}
	file := f.q.Env("ASDF_DEFAULT_TOOL_VERSIONS_FILENAME")
	if file == "" || strings.Contains(file, "/") {
		file = ".tool-versions"
	}
	for dir := filepath.Clean(f.q.Cwd); ; dir = filepath.Dir(dir) {
		if v := versionsIn(filepath.Join(dir, file), tool); v != nil {
			return v
		}
		if dir == "/" || dir == "." {
			return versionsIn(filepath.Join(f.home, file), tool)
		}
	}
}

func versionsIn(file, tool string) []string {
	for _, line := range readLines(file) {
		line, _, _ = strings.Cut(line, "#")
		if words := strings.Fields(line); len(words) > 1 && words[0] == tool {
			return words[1:]
		}
	}
	return nil
}

func variableName(tool string) string {
	return strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(tool))
}

// plain reports whether s is one path component that leads nowhere else.
func plain(s string) bool {
	return s != "" && s != "." && s != ".." && !strings.Contains(s, "/")
}

// behindMise follows "mise which" as far as its plain settings go: the tools
// whose installed versions have the program, each in the version that a
// variable, the nearest mise.toml or .tool-versions, or the global settings
// select. Mise keeps a link for each prefix of a version ("20", "latest").
func (f *finder) behindMise(path, root string) (string, error) {
	name := filepath.Base(path)
	found, _ := filepath.Glob(filepath.Join(root, "installs/*/*/bin", name))
	var tools []string
	for _, real := range found {
		tool := filepath.Base(filepath.Dir(filepath.Dir(filepath.Dir(real))))
		if !slices.Contains(tools, tool) {
			tools = append(tools, tool)
		}
	}
	for _, tool := range tools {
		for _, version := range f.miseVersions(tool) {
			if version == "system" {
				if real := f.lookOutside(name, filepath.Dir(path)); real != "" {
					return real, nil
				}
			}
			version = strings.TrimPrefix(version, "prefix:")
			if !plain(version) {
				continue
			}
			for _, v := range []string{version, newest(filepath.Join(root, "installs", tool), version)} {
				if real := filepath.Join(root, "installs", tool, v, "bin", name); v != "" && executable(real) == nil {
					return canonicalDir(real), nil
				}
			}
		}
	}
	return "", &IndirectError{path, "mise", "no version of it is selected for " + f.q.Cwd + " by a setting that mcpbox reads",
		orElse(filepath.Join(root, "installs/*/*/bin", name), "type: mise which "+name+", and name what it prints")}
}

func canonicalDir(path string) string {
	return filepath.Join(canonical(filepath.Dir(path)), filepath.Base(path))
}

func (f *finder) miseVersions(tool string) []string {
	names := []string{tool}
	switch tool {
	case "node":
		names = append(names, "nodejs")
	case "go":
		names = append(names, "golang")
	}
	if v := f.q.Env("MISE_" + variableName(tool) + "_VERSION"); v != "" {
		return []string{v}
	}
	for dir := filepath.Clean(f.q.Cwd); ; dir = filepath.Dir(dir) {
		for _, file := range []string{"mise.local.toml", "mise.toml", ".mise.toml", "mise/config.toml", ".mise/config.toml", ".config/mise.toml", ".config/mise/config.toml"} {
			if v := miseTools(filepath.Join(dir, file), names); v != nil {
				return v
			}
		}
		for _, n := range names {
			if v := versionsIn(filepath.Join(dir, ".tool-versions"), n); v != nil {
				return v
			}
		}
		if dir == "/" || dir == "." {
			break
		}
	}
	config := f.q.Env("XDG_CONFIG_HOME")
	if !filepath.IsAbs(config) {
		config = filepath.Join(f.home, ".config")
	}
	return miseTools(filepath.Join(config, "mise/config.toml"), names)
}

// miseTools reads the table [tools]: node = "20", node = ["20", "18"] or
// node = { version = "20" }.
func miseTools(file string, names []string) []string {
	data, err := readSmall(file)
	if err != nil {
		return nil
	}
	var settings struct {
		Tools map[string]any `toml:"tools"`
	}
	if _, err := toml.Decode(string(data), &settings); err != nil {
		return nil
	}
	for _, name := range names {
		switch v := settings.Tools[name].(type) {
		case string:
			return []string{v}
		case map[string]any:
			if s, ok := v["version"].(string); ok {
				return []string{s}
			}
		case []any:
			var list []string
			for _, x := range v {
				if s, ok := x.(string); ok {
					list = append(list, s)
				}
			}
			return list
		}
	}
	return nil
}
