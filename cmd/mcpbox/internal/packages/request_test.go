package packages

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		line string // split at blanks
		want string // packages, then the program in brackets, then arguments; "" for no runner
	}{
		{"npx -y @modelcontextprotocol/server-filesystem /x -v", "@modelcontextprotocol/server-filesystem | /x -v"},
		{"/usr/bin/npx --yes server@1.2.3", "server@1.2.3 |"},
		{"npx @s/n@latest --help", "@s/n@latest | --help"},
		{"npx -q -y server@^1.2 -- -y", "server@^1.2 | -- -y"},
		{"npx -- server -y", "server | -y"},
		{"npx -y -p @s/n@2 -p other prog a", "@s/n@2 other [prog] | a"},
		{"npx --package=@s/n prog", "@s/n [prog] |"},
		{"npx -y --registry=https://npm.example/ server", "server from https://npm.example/ |"},
		{"npm exec --yes -- server --flag", "server | --flag"},
		{"npm x -y server arg", "server | arg"},
		{"npm exec server -- --flag", "server | --flag"},
		{"npm exec -p a -- prog --flag", "a [prog] | --flag"},
		{"bunx server --x", "server | --x"},
		{"bun x @s/n", "@s/n |"},
		{"pnpm dlx server@beta --x", "server@beta | --x"},
		{"pnpm dlx --package=a prog", "a [prog] |"},
		{"pnpx server", "server |"},
		{"yarn dlx -q server", "server |"},

		{"node npx", ""},
		{"npm start", ""},
		{"npm", ""},
		{"pnpm start", ""},
		{"bun run x", ""},
		{"./npx.js x", ""},
		{"server npx -y x", ""},
	} {
		argv := strings.Fields(c.line)
		r, err := Parse(argv)
		if err != nil {
			t.Errorf("%s: %v", c.line, err)
			continue
		}
		got := ""
		if r != nil {
			got = strings.Join(r.specs(), " ")
			if r.Bin != "" {
				got += " [" + r.Bin + "]"
			}
			if r.Registry != "" {
				got += " from " + r.Registry
			}
			got = strings.TrimRight(got+" | "+strings.Join(r.Args, " "), " ")
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.line, got, c.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for line, want := range map[string]string{
		"npx":                              "no package is named",
		"npx -y":                           "no package is named",
		"npx -c 'server'":                  "-c runs a line of shell",
		"npx --call=server":                "--call runs a line of shell",
		"npx -y --frobnicate server":       "the option --frobnicate is not understood",
		"npx -p":                           "-p has no value",
		"npx -p a ./prog":                  `"./prog" is not the name of a program`,
		"npx ./dir":                        "no package of a registry",
		"npx ../dir":                       "no package of a registry",
		"npx /abs/dir":                     "no package of a registry",
		"npx user/repo":                    "no package of a registry",
		"npx github:user/repo":             "no package of a registry",
		"npx git+https://x.example/y":      "no package of a registry",
		"npx https://x.example/y.tgz":      "no package of a registry",
		"npx server@npm:other":             "there has to be a version",
		"npx server@file:../x":             "there has to be a version",
		"npx server@":                      "there has to be a version",
		"npx @scope":                       "a scope is followed by a slash",
		"npx @../x":                        "no package of a registry",
		"npx @s/..":                        "no package of a registry",
		"npx @s/n/m":                       "no package of a registry",
		"npx --no-install server":          "--no-install forbids to install",
		"npx --yes=false server":           "--yes=false is not understood",
		"npx --registry=ftp://x/ server":   "the registry's address is not understood",
		"npx --registry=http://a:b@x/ srv": "put them into .npmrc",
		"npm exec server --flag":           "--flag would be taken as an option of npm",
		"bunx --bun server":                "--bun runs Node.js programs under Bun",
	} {
		r, err := Parse(strings.Fields(line))
		if wrong := (*NotUnderstoodError)(nil); !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) || r != nil {
			t.Errorf("%s: %v, %v; want %s", line, r, err, want)
		}
		if err != nil && !strings.Contains(err.Error(), "; write it as in: ") {
			t.Errorf("%s: %v: says nothing to type", line, err)
		}
	}
}

// Whatever is understood, no name leads to another directory or is an option, and
// the same line means the same.
func FuzzParse(f *testing.F) {
	for _, line := range []string{"npx\x00-y\x00@s/n@1", "npm\x00exec\x00--\x00a", "npx\x00-p\x00a\x00b", "npx\x00@../..", "npx\x00a@1/2", "go\x00run\x00-tags\x00a\x00example.org/x@v1"} {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, line string) {
		argv := strings.Split(line, "\x00")
		r, err := Parse(argv)
		if err != nil || r == nil {
			return
		}
		again, _ := Parse(argv)
		if !r.Equal(again) || r.Key() != again.Key() || !slices.Equal(r.Args, again.Args) {
			t.Errorf("%q means two things", line)
		}
		for _, p := range r.Packages {
			dir := DirName(p.Name, "1.0.0", "sha256-0123456789abcdef0")
			if strings.Contains(dir, "/") || dir[0] == '.' || strings.HasPrefix(p.Name, "-") || strings.Contains(p.Version, ":") || strings.Contains(p.Version, "/") {
				t.Errorf("%q: %q", line, p)
			}
		}
	})
}
