package packages

import (
	"debug/buildinfo"
	"os"
	"strings"
	"testing"
)

// The program of the test itself is one that Go has built.
func TestGoLock(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	info, err := buildinfo.ReadFile(self)
	if err != nil {
		t.Fatal(err)
	}
	sha := strings.Repeat("a", 64)
	if _, err := NewGoLock(self, sha, "example.org/other", ""); err == nil || !strings.Contains(err.Error(), "is of the package") {
		t.Errorf("another package: %v", err)
	}
	if _, err := NewGoLock(self, sha, info.Path, ""); err == nil || !strings.Contains(err.Error(), "which is not what was fetched") {
		t.Errorf("no hashes: %v", err)
	}
	if _, err := NewGoLock(os.DevNull, sha, info.Path, ""); err == nil {
		t.Error("no program")
	}
}

const goLockText = `{
  "kind": "go",
  "package": "example.org/x/cmd/serve",
  "program": "serve",
  "sha256": "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
  "sum": ["example.org/x v1.0.0 h1:aa=", "example.org/dep v1.0.0 h1:bb="],
  "packages": [
    {"path": "example.org/x", "name": "example.org/x", "version": "v1.0.0", "integrity": "h1:aa="},
    {"path": "example.org/dep", "name": "example.org/dep", "version": "v1.0.0", "integrity": "h1:bb="},
    {"path": "go", "name": "go", "version": "1.26.8"}
  ]
}`

func TestParseGoLock(t *testing.T) {
	l, err := parseGoLock([]byte(goLockText))
	if err != nil {
		t.Fatal(err)
	}
	if l.Go.Toolchain != "go1.26.8" || l.Go.Sum != "example.org/x v1.0.0 h1:aa=\nexample.org/dep v1.0.0 h1:bb=\n" {
		t.Errorf("%+v", l.Go)
	}
	file := t.TempDir() + "/lock.json"
	if err := os.WriteFile(file, []byte(goLockText), 0o600); err != nil {
		t.Fatal(err)
	}
	if again, err := ReadLock(file); err != nil || again.Digest(nil) != l.Digest(nil) {
		t.Errorf("from a file: %v", err)
	}
	r := &Request{Kind: Go, Packages: []Spec{{Name: "example.org/x/cmd/serve"}}}
	if p, err := l.Program(r); err != nil || p != "bin/serve" {
		t.Error(p, err)
	}
	r.Packages[0].Name = "example.org/x/cmd/other"
	if p, err := l.Program(r); err == nil {
		t.Error(p)
	}
	// Content, version of Go, and the program itself make another digest.
	for _, change := range []string{"h1:bb= h1:bc=", "1.26.8 1.26.9", "aaaaaaaaaaaa aaaaaaaaaaab", "serve serv2"} {
		old, new, _ := strings.Cut(change, " ")
		if other, err := parseGoLock([]byte(strings.ReplaceAll(goLockText, old, new))); err != nil || other.Digest(nil) == l.Digest(nil) {
			t.Errorf("%s: %v", change, err)
		}
	}
	for _, change := range []string{`"program": "serve" "program": "../serve"`, `"program": "serve" "program": "a/b"`, `"kind": "go" "kind": "npm"`, `x/cmd/serve y/cmd/serve`, `h1:bb= md5:bb`,
		`"version": "v1.0.0" "version": "../v1"`, `"name": "example.org/dep" "name": "../dep"`, "aaaaaaaaaaaa a"} {
		i := strings.Index(change, " ")
		if strings.HasPrefix(change, `"`) {
			i = strings.Index(change, `" "`) + 1
		}
		if _, err := parseGoLock([]byte(strings.ReplaceAll(goLockText, change[:i], change[i+1:]))); err == nil {
			t.Errorf("%s: it is a lock", change)
		}
	}

	all, _ := goConfig(t, "", nil)
	some, _ := goConfig(t, "", nil, "GONOSUMDB", "example.org/dep")
	none, _ := goConfig(t, "", nil, "GOSUMDB", "off")
	for want, c := range map[string]*GoConfig{Signed: all, PartlySigned: some, Unsigned: none} {
		if got := l.Checked(c); got.State != want {
			t.Errorf("%+v, want %s", got, want)
		}
	}
}
