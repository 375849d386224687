package packages

import (
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
)

// goLock is the lock of a program that Go has built: ours, as "go install" has
// none.
type goLock struct {
	Kind    Kind   `json:"kind"`
	Package string `json:"package"`
	Program string `json:"program"` // its file's name
	SHA256  string `json:"sha256"`  // of the file, in hexadecimal
	// Sum is the go.sum of all that was looked at: of modules whose packages are
	// in the program, and of the go.mod files that led to their versions.
	Sum      []string `json:"sum"`
	Packages []Locked `json:"packages"` // the module, what it depends on, and Go itself
}

// goItself is the name under which a lock has Go, whose standard library is a
// part of each program.
const goItself = "go"

// NewGoLock makes a lock of a program of the package pkg. Modules are those that
// Go says are in it ("go version -m"); each has to be in sum, a go.sum, with the
// same hash.
func NewGoLock(file, sha256, pkg, sum string) (*Lock, error) {
	info, err := buildinfo.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read what is in the program: %w", err)
	}
	if info.Path != pkg {
		return nil, fmt.Errorf("the program is of the package %q, not of %s", info.Path, pkg)
	}
	l := &goLock{Kind: Go, Package: pkg, Program: filepath.Base(file), SHA256: sha256}
	for line := range strings.Lines(sum) {
		l.Sum = append(l.Sum, strings.TrimSpace(line))
	}
	for _, m := range append([]*debug.Module{&info.Main}, info.Deps...) {
		if m.Replace != nil {
			return nil, fmt.Errorf("%s@%s is replaced by something else", m.Path, m.Version)
		}
		if !slices.Contains(l.Sum, m.Path+" "+m.Version+" "+m.Sum) {
			return nil, fmt.Errorf("the program has %s@%s with the hash %q, which is not what was fetched", m.Path, m.Version, m.Sum)
		}
		l.Packages = append(l.Packages, Locked{Path: m.Path, Name: m.Path, Version: m.Version, Integrity: m.Sum})
	}
	l.Packages = append(l.Packages, Locked{Path: goItself, Name: goItself, Version: strings.TrimPrefix(info.GoVersion, "go")})
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return nil, err
	}
	return parseGoLock(data)
}

// goLockStart is how the file begins.
const goLockStart = "{\n  \"kind\": \"go\""

func parseGoLock(data []byte) (*Lock, error) {
	none := errors.New("read the lock: it is none")
	var l goLock
	if err := json.Unmarshal(data, &l); err != nil || l.Kind != Go || len(l.Packages) < 2 || !pathOfGo(l.Package) || !pathOfGo(l.Program) ||
		strings.Contains(l.Program, "/") || len(l.SHA256) != 64 {
		return nil, none
	}
	main := l.Packages[0]
	if l.Package != main.Name && !strings.HasPrefix(l.Package, main.Name+"/") {
		return nil, none
	}
	for _, p := range l.Packages {
		if !pathOfGo(p.Name) || !versionOfGo(p.Version) || !strings.HasPrefix(p.Integrity, "h1:") && p.Name != goItself {
			return nil, none
		}
	}
	return &Lock{Packages: l.Packages, Data: data, Go: &GoLock{Package: l.Package, Program: l.Program, SHA256: l.SHA256, Sum: strings.Join(l.Sum, "\n") + "\n",
		Toolchain: "go" + l.Packages[len(l.Packages)-1].Version}}, nil
}

// GoLock is what the lock of a Go program has besides.
type GoLock struct {
	Package   string // whose program it is
	Program   string // the file's name
	SHA256    string // of the file
	Sum       string // a go.sum
	Toolchain string // such as "go1.26.8"
}

// goProgram is Program for Go.
func (l *Lock) goProgram(r *Request) (string, error) {
	if l.Go == nil || l.Go.Package != r.Packages[0].Name {
		return "", fmt.Errorf("%s is not what was built", r.Packages[0].Name)
	}
	return filepath.Join("bin", l.Go.Program), nil
}

// Checked says what is known of a Go program's modules by the checksum database,
// which is a signed log of what every version was when it was first seen.
func (l *Lock) Checked(c *GoConfig) Signatures {
	var not []string
	n := 0
	for _, p := range l.Packages {
		switch {
		case p.Name == goItself:
		case c.Checked(p.Name):
			n++
		default:
			not = append(not, p.Name+"@"+p.Version)
		}
	}
	switch {
	case n == 0:
		return Signatures{State: Unsigned, Detail: "the configuration of Go asks no checksum database (GOSUMDB, GONOSUMDB, GOPRIVATE)"}
	case len(not) > 0:
		return Signatures{State: PartlySigned, Verified: n, Detail: first5(not) + " not compared with " + c.SumDB()}
	}
	return Signatures{State: Signed, Verified: n, Detail: "every module is what the checksum database " + c.SumDB() + " says"}
}
