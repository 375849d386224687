package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/journal"
	"github.com/mcpbox/mcpbox/policy"
	"github.com/opencontainers/runtime-spec/specs-go"
)

func TestNameOf(t *testing.T) {
	for _, c := range []struct{ argv, want string }{
		// A program is called what its file is.
		{"github-mcp-server stdio", "github-mcp-server"},
		{"/opt/x/bin/mcp-grafana", "mcp-grafana"},
		{"./server", "server"},
		{"server.exe", "server"},
		{"git status", "git"},
		// An interpreter's server is its script, or the script's package.
		{"node /p/birds.js", "birds"},
		{"node --max-old-space-size=99 /p/birds.mjs x", "birds"},
		{"node /p/node_modules/@scope/server-birds/dist/index.js /data", "server-birds"},
		{"node /p/node_modules/birds/dist/index.js", "birds"},
		{"node /p/node_modules/a/node_modules/birds/cli.js", "birds"},
		{"node /p/birds/dist/index.js", "birds"},
		{"node /p/birds/build/src/main.js", "birds"},
		{"python3.12 /p/birds/server.py", "birds"},
		{"/usr/bin/python3 -u /p/birds.py", "birds"},
		{"python3 -m mcp_birds --x", "mcp_birds"},
		{"deno run --allow-read /p/birds.ts", "birds"},
		{"bun run /p/birds.ts", "birds"},
		// Without a script it is the interpreter.
		{"node", "node"},
		{"sh -c exit", "sh"},
		{"node -e 1 /p/birds.js", "node"},
		{"python3 -m", "python3"},
		{"node /index.js", "index"},
	} {
		if got := nameOf(strings.Fields(c.argv)); got != c.want {
			t.Errorf("nameOf(%s) = %q, want %q", c.argv, got, c.want)
		}
	}
}

// Whatever a command is called, its server's name is one that can name a
// directory, and stays in its place.
func FuzzNameOf(f *testing.F) {
	for _, s := range []string{"", "..", "../..", "/", "a/b", "node\x00../x", "node\x00-m\x00..", "\xff", "ä", strings.Repeat("x", 99), "node\x00/p/..js", "-", ".hidden"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, argv string) {
		name := nameOf(strings.Split(argv, "\x00"))
		if err := journal.CheckName(name); err != nil {
			t.Errorf("%q: %v", argv, err)
		}
		if filepath.Base(name) != name {
			t.Errorf("%q gives %q, which is not one name", argv, name)
		}
	})
}

func TestCleanName(t *testing.T) {
	for in, want := range map[string]string{
		"birds":                 "birds",
		"a b":                   "a-b",
		"../x":                  "x",
		"..":                    "server",
		"":                      "server",
		"-x":                    "x",
		"ä":                     "server",
		"x\n":                   "x-",
		strings.Repeat("x", 70): strings.Repeat("x", 64),
	} {
		if got := cleanName(in); got != want {
			t.Errorf("cleanName(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestUndeclared(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"shown", "shown/in", "other", "shown-not"} {
		if err := os.Mkdir(at(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("other", at("link")); err != nil {
		t.Fatal(err)
	}
	facts := policy.Facts{Cwd: dir}
	spec := &specs.Spec{Mounts: []specs.Mount{
		{Type: "bind", Source: at("shown"), Destination: at("shown")},
		{Type: "tmpfs", Source: "tmpfs", Destination: dir},
		{Type: "bind", Source: "/dev/null", Destination: at("other")}, // hidden
	}}
	for _, c := range []struct {
		args, want []string
	}{
		{nil, nil},
		{[]string{at("shown"), at("shown/in"), "./shown", "shown/in"}, nil},
		{[]string{at("other")}, []string{at("other")}},
		{[]string{"./other", "../" + filepath.Base(dir) + "/other", at("link")}, []string{at("other")}},
		{[]string{"--dir=" + at("other"), "-d=./shown-not"}, []string{at("other"), at("shown-not")}},
		{[]string{at("shown-not")}, []string{at("shown-not")}},
		{[]string{"."}, []string{dir}},
		{[]string{"other", "name=" + at("other"), "--other"}, nil}, // words that are no paths
		{[]string{"/", at("missing"), "https://example.com/other", ""}, nil},
	} {
		if got := undeclared(c.args, facts, spec); !slices.Equal(got, c.want) {
			t.Errorf("undeclared(%q) = %q, want %q", c.args, got, c.want)
		}
	}
}

func TestCurrentUmask(t *testing.T) {
	before := currentUmask()
	if after := currentUmask(); after != before {
		t.Errorf("reading the umask changed it from %04o to %04o", before, after)
	}
}
