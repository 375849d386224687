package program

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mcpbox/mcpbox/policy"
)

// secrets are the files that a server would like the next box to show, one of
// each kind of place.
const secrets = `
	.ssh/key.so elf
	.gnupg/private-keys-v1.d/k.key : canary
	.gnupg/private-keys-v1.d/package.json : {}
	.config/gh/hosts.yml : canary
	.config/gh/package.json : {}
	.config/gh/tool elf
	.config/gh/node_modules/p/package.json : {}
	.config/gh/node_modules/p/i.js : canary
	.mozilla/firefox/cookies : canary
	.mozilla/venv/pyvenv.cfg : home = /usr/bin\n
	.mozilla/venv/bin/python -> /usr/bin/true
	.local/share/keyrings/login : canary
	.netrc : canary
	Documents/x/taxes : canary
	Documents/x/tool elf
	Documents/x/i.js : canary
	src/other/package.json : {}
	src/other/i.js : canary
	src/other/run.sh = #!/bin/sh\n
	src/venv/pyvenv.cfg : home = /usr/bin\n
	src/venv/bin/python -> /usr/bin/true
	opt/bin/node elf
	opt/bin/python3 elf`

// canaries are the directories of those, and what always has to stay outside.
var canaries = []string{
	".ssh", ".gnupg", ".config", ".mozilla", ".local/share/keyrings", ".netrc", "Documents", "src",
}

// leak returns which of the paths below home an answer shows, by itself or by
// a link that it names.
func (h *home) leak(p policy.Program, canaries []string) string {
	for _, path := range append(slices.Clone(p.Prefixes), append(p.Files, p.Exec)...) {
		for _, c := range canaries {
			c = filepath.Join(h.dir, c)
			if real := canonical(path); within(real, c) || within(c, real) {
				return path
			}
		}
	}
	return ""
}

