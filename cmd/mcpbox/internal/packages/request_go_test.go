package packages

import (
	"errors"
	"strings"
	"testing"
)

func TestParseGo(t *testing.T) {
	for line, want := range map[string]string{
		"go run example.org/x/cmd/serve@v1.2.3 -a b":              "example.org/x/cmd/serve@v1.2.3 | -a b",
		"go run example.org/serve/v2@latest":                      "example.org/serve/v2 |",
		"/usr/local/go/bin/go run github.com/A/b@main -- x":       "github.com/A/b@main | -- x",
		"go run -v -mod=mod -tags=a,b example.org/x@v1":           "example.org/x@v1 -tags=a,b |",
		"go run --tags a -ldflags '-s' -mod mod example.org/x@v":  "example.org/x@v -tags=a -ldflags='-s' |",
		"go run example.org/x@v0.0.0-20260102030405-0123456789ab": "example.org/x@v0.0.0-20260102030405-0123456789ab |",
	} {
		r, err := Parse(strings.Fields(line))
		if err != nil || r == nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		got := strings.Join(append(r.specs(), r.Build...), " ")
		if got = strings.TrimRight(got+" | "+strings.Join(r.Args, " "), " "); got != want || r.Kind != Go || r.Bin != "" {
			t.Errorf("%s: %s %q, want %q", line, r.Kind, got, want)
		}
	}
	for _, line := range []string{"go run .", "go run ./cmd/x a@b", "go run -x main.go a@b", "go run a@b.go", "go run -tags a@b ./x", "go run -exec a@b .", "go run", "go run -v", "go build x@1", "go"} {
		if r, err := Parse(strings.Fields(line)); r != nil || err != nil {
			t.Errorf("%s: %v, %v", line, r, err)
		}
	}
	for line, want := range map[string]string{
		"go run -exec sudo example.org/x@v1":       "-exec runs another program",
		"go run --toolexec=/tmp/x example.org/x@v": "-toolexec runs another program",
		"go run -race example.org/x@v1":            "-race needs a C compiler",
		"go run -C /tmp example.org/x@v1":          "-C is about a directory",
		"go run -gcflags=-N example.org/x@v1":      "the option -gcflags is not understood",
		"go run cmd/vet@v1":                        "no package of a module",
		"go run ../x@v1":                           "no package of a module",
		"go run example.org/../x@v1":               "no package of a module",
		"go run example.org/-x@v1":                 "no package of a module",
		"go run https://example.org/x@v1":          "no package of a module",
		"go run example.org/x@":                    "after the @ there has to be a version",
		"go run example.org/x@none":                "after the @ there has to be a version",
		"go run example.org/x@<v2":                 "after the @ there has to be a version",
		"go run example.org/x@a@b":                 "after the @ there has to be a version",
	} {
		r, err := Parse(strings.Fields(line))
		if wrong := (*NotUnderstoodError)(nil); !errors.As(err, &wrong) || !strings.Contains(err.Error(), want) || r != nil {
			t.Errorf("%s: %v, %v; want %s", line, r, err, want)
		}
	}
}

func TestGoProgram(t *testing.T) {
	for pkg, want := range map[string]string{"example.org/a/b": "b", "example.org/b/v2": "b", "example.org/v1": "v1", "example.org/b/v2x": "v2x", "example.org": "example.org"} {
		r := &Request{Kind: Go, Packages: []Spec{{Name: pkg}}}
		if got := r.ServerName(); got != want {
			t.Errorf("%s: %s, want %s", pkg, got, want)
		}
	}
}

// Other flags and other versions are other requests.
func TestGoKeys(t *testing.T) {
	seen := map[string]string{}
	for _, line := range []string{"go run example.org/x@v1", "go run example.org/x@v2", "go run -tags=a example.org/x@v1", "go run -tags=b example.org/x@v1", "go run -tags=a -tags=b example.org/x@v1"} {
		r, err := Parse(strings.Fields(line))
		if err != nil {
			t.Fatal(err)
		}
		if other := seen[r.Key()]; other != "" {
			t.Errorf("%s is as good as %s", line, other)
		}
		seen[r.Key()] = line
	}
}
