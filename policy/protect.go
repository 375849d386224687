package policy

import (
	"slices"
	"strings"
	"unicode"
)

// protectedNames are files and directories that make programs of the host run
// code, or that hold its keys: they are never writable in a box, at any depth
// of a directory that is. The list cannot be complete: build files, scripts of
// packages and tests run as well, and a server that edits a project has to be
// able to edit those.
//
// A name ends in "*" to match every name that starts so. Names of .git are in
// gitNames.
var protectedNames = []string{
	// git and the managers of its hooks
	".gitmodules", ".gitconfig", ".husky", ".pre-commit-config.yaml", "lefthook.yml",
	// shells and their environment
	".bashrc", ".bash_profile", ".bash_login", ".bash_logout", ".bash_aliases", ".profile",
	".zshrc", ".zshenv", ".zprofile", ".zlogin", ".zlogout", ".inputrc",
	".envrc", ".direnv", ".tool-versions", "mise.toml", ".mise.toml", ".pam_environment",
	// editors
	".vscode", ".idea", ".zed", ".devcontainer", ".devcontainer.json", ".vim", ".vimrc", ".exrc", ".nvimrc",
	".nvim.lua", ".dir-locals.el", ".emacs", ".emacs.d",
	// agents
	".mcp.json", ".mcpbox.toml", ".cursor", ".cursorrules", ".claude", ".gemini", ".codex", ".aider*",
	".windsurf", ".windsurfrules", ".continue", ".kiro", ".clinerules",
	"CLAUDE.md", "CLAUDE.local.md", "AGENTS.md", "GEMINI.md", ".github/copilot-instructions.md",
	// packages and continuous integration
	".npmrc", ".yarnrc", ".yarnrc.yml", ".pnpmfile.cjs", ".pypirc", "pip.conf", ".ripgreprc",
	".cargo/config", ".cargo/config.toml", ".github/workflows", ".github/actions", ".gitlab-ci.yml",
	// a home directory
	".ssh", ".gnupg", ".local/bin", ".local/share/applications",
	".config/autostart", ".config/systemd", ".config/fish", ".config/git",
}

// gitNames are the protected names inside a git directory. commondir makes git
// take configuration and hooks from elsewhere.
var gitNames = []string{
	"hooks", "config", "config.worktree", "commondir", "info/attributes", "worktrees",
}

// GitNames are the names in a repository by which it can have git run a command,
// or leads to others that can.
func GitNames() []string { return append(slices.Clone(gitNames), "modules") }

// skippedTrees are not searched: they are large, and neither git, a shell nor
// an editor takes its settings from there.
var skippedTrees = []string{"node_modules", "bower_components", ".venv", "venv", "__pycache__", ".tox", ".nox", ".pnpm-store"}

// pattern is a node in a tree of protected names.
type pattern struct {
	name   string // as written, for file systems that tell letters of either case apart
	next   map[string]*pattern
	prefix []string // names that match if they start so
	leaf   bool     // the name is protected as a whole
	file   bool     // the name is protected where it is no directory
	git    bool     // what is below belongs to git: no other name counts there
	again  *pattern // for directories that no other name matches
}

func (p *pattern) add(name string) {
	first, rest, more := strings.Cut(fold(name), "/")
	if before, ok := strings.CutSuffix(first, "*"); ok {
		p.prefix = append(p.prefix, before)
		return
	}
	if p.next == nil {
		p.next = map[string]*pattern{}
	}
	child := p.next[first]
	if child == nil {
		child = &pattern{}
		child.name, _, _ = strings.Cut(name, "/")
		p.next[first] = child
	}
	if more {
		child.add(rest)
	} else {
		child.leaf = true
	}
}

// match returns what the folded name means below p, or nil.
func (p *pattern) match(name string) *pattern {
	if child := p.next[name]; child != nil {
		return child
	}
	for _, prefix := range p.prefix {
		if strings.HasPrefix(name, prefix) {
			return &pattern{leaf: true}
		}
	}
	return nil
}

// patterns are the trees of protected names: any holds at every depth, gitDir
// inside a git directory.
type patterns struct{ any, gitDir *pattern }

func newPatterns() patterns {
	gitDir := &pattern{git: true}
	gitDir.name = ".git"
	modules := &pattern{name: "modules", git: true}
	for _, name := range gitNames {
		gitDir.add(name)
		modules.add(name)
	}
	// .git/modules holds a git directory for each submodule, at a depth that
	// the submodule's path gives, each with modules of its own.
	modules.again = modules
	gitDir.next["modules"] = modules
	gitDir.file = true // in a worktree or submodule, .git is a file
	any := &pattern{}
	for _, name := range protectedNames {
		any.add(name)
	}
	any.next[".git"] = gitDir
	// Its short name on FAT and NTFS.
	short := *gitDir
	short.name = "git~1"
	any.next["git~1"] = &short
	return patterns{any, gitDir}
}

// protects reports whether the relative path p, of a file of type t, is a
// protected name, at whatever depth.
func (ps patterns) protects(p string, t FileType) bool {
	node := ps.any
	for p != "" && !node.leaf {
		var name string
		name, p, _ = strings.Cut(fold(p), "/")
		next := node.match(name)
		if next == nil {
			next = node.again
		}
		if next == nil {
			return false
		}
		node = next
	}
	return p == "" && (node.leaf || node.file && t != Directory)
}

// fold maps names that some file system takes for the same to one: letters of
// either case, and characters that case-insensitive ext4 and HFS+ ignore.
func fold(name string) string {
	ascii := true
	for i := 0; i < len(name); i++ {
		if name[i] >= 0x80 {
			ascii = false
			break
		}
	}
	if ascii {
		return strings.ToLower(name)
	}
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point) {
			return -1
		}
		// The orbit of simple folding holds all cases of a letter, such as k,
		// K and the Kelvin sign; its smallest member stands for it.
		least := r
		for f := unicode.SimpleFold(r); f != r; f = unicode.SimpleFold(f) {
			least = min(least, f)
		}
		return unicode.ToLower(least)
	}, name)
}
