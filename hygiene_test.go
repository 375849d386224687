package mcpbox_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// source is one Go file of the repository.
type source struct {
	path string // from the repository's root, with slashes
	text []byte
	fset *token.FileSet
	ast  *ast.File
}

func (s *source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// in reports whether s lies in one of the directories, or is one of the files.
func (s *source) in(paths ...string) bool {
	return slices.ContainsFunc(paths, func(p string) bool { return s.path == p || strings.HasPrefix(s.path, p+"/") })
}

// rule is something that source files may not do.
type rule struct {
	name   string
	reason string
	find   func(*source) []ast.Node // what breaks the rule; a nil node is the whole file

	// A file that breaks the rule, and one like it that does not.
	bad, good sample
}

type sample struct{ path, text string }

var rules = []rule{{
	name:   "stdout is the protocol",
	reason: "one stray line on stdout of `mcpbox run` breaks the host's JSON-RPC. Commands write to the writers of their console, which main.go alone fills; programs of integration/ and examples/ have a stdout of their own.",
	find: func(s *source) []ast.Node {
		if s.isTest() || s.in("cmd/mcpbox/main.go", "integration", "examples") {
			return nil
		}
		return slices.Concat(
			uses(s, "fmt", "Print", "Printf", "Println"),
			uses(s, "os", "Stdout"),
			calls(s, "print", "println"))
	},
	bad:  sample{"bridge/x.go", `package bridge; import "fmt"; func f() { fmt.Println("hello") }`},
	good: sample{"bridge/x.go", `package bridge; import ("fmt"; "io"); func f(w io.Writer) { fmt.Fprintln(w, "hello") }`},
}, {
	name:   "decisions are made on the exact bytes",
	reason: "encoding/json takes the last of two equal keys and matches keys in any case, so what a decision sees may differ from what the other side sees. Use jsontext where a message or a connection is judged.",
	find: func(s *source) []ast.Node {
		if s.isTest() || !s.in("bridge", "netfilter") {
			return nil
		}
		return uses(s, "encoding/json", "Unmarshal", "NewDecoder")
	},
	bad:  sample{"bridge/x.go", `package bridge; import "encoding/json"; func f(b []byte) (v struct{ ID int }) { json.Unmarshal(b, &v); return }`},
	good: sample{"bridge/x.go", `package bridge; import "encoding/json"; func f(v int) { json.Marshal(v) }`},
}, {
	name:   "no func init",
	reason: "start-up is paid once per server and once more in the box; hidden work there cannot be ordered, tested or left out.",
	find: func(s *source) []ast.Node {
		return functions(s, func(f *ast.FuncDecl) bool { return f.Recv == nil && f.Name.Name == "init" })
	},
	bad:  sample{"policy/x.go", `package policy; func init() {}`},
	good: sample{"policy/x.go", `package policy; type t struct{}; func (t) init() {}`},
}, {
	name:   "no work before main",
	reason: "a regular expression, template or environment variable that is read at package level costs every start of every server, also those that never use it. Make it in the function that needs it, or behind sync.OnceValue.",
	find: func(s *source) []ast.Node {
		var found []ast.Node
		for _, d := range s.ast.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.VAR {
				found = append(found, usesIn(s, g, "regexp", "MustCompile", "MustCompilePOSIX", "Compile")...)
				found = append(found, usesIn(s, g, "os", "Getenv", "LookupEnv", "Environ", "Getwd", "Hostname", "ReadFile", "Open")...)
				found = append(found, usesIn(s, g, "text/template", "Must", "New")...)
				found = append(found, usesIn(s, g, "html/template", "Must", "New")...)
			}
		}
		return found
	},
	bad:  sample{"policy/x.go", `package policy; import "regexp"; var re = regexp.MustCompile("a")`},
	good: sample{"policy/x.go", `package policy; import "regexp"; var f = func() { regexp.MustCompile("a") }`},
}, {
	name:   "no os.Create",
	reason: "it follows a symbolic link that somebody else planted, truncates what it finds, and makes files that others can read. Use os.OpenFile with O_EXCL or O_NOFOLLOW and an explicit mode, or write beside and rename.",
	find:   func(s *source) []ast.Node { return uses(s, "os", "Create") },
	bad:    sample{"cmd/mcpbox/x.go", `package main; import "os"; func f() { os.Create("x") }`},
	good:   sample{"cmd/mcpbox/x.go", `package main; import "os"; func f() { os.CreateTemp("", "x") }`},
}, {
	name:   "only main exits",
	reason: "os.Exit runs no deferred call, so a box, a journal or a temporary directory would stay behind. Return an error. The stages of the box end by it too: they are processes whose main is elsewhere.",
	find: func(s *source) []ast.Node {
		if s.isTest() { // a test binary that plays another program
			return nil
		}
		found := slices.Concat(uses(s, "os", "Exit"), uses(s, "log", "Fatal", "Fatalf", "Fatalln"))
		if s.in("sandbox/native/internal/stage", "sandbox/containerd/internal/pid1") {
			return nil
		}
		var allowed []ast.Node
		for _, f := range functions(s, func(f *ast.FuncDecl) bool {
			return f.Recv == nil && f.Name.Name == "main" && s.ast.Name.Name == "main"
		}) {
			allowed = append(allowed, usesIn(s, f, "os", "Exit")...)
		}
		return slices.DeleteFunc(found, func(n ast.Node) bool { return slices.Contains(allowed, n) })
	},
	bad:  sample{"cmd/mcpbox/x.go", `package main; import "os"; func f() { os.Exit(1) }`},
	good: sample{"cmd/mcpbox/x.go", `package main; import "os"; func main() { os.Exit(1) }`},
}, {
	name:   "files are short",
	reason: "a file over 400 lines is one that nobody reads whole. Split it by what its parts are about.",
	find: func(s *source) []ast.Node {
		if bytes.Count(s.text, []byte("\n")) > 400 {
			return []ast.Node{nil}
		}
		return nil
	},
	bad:  sample{"policy/x.go", "package policy\n" + strings.Repeat("\n", 400)},
	good: sample{"policy/x.go", "package policy\n" + strings.Repeat("\n", 399)},
}, {
	name:   "packages say what they are",
	reason: "a package called by one of these words takes in anything. Name it after the noun it is about.",
	find: func(s *source) []ast.Node {
		vague := []string{"base", "common", "core", "factory", "helper", "helpers", "lib", "manager", "misc", "service", "services", "shared", "tools", "types", "util", "utils"}
		if slices.Contains(vague, strings.TrimSuffix(s.ast.Name.Name, "_test")) {
			return []ast.Node{s.ast.Name}
		}
		return nil
	},
	bad:  sample{"util/x.go", `package util`},
	good: sample{"policy/x.go", `package policy`},
}, {
	name:   "gofmt",
	reason: "one layout for everybody. Type: gofmt -w .",
	find: func(s *source) []ast.Node {
		if out, err := format.Source(s.text); err != nil || !bytes.Equal(out, s.text) {
			return []ast.Node{nil}
		}
		return nil
	},
	bad:  sample{"policy/x.go", "package  policy\n"},
	good: sample{"policy/x.go", "package policy\n"},
}}