// What a server has put into a tree that it can write does not make the next
// box show anything outside, whether the finder knows of the tree or, for
// private files, not. "app" is that tree.
func TestPlanted(t *testing.T) {
	for _, c := range []struct {
		name, files, command string
		// anywhere: the attack aims at private files, and fails even if the
		// finder does not know that the tree was writable.
		anywhere bool
		refused  bool // with an error, not only left out
	}{
		{name: "linked packages", command: "node ~/app/server.js", anywhere: true, files: `
			app/server.js : x
			app/package.json : {}
			app/node_modules/a -> ~/.config/gh
			app/node_modules/b -> ~/.gnupg/private-keys-v1.d
			app/node_modules/c -> ~/.mozilla/firefox
			app/node_modules/d -> ~/Documents/x
			app/node_modules/e -> ~/.local/share/keyrings
			app/node_modules/f -> ~/.ssh
			app/node_modules/g -> ~/.config/gh/node_modules/p
			app/node_modules/@s/h -> ../../../.config/gh`},
		{name: "linked package in a package", command: "node ~/app/node_modules/m/i.js", anywhere: true, files: `
			app/node_modules/m/i.js : x
			app/node_modules/b -> ~/.gnupg/private-keys-v1.d`},
		{name: "linked package through a link", command: "node ~/app/node_modules/m/i.js", anywhere: true, files: `
			app/node_modules/m/i.js : x
			app/up -> ~/.gnupg
			app/node_modules/b -> ../up/private-keys-v1.d`},
		{name: "linked package outside", command: "node ~/app/server.js", files: `
			app/server.js : x
			app/package.json : {}
			app/node_modules/o -> ~/src/other`},
		{name: "node_modules is a link", command: "node ~/app/server.js", anywhere: true, files: `
			app/server.js : x
			app/package.json : {}
			app/node_modules -> ~/Documents/x`},
		{name: "node_modules is a link to another", command: "node ~/app/server.js", anywhere: true, files: `
			app/server.js : x
			app/package.json : {}
			app/node_modules -> ~/.config/gh/node_modules`},
		{name: "script is a link to a key", command: "node ~/app/server.js", anywhere: true, refused: true, files: "app/server.js -> ~/.ssh/id_ed25519"},
		{name: "script is a link to a token", command: "python3 ~/app/server.py", anywhere: true, refused: true, files: "app/server.py -> ../.config/gh/hosts.yml"},
		{name: "script is a link to a dot file", command: "python3 ~/app/server.py", anywhere: true, refused: true, files: "app/server.py -> ~/.netrc"},
		{name: "script is a link to a document", command: "node ~/app/server.js", refused: true, files: "app/server.js -> ~/Documents/x/i.js"},
		{name: "script is a link to a package", command: "node ~/app/server.js", refused: true, files: "app/server.js -> ~/src/other/i.js"},
		{name: "directory of the script is a link", command: "node ~/app/dist/i.js", refused: true, files: "app/dist -> ~/Documents/x"},
		{name: "directory of the script is a link to a private one", command: "node ~/app/dist/id_ed25519", anywhere: true, refused: true, files: "app/dist -> ~/.ssh"},
		{name: "link to a link outside", command: "node ~/app/server.js", refused: true, files: "cur -> src/other/i.js\n app/server.js -> ~/cur"},
		{name: "preload is a link", command: "node --require ~/app/pre.js ~/app/s.js", anywhere: true, refused: true, files: "app/s.js : x\n app/pre.js -> ~/.config/gh/hosts.yml"},
		{name: "directory to run is a link", command: "node ~/app/srv", anywhere: true, refused: true, files: "app/srv -> ~/.config/gh"},
		{name: "program is a link", command: "~/app/tool", anywhere: true, refused: true, files: "app/tool -> ~/.config/gh/tool"},
		{name: "program is a link to a document", command: "~/app/tool", refused: true, files: "app/tool -> ~/Documents/x/tool"},
		{name: "interpreter is a private program", command: "~/app/run", anywhere: true, refused: true, files: "app/run = #!~/.config/gh/tool\n"},
		{name: "interpreter is a document", command: "~/app/run", refused: true, files: "app/run = #!~/Documents/x/tool\n"},
		{name: "interpreter by env", command: "~/app/run", refused: true, files: "app/run = #!/usr/bin/env -S ~/src/other/run.sh\n"},
		{name: "interpreter as pip writes it", command: "~/app/run", refused: true, files: `app/run = #!/bin/sh\n'''exec' "~/src/other/run.sh" "$0" "$@"\n`},
		{name: "interpreter is a key", command: "~/app/run", anywhere: true, refused: true, files: "app/run = #!~/.ssh/id_ed25519\n"},
		{name: "interpreter is a link in the tree", command: "~/app/run", refused: true, files: "app/run = #!~/app/i\n\n app/i -> ~/Documents/x/tool"},
		{name: "home of an environment", command: "python3 ~/app/v/server.py", anywhere: true, refused: true, files: `
			app/v/server.py : x
			app/v/pyvenv.cfg : home = ~/.config/gh\n
			.config/gh/python3 elf`},
		{name: "home of an environment is text", command: "python3 ~/app/v/server.py", anywhere: true, refused: true, files: `
			app/v/server.py : x
			app/v/pyvenv.cfg : home = ~/app/base\n
			app/base/python3 -> ~/.ssh/id_ed25519`},
		{name: "home of an environment outside", command: "python3 ~/app/v/server.py", refused: true, files: `
			app/v/server.py : x
			app/v/pyvenv.cfg : home = ~/src/venv/bin\n
			src/venv/bin/python3 elf`},
		{name: "pyvenv.cfg is a link", command: "python3 ~/app/v/server.py", refused: true, files: `
			app/v/server.py : x
			app/v/pyvenv.cfg -> ~/app/cfg
			app/cfg : home = ~/Documents/x\n
			Documents/x/python3 elf`},
		{name: "another environment on the way", command: "~/app/python", files: "app/python -> ~/src/venv/bin/python"},
		{name: "another environment on the way of a directory", command: "~/app/bin/python", files: "app/bin -> ~/src/venv/bin"},
		{name: "another private environment on the way", command: "~/app/python", anywhere: true, files: "app/python -> ~/.mozilla/venv/bin/python"},
		{name: "library of an interpreter is a link", command: "~/app/bin/python3", anywhere: true, files: `
			app/bin/python3 elf
			app/lib/python3.9 -> ~/.gnupg/private-keys-v1.d`},
		{name: "package.json above was removed", command: "node ~/src/app/i.js", files: "src/app/i.js : x\n src/package.json : {}"},
		{name: "pnpm's global is a link", command: "~/app/srv", anywhere: true, files: `
			app/srv = #!/bin/sh\nexec "$basedir/global/5/x"\n
			app/global -> ~/.gnupg`},
		{name: "a link below pnpm's global", command: "~/app/srv", anywhere: true, files: `
			app/srv = #!/bin/sh\nexec "$basedir/global/5/x"\n
			app/global/5 -> ~/.config/gh`},
	} {
		for _, known := range []bool{true, false} {
			if !known && !c.anywhere {
				continue
			}
			h := newHome(t, secrets+"\n"+c.files)
			aims := canaries
			if strings.Contains(c.command, "~/src/app") {
				aims = []string{"src/other", "src/venv"}
			}
			if known {
				h.writable = []string{h.dir + "/app", h.dir + "/src/app"}
			}
			p, err := h.find("~/opt/bin", c.command)
			var forbidden *ForbiddenError
			switch {
			case err == nil && c.refused && known:
				t.Errorf("%s: nothing refused: %+v", c.name, p)
			case err != nil && !errors.As(err, &forbidden) && !errors.As(err, new(*NotExecutableError)):
				t.Errorf("%s: %v", c.name, err)
			case err != nil && !c.refused && known:
				t.Errorf("%s: %v", c.name, err)
			case err == nil && h.leak(p, aims) != "":
				t.Errorf("%s (known %v): shows %s: %+v", c.name, known, h.leak(p, aims), p)
			}
		}
	}
}

