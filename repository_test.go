package mcpbox_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/policy"
)

// textRule is a pattern that no tracked text file may hold. Patterns and
// samples are put together from halves, so that this file does not break them.
type textRule struct {
	name, reason string
	pattern      string
	allow        []string // files that may hold it once
	bad, good    string
}

var textRules = []textRule{{
	name:    "nothing unfinished",
	reason:  "what is missing belongs into an issue, where somebody finds it.",
	pattern: `\b(TO` + `DO|FIX` + `ME|X` + `XX)\b`,
	bad:     "// TO" + "DO: later",
	good:    "mktemp dir.XX" + "XXXX",
}, {
	name:    "no path of one machine",
	reason:  "the project must build and run wherever it is cloned.",
	pattern: "(^|[\\s\"'`=(,:])/(wo" + "rk|ro" + "ot)/|\\.\\./sha" + "red\\b",
	bad:     "cd /wo" + "rk/main",
	good:    "/proc/1/ro" + "ot/etc",
}, {
	name:    "no registry by name",
	reason:  "registries come from the user's own settings of npm, Go and apt. Only scripts/setup, which runs before there is a Go to ask, names one.",
	pattern: `(proxy|sum)\.gol` + `ang\.org|registry\.npm` + `js\.org|deb\.deb` + `ian\.org|archive\.ubu` + `ntu\.com|pypi\.o` + `rg`,
	allow:   []string{"scripts/setup"},
	bad:     "https://registry.npm" + "js.org/",
	good:    "the npm registry",
}}

func TestTextRules(t *testing.T) {
	for _, r := range textRules {
		t.Run(strings.ReplaceAll(r.name, " ", "-"), func(t *testing.T) {
			re := regexp.MustCompile("(?m)" + r.pattern)
			if !re.MatchString(r.bad) || re.MatchString(r.good) {
				t.Fatalf("the rule does not tell %q from %q", r.bad, r.good)
			}
			for _, name := range tracked(t) {
				text := read(t, name)
				// Lock files are machine-made; sums in them may spell anything.
				if bytes.IndexByte(text, 0) >= 0 || slices.Contains([]string{"package-lock.json", "go.sum"}, path.Base(name)) {
					continue
				}
				found := re.FindAllIndex(text, -1)
				if slices.Contains(r.allow, name) && len(found) == 1 {
					continue
				}
				for _, at := range found {
					line := 1 + bytes.Count(text[:at[0]+1], []byte("\n"))
					t.Errorf("%s:%d: %q: %s", name, line, text[at[0]:at[1]], r.reason)
				}
			}
		})
	}
}

// Every package says in a comment what it is for, and every exported name what
// it means: those comments are the specification.
func TestEverythingIsDocumented(t *testing.T) {
	packages := map[string]bool{} // directory: has a package comment
	for _, s := range sources(t) {
		if s.isTest() {
			continue
		}
		dir := path.Dir(s.path)
		packages[dir] = packages[dir] || s.ast.Doc != nil
		if s.ast.Name.Name == "main" {
			continue
		}
		for _, n := range undocumented(s) {
			t.Errorf("%s:%d: %s is exported and has no comment", s.path, s.fset.Position(n.Pos()).Line, n.Name)
		}
	}
	for dir, documented := range packages {
		if !documented {
			t.Errorf("%s: no file of the package has a package comment", dir)
		}
	}
	sample := parse(t, "x.go", []byte("package x\n\ntype T struct{}\n\n// F is documented.\nfunc F() {}\n\nfunc (T) M() {}\n\nfunc (T) Error() string { return \"\" }\n"))
	if n := undocumented(sample); len(n) != 2 {
		t.Errorf("found %d undocumented names in a file with 2", len(n))
	}
}