func TestRules(t *testing.T) {
	files := sources(t)
	if len(files) < 20 {
		t.Fatalf("only %d Go files found", len(files))
	}
	for _, r := range rules {
		t.Run(strings.ReplaceAll(r.name, " ", "-"), func(t *testing.T) {
			for _, s := range files {
				for _, n := range r.find(s) {
					where := s.path
					if n != nil {
						where = fmt.Sprintf("%s:%d", s.path, s.fset.Position(n.Pos()).Line)
					}
					t.Errorf("%s: %s: %s", where, r.name, r.reason)
				}
			}
		})
	}
}

// Each rule finds its bad sample, and lets its good one pass.
func TestRulesFindWhatTheyForbid(t *testing.T) {
	for _, r := range rules {
		if len(r.find(parse(t, r.bad.path, []byte(r.bad.text)))) == 0 {
			t.Errorf("%q does not find its bad sample", r.name)
		}
		if n := len(r.find(parse(t, r.good.path, []byte(r.good.text)))); n > 0 {
			t.Errorf("%q finds %d faults in its good sample", r.name, n)
		}
	}
}

// sources parses every Go file that git knows, or would know once added.
func sources(t *testing.T) []*source {
	t.Helper()
	var list []*source
	for _, name := range tracked(t) {
		if path.Ext(name) == ".go" {
			list = append(list, parse(t, name, read(t, name)))
		}
	}
	return list
}

func parse(t *testing.T, name string, text []byte) *source {
	t.Helper()
	s := &source{path: name, text: text, fset: token.NewFileSet()}
	var err error
	if s.ast, err = parser.ParseFile(s.fset, name, text, parser.ParseComments); err != nil {
		t.Fatal(err)
	}
	return s
}

// uses finds names of the package with the given import path.
func uses(s *source, importPath string, names ...string) []ast.Node {
	return usesIn(s, s.ast, importPath, names...)
}

func usesIn(s *source, within ast.Node, importPath string, names ...string) []ast.Node {
	local := ""
	for _, spec := range s.ast.Imports {
		if p, _ := strconv.Unquote(spec.Path.Value); p == importPath {
			local = path.Base(importPath)
			if spec.Name != nil {
				local = spec.Name.Name
			}
		}
	}
	var found []ast.Node
	ast.Inspect(within, func(n ast.Node) bool {
		if _, ok := n.(*ast.FuncLit); ok {
			// A function in a variable does nothing until it is called.
			_, isVar := within.(*ast.GenDecl)
			return !isVar
		}
		if sel, ok := n.(*ast.SelectorExpr); ok && slices.Contains(names, sel.Sel.Name) {
			if x, ok := sel.X.(*ast.Ident); ok && local != "" && x.Name == local {
				found = append(found, sel)
			}
		}
		return true
	})
	return found
}

// calls finds calls of functions without a package, such as builtins.
func calls(s *source, names ...string) []ast.Node {
	var found []ast.Node
	ast.Inspect(s.ast, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			if f, ok := c.Fun.(*ast.Ident); ok && slices.Contains(names, f.Name) {
				found = append(found, c)
			}
		}
		return true
	})
	return found
}

func functions(s *source, is func(*ast.FuncDecl) bool) []ast.Node {
	var found []ast.Node
	for _, d := range s.ast.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && is(f) {
			found = append(found, f)
		}
	}
	return found
}
