package program

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// What an interpreter's command line names as code is shown, and only that. The
// interpreters here are programs that do nothing; ~/opt is on PATH.
func TestCode(t *testing.T) {
	const opt = `
		opt/bin/node elf
		opt/bin/python3 elf
		opt/bin/bun elf
		opt/bin/deno elf
		opt/bin/java elf
		opt/bin/ruby elf
		opt/bin/bash elf
		opt/bin/dotnet elf`
	for _, c := range []struct {
		name, files, command   string
		args, prefixes, single string
	}{
		{name: "in node_modules", command: "node ~/x/node_modules/@a/srv/dist/index.js ~/data",
			files: "x/node_modules/@a/srv/dist/index.js : x\n x/node_modules/dep/i.js : x\n x/package.json : {}\n x/.env : secret\n data/f : x",
			args:  "~/x/node_modules/@a/srv/dist/index.js ~/data", prefixes: "~/x/node_modules"},
		{name: "in ~/node_modules", command: "node ~/node_modules/srv/i.js", files: "node_modules/srv/i.js : x",
			args: "~/node_modules/srv/i.js", prefixes: "~/node_modules"},
		{name: "nested node_modules", command: "node ~/x/node_modules/a/node_modules/b/i.js", files: "x/node_modules/a/node_modules/b/i.js : x",
			args: "~/x/node_modules/a/node_modules/b/i.js", prefixes: "~/x/node_modules"},
		{name: "package.json", command: "node dist/index.js", files: "work/dist/index.js : x\n work/package.json : {}",
			args: "~/work/dist/index.js", prefixes: "~/work"},
		{name: "without suffix", command: "node dist/index", files: "work/dist/index.js : x\n work/package.json : {}",
			args: "~/work/dist/index.js", prefixes: "~/work"},
		{name: "a directory", command: "node .", files: "work/index.js : x\n work/package.json : {}", args: "~/work", prefixes: "~/work"},
		{name: "package.json in home does not count", command: "node ~/src/a/i.js", files: "package.json : {}\n src/a/i.js : x",
			args: "~/src/a/i.js", prefixes: "~/src/a"},
		{name: "workspace", command: "node ~/ws/packages/a/i.js",
			files: `ws/packages/a/i.js : x
				ws/packages/a/package.json : {}
				ws/packages/a/node_modules/b -> ../../b
				ws/packages/a/node_modules/left -> ../../../node_modules/.pnpm/left@1/node_modules/left
				ws/packages/b/package.json : {}
				ws/packages/secret/x : x
				ws/node_modules/.pnpm/left@1/node_modules/left/i.js : x`,
			args: "~/ws/packages/a/i.js", prefixes: "~/ws/node_modules ~/ws/packages/a ~/ws/packages/b"},
		{name: "pnpm's store", command: "node ~/x/node_modules/a/i.js",
			files: `x/node_modules/a -> ~/.local/share/pnpm/store/v10/links/a/1/h/node_modules/a
				.local/share/pnpm/store/v10/links/a/1/h/node_modules/a/i.js : x
				.local/share/pnpm/store/v10/links/b/1/h/node_modules/b/i.js : x
				.local/share/pnpm/store/v10/files/00 : x
				x/node_modules/@s/b -> ~/.local/share/pnpm/store/v10/links/b/1/h/node_modules/b
				x/node_modules/dangling -> ../nowhere`,
			args: "~/x/node_modules/a/i.js", prefixes: "~/.local/share/pnpm/store/v10/links",
			single: "~/x/node_modules/a/i.js"},
		{name: "npm link", command: "node ~/x/node_modules/a/i.js",
			files: `x/node_modules/a/i.js : x
				x/node_modules/mine -> ~/src/mine
				src/mine/package.json : {}
				src/mine/node_modules/far -> ~/src/far
				src/far/package.json : {}
				src/other/package.json : {}`,
			args: "~/x/node_modules/a/i.js", prefixes: "~/src/far ~/src/mine ~/x/node_modules"},
		{name: "link to home is not followed", command: "node ~/x/node_modules/a/i.js", files: "x/node_modules/a/i.js : x\n x/node_modules/h -> ~",
			args: "~/x/node_modules/a/i.js", prefixes: "~/x/node_modules"},
		{name: "alone in home", command: "node ~/srv.js", files: "srv.js : x", args: "~/srv.js", single: "~/srv.js"},
		{name: "alone in Downloads", command: "python3 ~/Downloads/srv.py", files: "Downloads/srv.py : x", args: "~/Downloads/srv.py", single: "~/Downloads/srv.py"},
		{name: "alone in a dot directory", command: "python3 ~/.secrets/srv.py", files: ".secrets/srv.py : x", args: "~/.secrets/srv.py", single: "~/.secrets/srv.py"},
		{name: "own directory", command: "python3 ~/src/srv/main.py", files: "src/srv/main.py : x\n src/srv/lib.py : x", args: "~/src/srv/main.py", prefixes: "~/src/srv"},
		{name: "through a link", command: "node ~/cur/i.js", files: "rel-1/i.js : x\n rel-1/package.json : {}\n cur -> rel-1",
			args: "~/cur/i.js", prefixes: "~/rel-1", single: "~/cur/i.js"},
		{name: "node preloads", command: "node --require ./pre.js --import=~/src/b/hook.mjs --title x --max-old-space-size=64 work.js data.js",
			files: "work/pre.js : x\n src/b/hook.mjs : x\n work/work.js : x\n work/package.json : {}\n work/data.js : x",
			args:  "--require ~/work/pre.js --import=~/src/b/hook.mjs --title x --max-old-space-size=64 ~/work/work.js data.js", prefixes: "~/src/b ~/work"},
		{name: "node -e", command: "node -e 1 ~/src/a.js", files: "src/a.js : x", args: "-e 1 ~/src/a.js"},
		{name: "node --", command: "node -- ~/src/d/-a.js", files: "src/d/-a.js : x", args: "-- ~/src/d/-a.js", prefixes: "~/src/d"},
		{name: "python -m", command: "python3 -m srv ~/src/a.py", files: "src/a.py : x", args: "-m srv ~/src/a.py"},
		{name: "python -uIm", command: "python3 -uIm srv ~/src/a.py", files: "src/a.py : x", args: "-uIm srv ~/src/a.py"},
		{name: "python -c", command: "python3 -c pass ~/src/a.py", files: "src/a.py : x", args: "-c pass ~/src/a.py"},
		{name: "python -X value", command: "python3 -u -X utf8 -Wignore ~/src/d/a.py", files: "src/d/a.py : x", args: "-u -X utf8 -Wignore ~/src/d/a.py", prefixes: "~/src/d"},
		{name: "python in a package", command: "python3 ~/src/d", files: "src/d/__main__.py : x", args: "~/src/d", prefixes: "~/src/d"},
		{name: "bun run", command: "bun run --preload ./pre.ts srv.ts x.ts", files: "work/pre.ts : x\n work/srv.ts : x\n work/package.json : {}\n work/x.ts : x",
			args: "run --preload ~/work/pre.ts ~/work/srv.ts x.ts", prefixes: "~/work"},
		{name: "bun x", command: "bun x srv", args: "x srv"},
		{name: "deno run", command: "deno run -A --config ~/src/d/deno.json --allow-read=/x ~/src/d/main.ts y",
			files: "src/d/deno.json : {}\n src/d/main.ts : x", args: "run -A --config ~/src/d/deno.json --allow-read=/x ~/src/d/main.ts y", prefixes: "~/src/d"},
		{name: "deno from a registry", command: "deno run -A jsr:@a/b", args: "run -A jsr:@a/b"},
		{name: "java -jar", command: "java -Xmx1g -jar ~/src/d/srv.jar ~/src/data", files: "src/d/srv.jar : x\n src/data/x : x", args: "-Xmx1g -jar ~/src/d/srv.jar ~/src/data", prefixes: "~/src/d"},
		{name: "java -cp", command: "java -cp a.jar:lib/*:~/src/c Main a.jar", files: "work/a.jar : x\n work/lib/b.jar : x\n src/c/Main.class : x",
			args: "-cp ~/work/a.jar:~/work/lib/*:~/src/c Main a.jar", prefixes: "~/src/c ~/work"},
		{name: "dotnet", command: "dotnet ~/src/d/srv.dll", files: "src/d/srv.dll : x", args: "~/src/d/srv.dll", prefixes: "~/src/d"},
		{name: "bash", command: "bash -eu ~/src/d/run.sh", files: "src/d/run.sh : x\n src/d/.env : secret", args: "-eu ~/src/d/run.sh", single: "~/src/d/run.sh"},
		{name: "bash -c", command: "bash -c ~/src/d/run.sh", files: "src/d/run.sh : x", args: "-c ~/src/d/run.sh"},
		{name: "no such file", command: "node nothing.js", args: "nothing.js"},
		{name: "a word of a system program", command: "cat private.txt", args: "private.txt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHome(t, opt+"\n"+c.files)
			p, err := h.find("~/opt/bin", c.command)
			if err != nil {
				t.Fatal(err)
			}
			h.checkShown(t, p)
			if got := h.short(p.Argv[1:]); got != c.args {
				t.Errorf("arguments\n got %s\nwant %s", got, c.args)
			}
			if got := h.short(p.Prefixes); got != c.prefixes {
				t.Errorf("prefixes\n got %s\nwant %s", got, c.prefixes)
			}
			files := slices.DeleteFunc(strings.Fields(h.short(p.Files)), func(s string) bool { return strings.HasPrefix(s, "~/opt/bin/") })
			if got := strings.Join(files, " "); got != c.single {
				t.Errorf("files\n got %s\nwant %s", got, c.single)
			}
		})
	}
}