func undocumented(s *source) []*ast.Ident {
	var names []*ast.Ident
	for _, d := range s.ast.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			// The meaning of these is fixed by the interfaces they are for.
			known := slices.Contains([]string{"Error", "Is", "Unwrap", "String", "Close", "Read", "Write", "MarshalJSON", "MarshalText", "UnmarshalTOML"}, d.Name.Name)
			if d.Doc == nil && d.Name.IsExported() && !(d.Recv != nil && (known || !exportedReceiver(d.Recv))) {
				names = append(names, d.Name)
			}
		case *ast.GenDecl:
			if v, ok := d.Specs[0].(*ast.ValueSpec); ok && v.Type != nil && d.Tok == token.CONST {
				continue // the values of a type are explained there
			}
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.TypeSpec:
					if d.Doc == nil && spec.Doc == nil && spec.Name.IsExported() {
						names = append(names, spec.Name)
					}
				case *ast.ValueSpec:
					for _, n := range spec.Names {
						if d.Doc == nil && spec.Doc == nil && spec.Comment == nil && n.IsExported() {
							names = append(names, n)
						}
					}
				}
			}
		}
	}
	return names
}

func exportedReceiver(recv *ast.FieldList) bool {
	x := recv.List[0].Type
	if p, ok := x.(*ast.StarExpr); ok {
		x = p.X
	}
	id, ok := x.(*ast.Ident)
	return ok && id.IsExported()
}

// Every direct dependency has a row in the README's table that says why.
func TestReadmeExplainsDependencies(t *testing.T) {
	var mod struct {
		Require []struct {
			Path     string
			Indirect bool
		}
	}
	if err := json.Unmarshal(output(t, "go", "mod", "edit", "-json"), &mod); err != nil {
		t.Fatal(err)
	}
	readme := string(read(t, "README.md"))
	direct := 0
	for _, r := range mod.Require {
		if r.Indirect {
			continue
		}
		direct++
		row := regexp.MustCompile("(?m)^\\| *\\[?`?" + regexp.QuoteMeta(r.Path) + "`?[^|]*\\|[^|]*\\w[^|]*\\|")
		if !row.MatchString(readme) {
			t.Errorf("README.md has no table row that starts with %s and says why it is needed", r.Path)
		}
	}
	if direct == 0 {
		t.Error("go.mod has no direct dependency: this test compares nothing")
	}
}

func TestGoModIsTidy(t *testing.T) {
	cmd := exec.Command("go", "mod", "tidy", "-diff")
	diff, err := cmd.Output()
	var exit *exec.ExitError
	switch {
	case len(diff) > 0:
		t.Errorf("type: go mod tidy\n%s", diff)
	case errors.As(err, &exit) && os.Getenv("MCPBOX_REQUIRE") == "":
		t.Skipf("go mod tidy needs the module proxy: %s", exit.Stderr)
	case err != nil:
		t.Error(err)
	}
}

// tracked names every file that git knows, or would know once added. Without
// git it is every file that is not a product of the build.
func tracked(t *testing.T) []string {
	t.Helper()
	var names []string
	if out, err := exec.Command("git", "ls-files", "-z", "--cached", "--others", "--exclude-standard").Output(); err == nil {
		for _, name := range strings.Split(strings.Trim(string(out), "\x00"), "\x00") {
			if _, err := os.Stat(name); err == nil { // not one that is being removed
				names = append(names, name)
			}
		}
		return slices.Compact(names)
	}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if slices.Contains([]string{".git", "bin", "build", "node_modules"}, d.Name()) {
			return fs.SkipDir
		}
		if d.Type().IsRegular() {
			names = append(names, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func output(t *testing.T, program string, args ...string) []byte {
	t.Helper()
	out, err := exec.Command(program, args...).Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("%s %v: %v\n%s", program, args, err, exit.Stderr)
		}
		t.Fatal(err)
	}
	return out
}

// TestReadmePolicies has the policies that README shows read as mcpbox reads
// them.
func TestReadmePolicies(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllSubmatch(text, -1)
	if len(blocks) < 2 {
		t.Fatalf("%d policies found", len(blocks))
	}
	for _, b := range blocks {
		if _, err := policy.Parse("README.md", b[1]); err != nil {
			t.Error(err)
		}
	}
}
