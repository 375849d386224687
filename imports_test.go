package mcpbox_test

import (
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/mcpbox/mcpbox/"

// arrow says what packages may know of others, directly or through a third.
type arrow struct {
	from   []string // packages, relative to the module; "x/..." has all below x too
	may    []string // of ours: relative; of others: import paths; "..." as above
	all    bool     // judges other modules too, except the standard library
	lean   bool     // only of a program that is built without containerd's client
	not    []string // forbidden whatever may says
	reason string
}

var arrows = []arrow{{
	from:   []string{"policy", "profiles"},
	reason: "what is allowed is decided without knowing who enforces it; every other package may lean on these two.",
}, {
	from:   []string{"sandbox"},
	reason: "it is the vocabulary that every backend shares, so it knows none of them, and no policy.",
}, {
	from:   []string{"sandbox/native/...", "sandbox/containerd/..."},
	may:    []string{"sandbox", "sandbox/internal/...", "sandbox/native/...", "sandbox/containerd/..."},
	reason: "a backend is given a specification and must not look behind it, or backends would come to mean different things.",
}, {
	from:   []string{"netfilter/...", "bridge/..."},
	may:    []string{"policy", "netfilter/...", "bridge/..."},
	reason: "they judge connections and messages by the policy; neither the box nor the command line is their business.",
}, {
	from:   []string{"policy", "profiles", "sandbox/...", "netfilter/...", "bridge/...", "integration/..."},
	not:    []string{module + "cmd/..."},
	may:    []string{"..."},
	reason: "a library that imports a command cannot be used without it.",
}, {
	from:   []string{"sandbox/native/initprog"},
	may:    []string{"sandbox/native/internal/...", "sandbox/internal/...", "golang.org/x/sys/...", "github.com/opencontainers/runtime-spec/..."},
	all:    true,
	not:    []string{"net/http", "net", "os/user", "text/template", "html/template", "log/slog", "regexp", "fmt"},
	reason: "it is started twice for each box, and what it links is what a server that breaks out of its first layer finds.",
}, {
	from:   []string{"cmd/mcpbox", "policy", "profiles", "sandbox", "sandbox/native/...", "sandbox/internal/...", "bridge/...", "netfilter/..."},
	may:    []string{"..."},
	lean:   true,
	not:    []string{"github.com/modelcontextprotocol/...", "testing", "github.com/go-json-experiment/...", "github.com/rogpeppe/go-internal/testscript/...", "html/template", "net/http", "net/http/...", "crypto/tls", "github.com/containerd/..."},
	reason: "these cost every start of every server milliseconds and megabytes, for what only tests, pages or another backend need.",
}, {
	from:   []string{"cmd/mcpbox", "policy", "profiles", "sandbox/...", "bridge/...", "netfilter/..."},
	may:    []string{"..."},
	not:    []string{"github.com/modelcontextprotocol/...", "testing", "github.com/go-json-experiment/...", "github.com/rogpeppe/go-internal/testscript/...", module + "integration/..."},
	reason: "what only tests need is in no program.",
}, {
	from:   []string{"policy", "profiles", "sandbox", "sandbox/native/...", "sandbox/internal/...", "bridge/...", "netfilter/..."},
	may:    []string{"..."},
	not:    []string{"html/template", "net/http", "net/http/...", "crypto/tls", "github.com/containerd/..."},
	reason: "containerd's client is the business of sandbox/containerd alone.",
}, {
	from:   []string{"sandbox/containerd/initprog"},
	may:    []string{"sandbox/containerd/internal/...", "sandbox/native/internal/...", "sandbox/internal/...", "golang.org/x/sys/...", "github.com/opencontainers/runtime-spec/..."},
	all:    true,
	not:    []string{"net/http", "net", "os/user", "text/template", "html/template", "log/slog", "regexp"},
	reason: "it is the first process of every container, beside a server that is not trusted.",
}}

// breaks are the packages of the graph that a forbids p to know.
func (a arrow) breaks(p listed) []string {
	var found []string
	for _, dep := range p.Deps {
		switch {
		case matches(a.not, dep.path, ""):
			found = append(found, dep.path)
		case dep.std, slices.Contains(a.may, "..."):
		case strings.HasPrefix(dep.path, module):
			if !matches(a.may, dep.path, module) {
				found = append(found, dep.path)
			}
		case a.all && !matches(a.may, dep.path, ""):
			found = append(found, dep.path)
		}
	}
	return found
}

// matches reports whether one of the patterns, with prefix before it, names path.
func matches(patterns []string, path, prefix string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		p = prefix + p
		if below, all := strings.CutSuffix(p, "..."); all {
			return strings.HasPrefix(path, below) || path == strings.TrimSuffix(below, "/")
		}
		return path == p
	})
}

