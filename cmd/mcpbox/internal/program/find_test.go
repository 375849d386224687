package program

import (
	"strings"
	"testing"
)

// One row for each layout in which programs lie below a home directory: what is
// shown is the install prefix, and each program starts in a box that has
// nothing else.
func TestLayouts(t *testing.T) {
	const node20 = `
		.nvm/versions/node/v20.1.0/bin/node elf
		.nvm/versions/node/v20.1.0/include/node/node.h : x
		.nvm/versions/node/v20.1.0/bin/npx -> ../lib/node_modules/npm/bin/npx-cli.js
		.nvm/versions/node/v20.1.0/lib/node_modules/npm/bin/npx-cli.js = #!/usr/bin/env node
		.nvm/versions/node/v18.0.0/bin/node elf
		.nvm/.npmrc : secret`
	const volta = `
		.volta/bin/volta-shim elf
		.volta/bin/node -> volta-shim
		.volta/bin/npx -> volta-shim
		.volta/bin/srv -> volta-shim
		.volta/tools/user/platform.json : {"node":{"runtime":"20.1.0","npm":null},"pnpm":null,"yarn":null}
		.volta/tools/user/bins/srv.json : {"name":"srv","package":"@a/srv","version":"1.0.0","platform":{"node":{"runtime":"18.2.0","npm":null}}}
		.volta/tools/image/node/20.1.0/bin/node elf
		.volta/tools/image/node/20.1.0/bin/npx -> ../lib/node_modules/npm/bin/npx-cli.js
		.volta/tools/image/node/20.1.0/lib/node_modules/npm/bin/npx-cli.js = #!/usr/bin/env node
		.volta/tools/image/node/18.2.0/bin/node elf
		.volta/tools/image/packages/@a/srv/bin/srv -> ../lib/node_modules/@a/srv/cli.js
		.volta/tools/image/packages/@a/srv/lib/node_modules/@a/srv/cli.js = #!/usr/bin/env node`
	const uv = `
		.local/share/uv/python/cpython-3.12.3-linux-x86_64-gnu/bin/python3.12 elf
		.local/share/uv/python/cpython-3.12.3-linux-x86_64-gnu/bin/python3 -> python3.12
		.local/share/uv/python/cpython-3.12.3-linux-x86_64-gnu/lib/python3.12/os.py : x
		.local/share/uv/python/cpython-3.12-linux-x86_64-gnu -> cpython-3.12.3-linux-x86_64-gnu
		.local/share/uv/python/cpython-3.9.0-linux-x86_64-gnu/bin/python3 elf
		.local/share/uv/tools/srv/pyvenv.cfg : home = ~/.local/share/uv/python/cpython-3.12-linux-x86_64-gnu/bin\n
		.local/share/uv/tools/srv/bin/python -> ~/.local/share/uv/python/cpython-3.12-linux-x86_64-gnu/bin/python3.12
		.local/share/uv/tools/srv/bin/srv = #!~/.local/share/uv/tools/srv/bin/python\n
		.local/share/uv/tools/other/pyvenv.cfg : home = /usr/bin\n
		.local/bin/srv -> ../share/uv/tools/srv/bin/srv
		.local/bin/python3.12 -> ../share/uv/python/cpython-3.12.3-linux-x86_64-gnu/bin/python3.12
		.local/bin/uv elf
		.local/bin/uvx elf`
	const pyenv = `
		.pyenv/shims/python = #!/usr/bin/env bash\nexec pyenv exec python "$@"
		.pyenv/shims/srv = #!/usr/bin/env bash\nexec pyenv exec srv "$@"
		.pyenv/version : 3.11.7\n
		.pyenv/versions/3.11.7/bin/python elf
		.pyenv/versions/3.11.7/bin/srv = #!~/.pyenv/versions/3.11.7/bin/python\n
		.pyenv/versions/3.12.1/bin/python elf
		.pyenv/versions/3.12.10/bin/python elf
		.pyenv/versions/3.12.9/bin/python elf`
	const asdf = `
		.asdf/shims/node = #!/usr/bin/env bash\n# asdf-plugin: nodejs 18.0.0\n# asdf-plugin: nodejs 20.1.0\nexec asdf exec "node" "$@"
		.asdf/installs/nodejs/18.0.0/bin/node elf
		.asdf/installs/nodejs/20.1.0/bin/node elf`
	const mise = `
		.local/bin/mise elf
		.local/share/mise/shims/node -> ~/.local/bin/mise
		.local/share/mise/installs/node/18.0.0/bin/node elf
		.local/share/mise/installs/node/20.1.0/bin/node elf
		.local/share/mise/installs/node/20 -> ./20.1.0`

	for _, c := range []struct {
		name, files, vars, path, command      string
		exec, prefixes, single, dirs, argTail string
	}{
		{name: "system", command: "true x", exec: "/usr/bin/true", argTail: "x"},
		{name: "nvm node", files: node20, path: "~/.nvm/versions/node/v20.1.0/bin", command: "node -v",
			exec: "~/.nvm/versions/node/v20.1.0/bin/node", prefixes: "~/.nvm/versions/node/v20.1.0", dirs: "~/.nvm/versions/node/v20.1.0/bin", argTail: "-v"},
		{name: "nvm npx", files: node20, path: "~/.nvm/versions/node/v20.1.0/bin", command: "npx -y x",
			exec: "~/.nvm/versions/node/v20.1.0/bin/npx", prefixes: "~/.nvm/versions/node/v20.1.0", dirs: "~/.nvm/versions/node/v20.1.0/bin", argTail: "-y x"},
		{name: "nvm elsewhere", files: strings.ReplaceAll(node20, ".nvm/", "tools/nvm/"), vars: "NVM_DIR=~/tools/nvm", command: "~/tools/nvm/versions/node/v18.0.0/bin/node",
			exec: "~/tools/nvm/versions/node/v18.0.0/bin/node", prefixes: "~/tools/nvm/versions/node/v18.0.0", dirs: "~/tools/nvm/versions/node/v18.0.0/bin"},
		{name: "node unpacked anywhere", files: strings.ReplaceAll(node20, ".nvm/versions/node/", "tools/"), path: "~/tools/v20.1.0/bin", command: "npx",
			exec: "~/tools/v20.1.0/bin/npx", prefixes: "~/tools/v20.1.0", dirs: "~/tools/v20.1.0/bin"},
		{name: "volta node", files: volta, path: "~/.volta/bin", command: "node",
			exec: "~/.volta/tools/image/node/20.1.0/bin/node", prefixes: "~/.volta/tools/image/node/20.1.0", dirs: "~/.volta/tools/image/node/20.1.0/bin"},
		{name: "volta npx", files: volta, path: "~/.volta/bin", command: "npx -y x",
			exec: "~/.volta/tools/image/node/20.1.0/bin/npx", prefixes: "~/.volta/tools/image/node/20.1.0", dirs: "~/.volta/tools/image/node/20.1.0/bin", argTail: "-y x"},
		{name: "volta project", files: volta + "\n work/package.json : {\"volta\":{\"node\":\"18.2.0\"}}", path: "~/.volta/bin", command: "node",
			exec: "~/.volta/tools/image/node/18.2.0/bin/node", prefixes: "~/.volta/tools/image/node/18.2.0", dirs: "~/.volta/tools/image/node/18.2.0/bin"},
		{name: "volta package", files: volta, path: "~/.volta/bin", command: "srv",
			exec:     "~/.volta/tools/image/packages/@a/srv/bin/srv",
			prefixes: "~/.volta/tools/image/node/18.2.0 ~/.volta/tools/image/packages/@a/srv",
			dirs:     "~/.volta/tools/image/node/18.2.0/bin ~/.volta/tools/image/packages/@a/srv/bin"},
		{name: "fnm", files: `
			.local/share/fnm/node-versions/v20.1.0/installation/bin/node elf
			.local/share/fnm/node-versions/v18.0.0/installation/bin/node elf
			.local/state/fnm_multishells/77_1 -> ~/.local/share/fnm/node-versions/v20.1.0/installation`,
			path: "~/.local/state/fnm_multishells/77_1/bin", command: "node",
			exec: "~/.local/state/fnm_multishells/77_1/bin/node", prefixes: "~/.local/share/fnm/node-versions/v20.1.0/installation",
			single: "~/.local/state/fnm_multishells/77_1/bin/node", dirs: "~/.local/state/fnm_multishells/77_1/bin"},
		{name: "asdf global", files: asdf + "\n .tool-versions : nodejs 20.1.0\\n", path: "~/.asdf/shims", command: "node",
			exec: "~/.asdf/installs/nodejs/20.1.0/bin/node", prefixes: "~/.asdf/installs/nodejs/20.1.0", dirs: "~/.asdf/installs/nodejs/20.1.0/bin"},
		{name: "asdf project", files: asdf + "\n .tool-versions : nodejs 20.1.0\\n\n work/.tool-versions : python 3.1\\nnodejs 9.9.9 18.0.0 # old\\n", path: "~/.asdf/shims", command: "node",
			exec: "~/.asdf/installs/nodejs/18.0.0/bin/node", prefixes: "~/.asdf/installs/nodejs/18.0.0", dirs: "~/.asdf/installs/nodejs/18.0.0/bin"},
		{name: "asdf variable", files: asdf, vars: "ASDF_NODEJS_VERSION=18.0.0", path: "~/.asdf/shims", command: "node",
			exec: "~/.asdf/installs/nodejs/18.0.0/bin/node", prefixes: "~/.asdf/installs/nodejs/18.0.0", dirs: "~/.asdf/installs/nodejs/18.0.0/bin"},
		{name: "mise global", files: mise + "\n .config/mise/config.toml : [tools]\\nnode = \"20\"\\n", path: "~/.local/share/mise/shims", command: "node",
			exec: "~/.local/share/mise/installs/node/20.1.0/bin/node", prefixes: "~/.local/share/mise/installs/node/20.1.0", dirs: "~/.local/share/mise/installs/node/20.1.0/bin"},
		{name: "mise project", files: mise + "\n work/mise.toml : [tools]\\nnode = { version = \"18.0.0\" }\\n", path: "~/.local/share/mise/shims", command: "node",
			exec: "~/.local/share/mise/installs/node/18.0.0/bin/node", prefixes: "~/.local/share/mise/installs/node/18.0.0", dirs: "~/.local/share/mise/installs/node/18.0.0/bin"},
		{name: "pyenv global", files: pyenv, path: "~/.pyenv/shims", command: "python",
			exec: "~/.pyenv/versions/3.11.7/bin/python", prefixes: "~/.pyenv/versions/3.11.7", dirs: "~/.pyenv/versions/3.11.7/bin"},
		{name: "pyenv newest of a series", files: pyenv + "\n work/.python-version : # ours\\n3.12\\n", path: "~/.pyenv/shims", command: "python",
			exec: "~/.pyenv/versions/3.12.10/bin/python", prefixes: "~/.pyenv/versions/3.12.10", dirs: "~/.pyenv/versions/3.12.10/bin"},
		{name: "pyenv variable", files: pyenv, vars: "PYENV_VERSION=3.12.9:3.11.7", path: "~/.pyenv/shims", command: "srv",
			exec: "~/.pyenv/versions/3.11.7/bin/srv", prefixes: "~/.pyenv/versions/3.11.7", dirs: "~/.pyenv/versions/3.11.7/bin"},
		{name: "pyenv system", files: pyenv + "\n .pyenv/shims/true = #!/bin/sh\n", vars: "PYENV_VERSION=system", path: "~/.pyenv/shims", command: "true",
			exec: "/usr/bin/true"},
		{name: "script for a shim", files: pyenv + "\n .local/bin/tool = #!/usr/bin/env -S python -u\\n", path: "~/.local/bin:~/.pyenv/shims", command: "tool x",
			exec: "~/.pyenv/versions/3.11.7/bin/python", prefixes: "~/.pyenv/versions/3.11.7", single: "~/.local/bin/tool",
			dirs: "~/.pyenv/versions/3.11.7/bin ~/.local/bin", argTail: "-u ~/.local/bin/tool x"},
		{name: "uv tool", files: uv, path: "~/.local/bin", command: "srv --x",
			exec:     "~/.local/bin/srv",
			prefixes: "~/.local/share/uv/python/cpython-3.12.3-linux-x86_64-gnu ~/.local/share/uv/tools/srv",
			single:   "~/.local/bin/srv ~/.local/share/uv/python/cpython-3.12-linux-x86_64-gnu/bin/python3 ~/.local/share/uv/tools/srv/bin/python",
			dirs:     "~/.local/share/uv/tools/srv/bin ~/.local/bin", argTail: "--x"},
		{name: "uv python", files: uv, path: "~/.local/bin", command: "python3.12",
			exec: "~/.local/bin/python3.12", prefixes: "~/.local/share/uv/python/cpython-3.12.3-linux-x86_64-gnu",
			single: "~/.local/bin/python3.12", dirs: "~/.local/bin"},
		{name: "uvx needs uv", files: uv, path: "~/.local/bin", command: "uvx srv",
			exec: "~/.local/bin/uvx", single: "~/.local/bin/uv ~/.local/bin/uvx", dirs: "~/.local/bin", argTail: "srv"},
		{name: "pipx", files: `
			.local/share/pipx/venvs/srv/pyvenv.cfg : home = /usr/bin\n
			.local/share/pipx/venvs/srv/bin/python -> /usr/bin/true
			.local/share/pipx/venvs/srv/bin/srv = #!~/.local/share/pipx/venvs/srv/bin/python\n
			.local/share/pipx/venvs/other/pyvenv.cfg : home = /usr/bin\n
			.local/bin/srv -> ~/.local/share/pipx/venvs/srv/bin/srv`, path: "~/.local/bin", command: "srv",
			exec: "~/.local/bin/srv", prefixes: "~/.local/share/pipx/venvs/srv", single: "~/.local/bin/srv",
			dirs: "~/.local/share/pipx/venvs/srv/bin ~/.local/bin"},
		{name: "environment of a project", files: pyenv + `
			work/.venv/pyvenv.cfg : home = ~/.pyenv/versions/3.12.1/bin\n
			work/.venv/bin/python -> ~/.pyenv/versions/3.12.1/bin/python
			work/.venv/bin/tool = #!/bin/sh\n'''exec' "~/work/.venv/bin/python" "$0" "$@"\n' '''\n`, command: ".venv/bin/tool",
			exec: "~/work/.venv/bin/tool", prefixes: "~/.pyenv/versions/3.12.1 ~/work/.venv", dirs: "~/work/.venv/bin"},
		{name: "rye tool", files: `
			.rye/tools/srv/pyvenv.cfg : home = /usr/bin\n
			.rye/tools/srv/bin/python -> /usr/bin/true
			.rye/tools/srv/bin/srv = #!~/.rye/tools/srv/bin/python\n
			.rye/shims/srv2 -> ../tools/srv/bin/srv`, command: "~/.rye/tools/srv/bin/srv",
			exec: "~/.rye/tools/srv/bin/srv", prefixes: "~/.rye/tools/srv", dirs: "~/.rye/tools/srv/bin"},
		{name: "npm prefix", files: node20 + `
			.npm-global/bin/srv -> ../lib/node_modules/srv/cli.js
			.npm-global/lib/node_modules/srv/cli.js = #!/usr/bin/env node\n
			.npm-global/etc/npmrc : secret`, path: "~/.npm-global/bin:~/.nvm/versions/node/v20.1.0/bin", command: "srv",
			exec: "~/.npm-global/bin/srv", prefixes: "~/.npm-global/lib/node_modules ~/.nvm/versions/node/v20.1.0",
			single: "~/.npm-global/bin/srv", dirs: "~/.nvm/versions/node/v20.1.0/bin ~/.npm-global/bin"},
		{name: "npm prefix ~/.local", files: node20 + `
			.local/bin/srv -> ../lib/node_modules/srv/cli.js
			.local/lib/node_modules/srv/cli.js = #!/usr/bin/env node\n`, path: "~/.local/bin:~/.nvm/versions/node/v20.1.0/bin", command: "srv",
			exec: "~/.local/bin/srv", prefixes: "~/.local/lib/node_modules ~/.nvm/versions/node/v20.1.0",
			single: "~/.local/bin/srv", dirs: "~/.nvm/versions/node/v20.1.0/bin ~/.local/bin"},
		{name: "pnpm global", files: node20 + `
			.local/share/pnpm/srv = #!/bin/sh\nbasedir=$(dirname "$0")\nexec true "$basedir/global/5/node_modules/srv/cli.js" "$@"
			.local/share/pnpm/global/5/node_modules/srv -> .pnpm/srv@1/node_modules/srv
			.local/share/pnpm/global/5/node_modules/.pnpm/srv@1/node_modules/srv/cli.js : x
			.local/share/pnpm/store/v10/x : x`, path: "~/.local/share/pnpm:~/.nvm/versions/node/v20.1.0/bin", command: "srv",
			exec: "~/.local/share/pnpm/srv", prefixes: "~/.local/share/pnpm/global ~/.nvm/versions/node/v20.1.0",
			single: "~/.local/share/pnpm/srv", dirs: "~/.nvm/versions/node/v20.1.0/bin ~/.local/share/pnpm"},
		{name: "vendored by npm", files: "work/node_modules/.bin/esbuild -> ../esbuild/bin/esbuild\n work/node_modules/esbuild/bin/esbuild elf\n work/.env : secret",
			command: "node_modules/.bin/esbuild", exec: "~/work/node_modules/.bin/esbuild", prefixes: "~/work/node_modules", dirs: "~/work/node_modules/.bin"},
		{name: "~/.local/bin", files: ".local/bin/srv elf\n .local/bin/other elf", path: "~/.local/bin", command: "srv",
			exec: "~/.local/bin/srv", single: "~/.local/bin/srv", dirs: "~/.local/bin"},
		{name: "go/bin", files: "go/bin/srv elf\n go/bin/other elf", path: "~/go/bin", command: "srv stdio",
			exec: "~/go/bin/srv", single: "~/go/bin/srv", dirs: "~/go/bin", argTail: "stdio"},
		{name: "cargo/bin", files: ".cargo/bin/srv elf\n .cargo/credentials.toml : secret", path: "~/.cargo/bin", command: "srv",
			exec: "~/.cargo/bin/srv", single: "~/.cargo/bin/srv", dirs: "~/.cargo/bin"},
		{name: "bun", files: ".bun/bin/bun elf\n .bun/install/cache/x : x", path: "~/.bun/bin", command: "bun",
			exec: "~/.bun/bin/bun", single: "~/.bun/bin/bun", dirs: "~/.bun/bin"},
		{name: "bunx is bun", files: ".bun/bin/bun elf\n .bun/bin/bunx -> bun", path: "~/.bun/bin", command: "bunx srv",
			exec: "~/.bun/bin/bunx", single: "~/.bun/bin/bun ~/.bun/bin/bunx", dirs: "~/.bun/bin", argTail: "srv"},
		{name: "deno", files: ".deno/bin/deno elf\n .deno/x : x", path: "~/.deno/bin", command: "deno",
			exec: "~/.deno/bin/deno", single: "~/.deno/bin/deno", dirs: "~/.deno/bin"},
		{name: "in home itself", files: "srv elf", command: "~/srv", exec: "~/srv", single: "~/srv"},
		{name: "links through directories", files: "data/tools-1.2/bin/srv elf\n tools -> data/tools-1.2\n bin/srv -> ../tools/bin/srv", path: "~/bin", command: "srv",
			exec: "~/bin/srv", single: "~/bin/srv ~/data/tools-1.2/bin/srv", dirs: "~/bin"},
		{name: "many programs in one", files: "bin/ls -> /usr/bin/true", path: "~/bin", command: "ls", exec: "~/bin/ls", single: "~/bin/ls", dirs: "~/bin"},
		{name: "interpreter in ~/.local", files: ".local/bin/python3.12 elf\n .local/lib/python3.12/os.py : x\n .local/share/secret : x", path: "~/.local/bin", command: "python3.12",
			exec: "~/.local/bin/python3.12", prefixes: "~/.local/lib/python3.12", single: "~/.local/bin/python3.12", dirs: "~/.local/bin"},
		{name: "pip install --user", files: ".local/bin/srv = #!/usr/bin/python3\\n\n .local/lib/python3.11/site-packages/srv.py : x", path: "~/.local/bin", command: "srv",
			exec: "~/.local/bin/srv", prefixes: "~/.local/lib/python3.11", single: "~/.local/bin/srv", dirs: "~/.local/bin"},
		{name: "Homebrew", files: ".linuxbrew/Cellar/srv/1/bin/srv elf\n .linuxbrew/bin/srv -> ../Cellar/srv/1/bin/srv", path: "~/.linuxbrew/bin", command: "srv",
			exec: "~/.linuxbrew/bin/srv", prefixes: "~/.linuxbrew", dirs: "~/.linuxbrew/bin"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHome(t, c.files)
			if name, value, ok := strings.Cut(c.vars, "="); ok {
				h.vars[name] = value
			}
			p, err := h.find(c.path, c.command)
			if err != nil {
				t.Fatal(err)
			}
			h.checkShown(t, p)
			for _, x := range []struct{ what, got, want string }{
				{"exec", h.short([]string{p.Exec}), c.exec},
				{"arguments", h.short(p.Argv[1:]), c.argTail},
				{"prefixes", h.short(p.Prefixes), c.prefixes},
				{"files", h.short(p.Files), c.single},
				{"PATH", h.short(p.PathDirs), c.dirs},
			} {
				if x.got != x.want {
					t.Errorf("%s\n got %s\nwant %s", x.what, x.got, x.want)
				}
			}
			if out, err := inBox(t, p, h.cwd); err != nil && !strings.Contains(c.files, "/usr/bin/python3") {
				t.Errorf("in a box: %v: %s", err, out)
			}
			if !within(canonical(p.Exec), "/usr") { // the control: it needs what is shown
				p.Prefixes, p.Files = nil, nil
				if _, err := inBox(t, p, h.cwd); err == nil {
					t.Error("starts in a box that shows nothing of it")
				}
			}
		})
	}
}
