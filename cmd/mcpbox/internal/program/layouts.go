package program

import (
	"path/filepath"
	"strings"
)

// layout is where a tool installs what it manages: each directory that matches
// one of the patterns below root is an install prefix of its own.
type layout struct {
	tool     string
	root     string // canonical
	patterns []string
}

// layouts lists the documented layouts, with roots for this home directory and
// environment.
func layouts(home string, env func(string) string) []layout {
	var list []layout
	add := func(tool, variable string, roots []string, patterns ...string) {
		if dir := env(variable); variable != "" && filepath.IsAbs(dir) {
			list = append(list, layout{tool, canonical(dir), patterns})
		}
		for _, root := range roots {
			if data := env("XDG_DATA_HOME"); strings.HasPrefix(root, ".local/share/") && filepath.IsAbs(data) {
				list = append(list, layout{tool, canonical(filepath.Join(data, strings.TrimPrefix(root, ".local/share/"))), patterns})
			}
			list = append(list, layout{tool, canonical(filepath.Join(home, root)), patterns})
		}
	}
	add("nvm", "NVM_DIR", []string{".nvm", ".config/nvm"}, "versions/node/*", "versions/io.js/*")
	add("Volta", "VOLTA_HOME", []string{".volta"}, "tools/image/packages/@*/*", "tools/image/packages/*", "tools/image/*/*")
	add("fnm", "FNM_DIR", []string{".local/share/fnm", ".fnm"}, "node-versions/*/installation")
	add("nodenv", "NODENV_ROOT", []string{".nodenv"}, "versions/*")
	add("n", "N_PREFIX", []string{".n", "n"}, "n/versions/node/*")
	add("asdf", "ASDF_DATA_DIR", []string{".asdf"}, "installs/*/*")
	add("mise", "MISE_DATA_DIR", []string{".local/share/mise", ".local/share/rtx"}, "installs/*/*")
	add("proto", "PROTO_HOME", []string{".proto"}, "tools/*/*")
	add("pyenv", "PYENV_ROOT", []string{".pyenv"}, "versions/*")
	add("uv", "UV_PYTHON_INSTALL_DIR", []string{".local/share/uv/python"}, "*")
	add("uv", "UV_TOOL_DIR", []string{".local/share/uv/tools"}, "*")
	add("pipx", "PIPX_HOME", []string{".local/share/pipx", ".local/pipx"}, "venvs/*")
	add("Rye", "RYE_HOME", []string{".rye"}, "py/*", "tools/*")
	add("rbenv", "RBENV_ROOT", []string{".rbenv"}, "versions/*")
	add("rustup", "RUSTUP_HOME", []string{".rustup"}, "toolchains/*")
	add("SDKMAN", "SDKMAN_DIR", []string{".sdkman"}, "candidates/*/*")
	add("pnpm", "PNPM_HOME", []string{".local/share/pnpm"}, "nodejs/*", "store/v*/links")
	// Stores and prefixes whose programs refer to each other by full path.
	list = append(list,
		layout{"Nix", "/nix", []string{"store"}},
		layout{"Guix", "/gnu", []string{"store"}},
		layout{"Homebrew", "/home/linuxbrew", []string{".linuxbrew"}},
		layout{"Homebrew", home, []string{".linuxbrew"}})
	return list
}

// prefixOf returns the install prefix that the canonical path lies in, or "".
func (f *finder) prefixOf(path string) string {
	if f.layouts == nil { // most programs are the system's
		f.layouts = layouts(f.home, f.q.Env)
	}
	for _, l := range f.layouts {
		if !within(path, l.root) || path == l.root {
			continue
		}
		below := strings.Split(path[len(l.root)+1:], "/")
		for _, pattern := range l.patterns {
			want := strings.Split(pattern, "/")
			if len(below) < len(want) {
				continue
			}
			head := strings.Join(below[:len(want)], "/")
			if ok, _ := filepath.Match(pattern, head); ok {
				return filepath.Join(l.root, head)
			}
		}
	}
	return ""
}