func TestErrors(t *testing.T) {
	const files = `
		work/plain.txt : x
		work/text = echo no first line
		work/empty = #!
		work/lost = #!/nowhere/python
		work/lost-env = #!/usr/bin/env nosuchinterpreter
		work/relative = #!bin/sh
		work/loop = #!~/work/loop
		work/knot -> knot
		.config/mcpbox/tool elf
		.pyenv/shims/python = #!/bin/sh\n
		.pyenv/version : 3.13\n
		.pyenv/versions/3.11.7/bin/python elf
		.asdf/shims/node = # asdf-plugin: nodejs 20.1.0\n
		.asdf/installs/nodejs/20.1.0/bin/node elf
		.local/share/mise/shims/go -> ../../../bin/mise
		.local/bin/mise elf
		.volta/bin/volta-shim elf
		.volta/bin/npx -> volta-shim
		.rye/shims/python elf
		.proto/shims/node elf
		.cargo/bin/rustup elf
		.cargo/bin/cargo -> rustup
		.rustup/toolchains/stable/bin/cargo elf`
	var (
		notFound *NotFoundError
		notExec  *NotExecutableError
		indirect *IndirectError
		forbid   *ForbiddenError
	)
	for _, c := range []struct {
		command string
		target  any
		text    string
	}{
		{"nosuch", &notFound, "find nosuch: not in ~/empty, /usr/bin, /bin; "},
		{"./nosuch", &notFound, "find ./nosuch: there is no ~/work/nosuch; "},
		{"~/private.txt/x", &notFound, "there is no ~/private.txt/x"},
		{"./lost", &notFound, "find /nowhere/python, the interpreter of ~/work/lost: there is no /nowhere/python"},
		{"./lost-env", &notFound, "find nosuchinterpreter, the interpreter of ~/work/lost-env: not in ~/empty"},
		{"./plain.txt", &notExec, "chmod +x ~/work/plain.txt"},
		{"~/work", &notExec, "it is a directory"},
		{"./text", &notExec, "neither a binary nor a script"},
		{"./empty", &notExec, "names no interpreter"},
		{"./relative", &notExec, "not an absolute path"},
		{"./loop", &notExec, "too deep"},
		{"./knot", &notExec, "too many levels of symbolic links"},
		{"/dev/null", &notExec, "not a regular file"},
		{"~/.config/mcpbox/tool", &forbid, "mcpbox's own directory"},
		{"~/.pyenv/shims/python", &indirect, "~/.pyenv/version selects (3.13); name the program instead, such as ~/.pyenv/versions/3.11.7/bin/python"},
		{"~/.asdf/shims/node", &indirect, "such as ~/.asdf/installs/nodejs/20.1.0/bin/node"},
		{"~/.local/share/mise/shims/go", &indirect, "type: mise which go"},
		{"~/.volta/bin/npx", &indirect, "type: volta which npx"},
		{"~/.rye/shims/python", &indirect, "~/work/.venv/bin/python"},
		{"~/.proto/shims/node", &indirect, "type: proto bin node"},
		{"~/.cargo/bin/cargo", &indirect, "such as ~/.rustup/toolchains/stable/bin/cargo"},
	} {
		h := newHome(t, files)
		p, err := h.find("~/empty:relative::~/empty/.", c.command)
		if err == nil || !errors.As(err, c.target) {
			t.Errorf("%s: %+v, error %v", c.command, p, err)
			continue
		}
		if got := strings.ReplaceAll(err.Error(), h.dir, "~"); !strings.Contains(got, c.text) {
			t.Errorf("%s: error %q, want %q", c.command, got, c.text)
		}
	}
	if _, err := Find(Query{Env: os.Getenv}); err == nil {
		t.Error("no command, but no error")
	}
}