// listed is a package and everything it links, without its tests.
type listed struct {
	path string
	Deps []dependency
}

type dependency struct {
	path string
	std  bool
}

func TestArrows(t *testing.T) {
	for _, tags := range []string{"", "embedinit", "nocontainerd", "embedinit,nocontainerd"} {
		graph := list(t, tags)
		for _, a := range arrows {
			if a.lean && !strings.Contains(tags, "nocontainerd") {
				continue
			}
			seen := false
			for _, p := range graph {
				if !matches(a.from, p.path, module) {
					continue
				}
				seen = true
				for _, dep := range a.breaks(p) {
					t.Errorf("%s must not link %s: %s", strings.TrimPrefix(p.path, module), strings.TrimPrefix(dep, module), a.reason)
				}
			}
			if !seen {
				t.Errorf("no package matches %v: the rule guards nothing", a.from)
			}
		}
	}
}

func TestArrowsFindWhatTheyForbid(t *testing.T) {
	ours := func(name string) dependency { return dependency{path: module + name} }
	for _, c := range []struct {
		from    string
		dep     dependency
		refused bool
	}{
		{"policy", ours("sandbox"), true},
		{"policy", dependency{path: "github.com/BurntSushi/toml"}, false},
		{"sandbox", ours("policy"), true},
		{"sandbox/native", ours("sandbox"), false},
		{"sandbox/native", ours("sandbox/native/internal/wire"), false},
		{"sandbox/native", ours("policy"), true},
		{"bridge", ours("policy"), false},
		{"bridge", ours("sandbox"), true},
		{"integration/servers", ours("cmd/mcpbox/internal/dirs"), true},
		{"sandbox/native/initprog", dependency{path: "github.com/seccomp/libseccomp-golang"}, true},
		{"sandbox/native/initprog", dependency{path: "net/http", std: true}, true},
		{"sandbox/native/initprog", dependency{path: "fmt", std: true}, true},
		{"sandbox/native/initprog", dependency{path: "golang.org/x/sys/unix"}, false},
		{"sandbox/native/initprog", dependency{path: "os", std: true}, false},
		{"cmd/mcpbox", dependency{path: "github.com/modelcontextprotocol/go-sdk/mcp"}, true},
		{"cmd/mcpbox", ours("policy"), false},
		{"cmd/mcpbox", dependency{path: "github.com/containerd/containerd/v2/client"}, true},
		{"sandbox/native", dependency{path: "github.com/containerd/containerd/v2/client"}, true},
		{"sandbox/containerd", dependency{path: "github.com/containerd/containerd/v2/client"}, false},
		{"sandbox/containerd", ours("integration/ctr"), true},
		{"sandbox/containerd/initprog", dependency{path: "github.com/containerd/containerd/v2/client"}, true},
	} {
		refused := false
		for _, a := range arrows {
			if matches(a.from, module+c.from, "") || matches(a.from, module+c.from, module) {
				refused = refused || len(a.breaks(listed{module + c.from, []dependency{c.dep}})) > 0
			}
		}
		if refused != c.refused {
			t.Errorf("%s linking %s: refused is %v", c.from, c.dep.path, refused)
		}
	}
}

// list asks the go command for our packages and all that they link.
func list(t *testing.T, tags string) []listed {
	t.Helper()
	type pkg struct {
		ImportPath string
		Standard   bool
		Deps       []string
	}
	var all []pkg
	std := map[string]bool{}
	dec := json.NewDecoder(strings.NewReader(string(output(t, "go", "list", "-e", "-deps", "-tags", tags, "-json=ImportPath,Standard,Deps", "./..."))))
	for {
		var p pkg
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		std[p.ImportPath] = p.Standard
		all = append(all, p)
	}
	var graph []listed
	for _, p := range all {
		if strings.HasPrefix(p.ImportPath, module) {
			l := listed{path: p.ImportPath}
			for _, dep := range p.Deps {
				l.Deps = append(l.Deps, dependency{dep, std[dep]})
			}
			graph = append(graph, l)
		}
	}
	return graph
}