// The control of TestPlanted: where nobody writes, the same links lead on, and
// in a writable tree those that lead to what it may.
func TestNotPlanted(t *testing.T) {
	for _, c := range []struct {
		name, files, command, shows string
		writable, readable          string
	}{
		{name: "npm link", command: "node ~/app/i.js", files: "app/i.js : x\n app/package.json : {}\n app/node_modules/o -> ~/src/other", shows: "~/src/other"},
		{name: "npm link, declared", command: "node ~/app/i.js", files: "app/i.js : x\n app/package.json : {}\n app/node_modules/o -> ~/src/other",
			writable: "app", readable: "src/other", shows: "~/src/other"},
		{name: "workspace, writable", command: "node ~/app/a/i.js", files: "app/a/i.js : x\n app/a/package.json : {}\n app/a/node_modules/b -> ../../b\n app/b/package.json : {}",
			writable: "app", shows: "~/app/b"},
		{name: "pnpm's store, from a writable project", command: "node ~/app/i.js", files: `
			app/i.js : x
			app/package.json : {}
			app/node_modules/a -> ~/.local/share/pnpm/store/v10/links/a/1/h/node_modules/a
			.local/share/pnpm/store/v10/links/a/1/h/node_modules/a/package.json : {}`, writable: "app", shows: "~/.local/share/pnpm/store/v10/links"},
		{name: "script through a link", command: "node ~/app/server.js", files: "app/server.js -> ~/src/other/i.js", shows: "~/src/other"},
		{name: "script through a link within", command: "node ~/app/server.js", files: "app/server.js -> v1/i.js\n app/v1/i.js : x\n app/v1/package.json : {}", writable: "app", shows: "~/app/v1"},
		{name: "linked script, declared", command: "node ~/app/server.js", files: "app/server.js -> ~/Documents/x/i.js", writable: "app", readable: "Documents/x", shows: "~/Documents/x/i.js"},
		{name: "private program, declared", command: "~/app/tool", files: "app/tool -> ~/.config/gh/tool", writable: "app", readable: ".config/gh", shows: "~/.config/gh/tool"},
		{name: "private package, named", command: "node ~/.tools/a/i.js", files: ".tools/a/i.js : x\n .tools/a/package.json : {}", shows: "~/.tools/a"},
		{name: "private script, named", command: "python3 ~/.tools/b/i.py", files: ".tools/b/i.py : x\n .tools/b/token : x", shows: "~/.tools/b/i.py"},
		{name: "installer's link", command: "claudette", files: ".local/bin/claudette -> ~/.claudette/v1/claudette\n .claudette/v1/claudette elf", shows: "~/.claudette/v1/claudette"},
		{name: "interpreter outside", command: "~/app/run", files: "app/run = #!~/Documents/x/tool\n", shows: "~/Documents/x/tool"},
		{name: "interpreter of nvm, in a writable project", command: "~/app/run", files: "app/run = #!~/.nvm/versions/node/v20/bin/node\n\n .nvm/versions/node/v20/bin/node elf",
			writable: "app", shows: "~/.nvm/versions/node/v20"},
		{name: "interpreter on PATH, in a writable project", command: "~/app/run", files: "app/run = #!~/opt/bin/node\n", writable: "app", shows: "~/opt/bin/node"},
		{name: "interpreter by env, in a writable project", command: "~/app/run", files: "app/run = #!/usr/bin/env node\n", writable: "app", shows: "~/opt/bin/node"},
		{name: "environment of a writable project", command: "~/app/.venv/bin/python", files: `
			.pyenv/versions/3.12.1/bin/python elf
			app/.venv/pyvenv.cfg : home = ~/.pyenv/versions/3.12.1/bin\n
			app/.venv/bin/python -> ~/.pyenv/versions/3.12.1/bin/python`, writable: "app", shows: "~/.pyenv/versions/3.12.1"},
		{name: "environment of a Python on PATH", command: "~/app/.venv/bin/python", files: `
			app/.venv/pyvenv.cfg : home = ~/opt/bin\n
			app/.venv/bin/python -> ~/opt/bin/python3`, writable: "app", shows: "~/opt/bin/python3"},
		{name: "environment in ~/.virtualenvs", command: "~/.virtualenvs/a/bin/python", files: `
			.virtualenvs/a/pyvenv.cfg : home = /usr/bin\n
			.virtualenvs/a/bin/python -> /usr/bin/true`, shows: "~/.virtualenvs/a"},
		{name: "another environment on the way", command: "~/app/python", files: "app/python -> ~/src/venv/bin/python", shows: "~/src/venv"},
		{name: "package.json above", command: "node ~/src/app/i.js", files: "src/app/i.js : x\n src/package.json : {}", shows: "~/src"},
		{name: "package.json above a writable tree", command: "node ~/src/app/i.js", files: "src/app/i.js : x\n src/package.json : {}\n src/node_modules/a/i.js : x",
			writable: "src/app", shows: "~/src/node_modules ~/src/package.json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHome(t, secrets+"\n"+c.files)
			for _, dir := range strings.Fields(c.writable) {
				h.writable = append(h.writable, filepath.Join(h.dir, dir))
			}
			for _, dir := range strings.Fields(c.readable) {
				h.readable = append(h.readable, filepath.Join(h.dir, dir))
			}
			p, err := h.find("~/opt/bin:~/.local/bin", c.command)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range strings.Fields(c.shows) {
				if want = h.expand(want); !slices.Contains(p.Prefixes, want) && !slices.Contains(p.Files, want) {
					t.Errorf("does not show %s: %+v", want, p)
				}
			}
			if h.leak(p, []string{".ssh", ".gnupg", ".mozilla", ".config/gh/hosts.yml", ".tools/b/token"}) != "" {
				t.Errorf("shows too much: %+v", p)
			}
		})
	}
}