// A program in the working directory is not found by its bare name, whatever
// PATH says.
func TestWorkingDirectoryIsNotSearched(t *testing.T) {
	h := newHome(t, "work/tool elf")
	h.vars["PATH"] = ".::relative"
	h.cwd = h.dir + "/work"
	if p, err := h.find("", "tool"); err == nil {
		t.Errorf("found %s", p.Exec)
	}
	if p, err := h.find("", "./tool"); err != nil || p.Exec != h.cwd+"/tool" {
		t.Errorf("./tool: %s, %v", p.Exec, err)
	}
}

func TestShebang(t *testing.T) {
	for _, c := range []struct {
		head, interp, args string
		search             bool
	}{
		{"#!/bin/sh\n", "/bin/sh", "", false},
		{"#! /bin/sh -e \r\nx", "/bin/sh", "-e", false},
		{"#!/usr/bin/awk -f -v x", "/usr/bin/awk", "-f -v x", false},
		{"#!/usr/bin/env node\n", "node", "", true},
		{"#!/usr/bin/env\tnode", "node", "", true},
		{"#!/usr/bin/env node --flag\n", "node --flag", "", true}, // as the kernel does: one argument
		{"#!/usr/bin/env -S node --flag 'a b' \"c\\\"d\"\n", "node", "--flag|a b|c\"d", true},
		{"#!/usr/bin/env -S deno run -A\n", "deno", "run|-A", true},
		{"#!/usr/bin/env -S -i -u X A=1 node x", "node", "x", true},
		{"#!/usr/bin/env -S -a other node x", "node", "x", true},
		{"#!/usr/bin/env -S --argv0 other node x", "node", "x", true},
		{"#!/usr/bin/env -S --arg other --argv0=y -aother node x", "node", "x", true},
		{"#!/usr/bin/env -S -iu X -uY -C / -- A=1 node x", "node", "x", true},
		{"#!/usr/bin/env -Snode x", "node", "x", true},
		{"#!/usr/bin/env -vS node x", "node", "x", true},
		{"#!/usr/bin/env --split-string=node x", "node", "x", true},
		{"#!/usr/bin/env -S /opt/x/node", "/opt/x/node", "", true},
		{"#!/usr/bin/env -S", "/usr/bin/env", "-S", false},
		{"#!/usr/bin/env", "/usr/bin/env", "", false},
		{"#!/bin/sh\n'''exec' \"/a b/python\" \"$0\" \"$@\"\n' '''\n", "/a b/python", "", false},
		{"#!/bin/sh\n'''exec' /a/python3 \"$0\" \"$@\"\n", "/a/python3", "", false},
		{"#!", "", "", false},
		{"#!   \n", "", "", false},
	} {
		interp, args, search := shebang(c.head)
		if interp != c.interp || strings.Join(args, "|") != c.args || search != c.search {
			t.Errorf("%q: %q %q %v; want %q %q %v", c.head, interp, args, search, c.interp, c.args, c.search)
		}
	}
}

