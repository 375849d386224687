package packages

import (
	"strings"
	"testing"
)

const twoPrograms = `{"lockfileVersion": 3, "packages": {
	"": {"name": "mcpbox-package"},
	"node_modules/@s/main": {"version": "1.0.0", "resolved": "https://reg.example/a.tgz", "integrity": "sha512-aa==", "bin": {"main": "dist/main.js", "other": "dist/other.js"}, "hasInstallScript": true},
	"node_modules/dep": {"name": "alias", "version": "2.0.0", "resolved": "https://reg.example/b.tgz", "integrity": "sha512-bb==", "bin": {"tool": "./t.js"}},
	"node_modules/dep/node_modules/inner": {"version": "3.0.0", "inBundle": true}
}}`

func TestParseLock(t *testing.T) {
	l, err := parseLock([]byte(twoPrograms))
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Packages) != 3 || l.Top("dep").Name != "alias" || l.Top("@s/main").Name != "@s/main" || l.Top("inner") != nil {
		t.Errorf("%+v", l.Packages)
	}
	if s := l.Scripts(); len(s) != 1 || s[0] != "@s/main" {
		t.Error(s)
	}
	if h := l.Hosts(); len(h) != 1 || h[0] != "https://reg.example" {
		t.Error(h)
	}
	digest := l.Digest(nil)
	if !strings.HasPrefix(digest, "sha256-") || digest == l.Digest([]string{"@s/main"}) {
		t.Error(digest)
	}
	// Only what is installed counts, and all of it.
	for change, same := range map[string]bool{
		`"sha512-aa==" "sha512-ab=="`:         false,
		`"sha512-bb==" "sha512-ab=="`:         false,
		`"version":"2.0.0" "version":"2.0.1"`: false,
		`mcpbox-package another`:              true,
	} {
		old, new, _ := strings.Cut(change, " ")
		text := strings.ReplaceAll(strings.ReplaceAll(twoPrograms, `": "`, `":"`), old, new)
		changed, err := parseLock([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if (changed.Digest(nil) == digest) != same {
			t.Errorf("%s: same is %v", change, !same)
		}
	}
}

func TestParseLockRefuses(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"no integrity":        {`"integrity": "sha512-aa==", `, ``, "no integrity hash"},
		"an unknown hash":     {`sha512-aa`, `md5-aa`, "no integrity hash"},
		"a repository":        {`https://reg.example/a.tgz`, `git+https://reg.example/a.git#aa`, "it comes from"},
		"a file":              {`https://reg.example/a.tgz`, `file:../a.tgz`, "it comes from"},
		"a link":              {`"integrity": "sha512-aa=="`, `"link": true`, "not a package of a registry"},
		"a place outside":     {`node_modules/dep"`, `node_modules/../../dep"`, "not a package of a registry"},
		"a workspace":         {`"node_modules/dep"`, `"dep"`, "not a package of a registry"},
		"nothing":             {twoPrograms, `{"lockfileVersion": 3}`, "before 7"},
		"an old one":          {`"lockfileVersion": 3`, `"lockfileVersion": 1`, "before 7"},
		"something else":      {twoPrograms, `[]`, "read the lock"},
		"an absolute package": {`"node_modules/dep"`, `"/node_modules/dep"`, "not a package of a registry"},
	} {
		if _, err := parseLock([]byte(strings.Replace(twoPrograms, c.old, c.new, 1))); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestProgram(t *testing.T) {
	for _, c := range []struct{ old, new, bin, want string }{
		{"", "", "", "node_modules/@s/main/dist/main.js"},
		{"", "", "other", "node_modules/@s/main/dist/other.js"},
		{"", "", "tool", "node_modules/dep/t.js"},
		{"", "", "missing", `! has a program "missing"`},
		{`{"main": "dist/main.js", "other": "dist/other.js"}`, `{"x": "x.js"}`, "", "node_modules/@s/main/x.js"},
		{`"main": "dist/main.js"`, `"x": "x.js"`, "", "! has several programs; its programs are other, x: choose one"},
		{`"main": "dist/main.js", "other": "dist/other.js"`, `"x": "x.js", "y": "x.js"`, "", "node_modules/@s/main/x.js"},
		{`"main": "dist/main.js", "other": "dist/other.js"`, ``, "", "! has no program to run"},
		{`dist/main.js`, `../../../../etc/x`, "", "! lies outside"},
		{`dist/main.js`, `../main-evil/x`, "", "! lies outside"},
	} {
		l, err := parseLock([]byte(strings.Replace(twoPrograms, c.old, c.new, 1)))
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.Program(&Request{Kind: NPM, Packages: []Spec{{Name: "@s/main"}, {Name: "dep"}}, Bin: c.bin})
		if err != nil {
			got = "! " + err.Error()
		}
		if want, bad := strings.CutPrefix(c.want, "! "); bad != (err != nil) || !strings.Contains(got, want) {
			t.Errorf("%s %s: %s, want %s", c.new, c.bin, got, c.want)
		}
	}
}