// A made-up binary names a key as its loader, or a directory of secrets as
// where its libraries are.
func TestPlantedBinary(t *testing.T) {
	for _, c := range []struct {
		name, loader, runPath, needed string
		anywhere, shown               bool
		readable                      string
	}{
		{name: "loader is a key", loader: "~/.ssh/id_ed25519", anywhere: true},
		{name: "loader is a link to a key", loader: "~/app/ld", anywhere: true},
		{name: "loader is a document", loader: "~/Documents/x/taxes", anywhere: true},
		{name: "loader is a private binary", loader: "~/.ssh/key.so", anywhere: true},
		{name: "loader is a binary outside", loader: "~/Documents/x/tool"},
		{name: "library is a key", runPath: "~/.ssh", needed: "id_ed25519", anywhere: true},
		{name: "library beside a key", runPath: "~/.ssh", needed: "key.so", anywhere: true},
		{name: "library is a document", runPath: "$ORIGIN/../../Documents/x", needed: "taxes", anywhere: true},
		{name: "library outside", runPath: "/nowhere:~/Documents/x", needed: "tool"},
		{name: "library is a path", runPath: "~/app", needed: "../.ssh/id_ed25519", shown: true, anywhere: true},
		{name: "loader within", loader: "~/app/ld.so", shown: true, anywhere: true},
		{name: "library within", runPath: "$ORIGIN", needed: "ld.so", shown: true, anywhere: true},
		{name: "loader outside, declared", loader: "~/Documents/x/tool", readable: "Documents", shown: true},
	} {
		for _, known := range []bool{true, false} {
			if !known && !c.anywhere {
				continue
			}
			for _, command := range []string{"~/app/base/python3", "python3 ~/app/sub/server.py"} {
				h := newHome(t, secrets+`
					app/ld.so elf
					app/base/ld.so elf
					app/ld -> ~/.ssh/id_ed25519
					app/sub/server.py : x
					app/sub/pyvenv.cfg : home = ~/app/base\n`)
				h.write(t, "app/base/python3", string(craftELF(h.expand(c.loader), h.expand(c.runPath), h.expand(c.needed))), 0o755)
				if known {
					h.writable = []string{h.dir + "/app"}
				}
				if c.readable != "" {
					h.readable = []string{filepath.Join(h.dir, c.readable)}
				}
				p, err := h.find("~/opt/bin", command)
				aims := canaries
				if c.readable != "" {
					aims = []string{".ssh"}
				}
				switch {
				case c.shown && err != nil:
					t.Errorf("%s: %v", c.name, err)
				case !c.shown && !errors.As(err, new(*ForbiddenError)):
					t.Errorf("%s (known %v): %+v, error %v", c.name, known, p, err)
				case h.leak(p, aims) != "" && err == nil:
					t.Errorf("%s (known %v): shows %s", c.name, known, h.leak(p, aims))
				}
			}
		}
	}
}