func FuzzShebang(f *testing.F) {
	f.Add("#!/usr/bin/env -S node 'a\n")
	f.Add("#!/bin/sh\n'''exec' \"")
	f.Fuzz(func(t *testing.T, head string) {
		interp, args, _ := shebang(head)
		if strings.Contains(interp, "\n") && !strings.HasPrefix(head, "#!/bin/sh") || len(args) > len(head) {
			t.Errorf("%q: %q %q", head, interp, args)
		}
	})
}

// A dynamic binary that carries its libraries beside it: the directory that its
// run path names is shown, and it starts.
func TestRunPath(t *testing.T) {
	gcc := need(t, "gcc")
	for name, flag := range map[string]string{"RUNPATH": "-Wl,--enable-new-dtags", "RPATH": "-Wl,--disable-new-dtags"} {
		h := newHome(t, "src/a.c : int deep(void); int near(void) { return deep(); }\n src/b.c : int deep(void) { return 7; }\n src/m.c : int near(void); int main(void) { return near() != 7; }\n app/libx/keep : x\n app/run/keep : x\n app/data : secret")
		run := func(args ...string) {
			cmd := exec.Command(gcc, args...)
			cmd.Dir = h.dir
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("gcc %q: %v: %s", args, err, out)
			}
		}
		run("-shared", "-fPIC", "-o", "app/libx/libdeep.so.1.2", "src/b.c", "-Wl,-soname,libdeep.so.1")
		if err := os.Symlink("libdeep.so.1.2", h.dir+"/app/libx/libdeep.so.1"); err != nil {
			t.Fatal(err)
		}
		run("-shared", "-fPIC", "-o", "app/libx/libnear.so", "src/a.c", "app/libx/libdeep.so.1", "-Wl,-soname,libnear.so", flag, "-Wl,-rpath,$ORIGIN")
		run("-o", "app/run/srv", "src/m.c", "app/libx/libnear.so", flag, "-Wl,-rpath,$ORIGIN/../libx", "-Wl,-rpath-link,app/libx")
		p, err := h.find("", "~/app/run/srv")
		if err != nil {
			t.Fatal(err)
		}
		h.checkShown(t, p)
		if h.short(p.Prefixes) != "~/app/libx" || h.short(p.Files) != "~/app/run/srv" {
			t.Errorf("%s: prefixes %s, files %s", name, h.short(p.Prefixes), h.short(p.Files))
		}
		if out, err := inBox(t, p, h.cwd); err != nil {
			t.Errorf("%s: in a box: %v: %s", name, err, out)
		}
		p.Prefixes = nil // the control: it does not start without
		if _, err := inBox(t, p, h.cwd); err == nil {
			t.Errorf("%s: starts without its libraries", name)
		}
	}
}

