package policy

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// maxIncludes bounds how many files of git's configuration are followed.
const maxIncludes = 32

// protectGitPaths protects what the configuration of a repository names and git
// obeys: the directory of core.hooksPath, and included files (git-config(1)). The
// configuration itself is read-only in the box, so what it names now is what it
// names until the box ends.
func (b *builder) protectGitPaths(root string, configs []string) error {
	seen := map[string]bool{}
	for queue := configs; len(queue) > 0 && len(seen) < maxIncludes; queue = queue[1:] {
		at := queue[0]
		if seen[at] {
			continue
		}
		seen[at] = true
		data, err := b.h.ReadFile(at)
		if err != nil {
			b.note(Warning, "git_config", at, fmt.Sprintf("cannot be read, so the hooks that it may name are not protected: %v", err))
			continue
		}
		for _, s := range gitSettings(string(data)) {
			var base string
			switch s.name {
			case "include.path", "includeif.path":
				base = path.Dir(at)
			case "core.hookspath", "core.fsmonitor":
				base = workTree(at)
			default:
				continue
			}
			target, err := b.gitPath(root, base, s.value)
			if err != nil {
				return err
			}
			if target.Type == Regular && strings.HasPrefix(s.name, "include") {
				queue = append(queue, target.Path)
			}
		}
	}
	return nil
}

// gitPath protects a path that git's configuration names, if it is inside the
// writable root and there.
func (b *builder) gitPath(root, base, text string) (Found, error) {
	abs := text
	switch {
	case text == "":
		return Found{}, nil
	case strings.HasPrefix(text, "~/"):
		abs = path.Join(b.facts.Home, text[2:])
	case !path.IsAbs(text):
		abs = path.Join(base, text)
	}
	pl, err := locate(b.h, abs)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errNotDir) {
			b.absent = append(b.absent, path.Clean(abs))
			return Found{}, nil // what comes to be there is told at the end
		}
		b.note(Warning, "git_config", abs, "is named by git's configuration, and cannot be protected: "+err.Error())
		return Found{}, nil
	}
	in, ok := b.writeRoot(pl.path)
	if !ok || (pl.info.Type != Regular && pl.info.Type != Directory) {
		return Found{}, nil
	}
	f := Found{Path: pl.path, Type: pl.info.Type, Ino: pl.info.Ino}
	if pl.path == in {
		b.note(Warning, "git_config", pl.path, "is named by git's configuration as a directory of hooks, and stays writable because it is declared")
		return Found{}, nil
	}
	b.protect(in, f)
	return f, nil
}

// workTree is the directory that a repository's hooks run in, by the place of its
// configuration.
func workTree(config string) string {
	dir := path.Dir(config)
	for at := dir; at != "/"; at = path.Dir(at) {
		if fold(path.Base(at)) == ".git" {
			return path.Dir(at)
		}
	}
	return dir
}

// gitSetting is one line of git's configuration, its name in lower case and
// without a subsection.
type gitSetting struct{ name, value string }

// gitSettings reads git's configuration as far as it matters here. What it does
// not understand it passes over.
func gitSettings(text string) []gitSetting {
	var list []gitSetting
	section := ""
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\\\n", "")
	for _, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			head, rest, ok := strings.Cut(line[1:], "]")
			if !ok {
				continue
			}
			section, _, _ = strings.Cut(strings.TrimSpace(head), " ")
			section = strings.ToLower(section)
			line = strings.TrimSpace(rest)
		}
		if line == "" || line[0] == '#' || line[0] == ';' {
			continue
		}
		key, value, _ := strings.Cut(line, "=")
		list = append(list, gitSetting{section + "." + strings.ToLower(strings.TrimSpace(key)), gitValue(value)})
	}
	return list
}

// gitValue takes quotes, escapes and comments off a value.
func gitValue(s string) string {
	var b strings.Builder
	quoted := false
	s = strings.TrimSpace(s)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		case c == '"':
			quoted = !quoted
		case (c == '#' || c == ';') && !quoted:
			return strings.TrimSpace(b.String())
		default:
			b.WriteByte(c)
		}
	}
	return strings.TrimSpace(b.String())
}