// A binary that nothing can be told of but its loader and libraries.
func craftELF(loader, runPath, needed string) []byte {
	const base, heads = 64, 3
	text := "\x00" + loader + "\x00" + runPath + "\x00" + needed + "\x00"
	at := func(s string) uint64 { return uint64(strings.Index(text, "\x00"+s+"\x00") + 1) }
	start := uint64(base + heads*56)
	dynamic := (start + uint64(len(text)) + 15) &^ 15
	var tags []elf.Dyn64
	if needed != "" {
		tags = []elf.Dyn64{{Tag: int64(elf.DT_NEEDED), Val: at(needed)}, {Tag: int64(elf.DT_RUNPATH), Val: at(runPath)}}
	}
	tags = append(tags, elf.Dyn64{Tag: int64(elf.DT_STRTAB), Val: start}, elf.Dyn64{Tag: int64(elf.DT_STRSZ), Val: uint64(len(text))}, elf.Dyn64{})
	sections := dynamic + uint64(len(tags))*16
	head := elf.Header64{Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1, Phoff: base, Ehsize: 64, Phentsize: 56, Phnum: heads,
		Shoff: sections, Shentsize: 64, Shnum: 3, Shstrndx: 1}
	copy(head.Ident[:], "\x7fELF\x02\x01\x01")
	interp := elf.Prog64{Type: uint32(elf.PT_NULL)}
	if loader != "" {
		interp = elf.Prog64{Type: uint32(elf.PT_INTERP), Off: start + 1, Filesz: uint64(len(loader)) + 1}
	}
	var out bytes.Buffer
	for _, part := range []any{
		head, interp,
		elf.Prog64{Type: uint32(elf.PT_LOAD), Filesz: sections, Memsz: sections},
		elf.Prog64{Type: uint32(elf.PT_DYNAMIC), Off: dynamic, Vaddr: dynamic, Filesz: uint64(len(tags)) * 16},
		[]byte(text), make([]byte, dynamic-start-uint64(len(text))), tags,
		elf.Section64{},
		elf.Section64{Type: uint32(elf.SHT_STRTAB), Off: start, Size: uint64(len(text))},
		elf.Section64{Type: uint32(elf.SHT_DYNAMIC), Off: dynamic, Size: uint64(len(tags)) * 16, Link: 1, Entsize: 16},
	} {
		if err := binary.Write(&out, binary.LittleEndian, part); err != nil {
			panic(err) // fixed sizes, into memory
		}
	}
	return out.Bytes()
}

// A package of another user is not linked into a box.
func TestOwned(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to give files away")
	}
	h := newHome(t, "src/o/package.json : {}")
	f := newFinder(Query{Env: func(string) string { return "" }, Home: h.dir})
	for _, c := range []struct {
		name string
		uid  int
		want bool
	}{{"package.json", 12345, false}, {"package.json", 0, true}, {"", 12345, false}, {"", 0, true}} {
		if err := os.Chown(filepath.Join(h.dir, "src/o", c.name), c.uid, -1); err != nil {
			t.Fatal(err)
		}
		if got := f.isPackage(h.dir + "/src/o"); got != c.want {
			t.Errorf("%q owned by %d: %v", c.name, c.uid, got)
		}
	}
}

// Settings that would never end, or never begin, hold nobody up.
func TestReadSmall(t *testing.T) {
	h := newHome(t, "app/small : one\\ntwo")
	h.write(t, "app/large", "", 0o644)
	if err := os.Truncate(h.dir+"/app/large", maxSmall+1); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(h.dir+"/app/pipe", 0o644); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"small": "one|two", "large": "", "pipe": "", "missing": "", ".": ""} {
		if got := strings.Join(readLines(h.dir+"/app/"+name), "|"); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
}