// The interpreters of this machine, wherever they are, start in a box that shows
// what was found, and print what they were asked to.
func TestRealInterpreters(t *testing.T) {
	for _, c := range []struct{ name, code, want string }{
		{"node", "console.log(require('fs').existsSync(process.execPath), 6*7)", "true 42"},
		{"python3", "import json, sys, ssl; print(sys.prefix != '', 6*7)", "True 42"},
	} {
		t.Run(c.name, func(t *testing.T) {
			need(t, c.name)
			cwd, err := os.Getwd()
			if err != nil {
				t.Fatal(err)
			}
			flag := map[string]string{"node": "-e", "python3": "-c"}[c.name]
			p, err := Find(Query{Argv: []string{c.name, flag, c.code}, Env: os.Getenv, Cwd: cwd, Home: os.Getenv("HOME")})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%+v", p)
			if slices.Contains(p.Prefixes, os.Getenv("HOME")) {
				t.Errorf("shows the home directory: %q", p.Prefixes)
			}
			if out, err := inBox(t, p, "/tmp"); err != nil || out != c.want {
				t.Errorf("in a box: %v: %s", err, out)
			}
		})
	}
}

// A virtual environment made by the real tool finds its packages in a box.
func TestRealVenv(t *testing.T) {
	python := need(t, "python3")
	h := newHome(t, "")
	if out, err := exec.Command(python, "-m", "venv", "--without-pip", h.cwd+"/.venv").CombinedOutput(); err != nil && os.Getenv("MCPBOX_REQUIRE") != "" {
		t.Fatalf("%v: %s", err, out)
	} else if err != nil {
		t.Skipf("needs the venv module: %v: %s", err, out)
	}
	h.write(t, "work/srv.py", "import sys; print(sys.prefix)", 0o644)
	h.vars["HOME"] = h.dir
	p, err := h.find("", ".venv/bin/python srv.py")
	if err != nil {
		t.Fatal(err)
	}
	h.checkShown(t, p)
	if out, err := inBox(t, p, "/tmp"); err != nil || out != h.cwd+"/.venv" {
		t.Errorf("in a box: %v: %s", err, out)
	}
}
