package packages

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Lock is what an installation by npm consists of: its package-lock.json, see
// package-lock-json(5).
type Lock struct {
	Packages []Locked // by path
	Data     []byte   // the file
	Python   string   // the version of Python that it is for, if it is for one
	Go       *GoLock  // if it is of a program that Go has built
}

// Locked is one package of a lock.
type Locked struct {
	Path      string            `json:"path"` // such as node_modules/@scope/name
	Name      string            `json:"name"`
	Version   string            `json:"version"`
	Integrity string            `json:"integrity"`
	Resolved  string            `json:"resolved"` // where it came from; "" for one inside another's tarball
	Bin       map[string]string `json:"bin,omitempty"`
	Script    bool              `json:"script,omitempty"`   // it has an install script
	Optional  bool              `json:"optional,omitempty"` // it need not be there: it may be for another platform
}

// maxLock bounds the file. The largest lock of a server that is known has 600 KiB.
const maxLock = 32 << 20

// ReadLock reads a lock. It refuses one in which a package has no integrity
// hash, or does not come from a registry.
func ReadLock(file string) (*Lock, error) {
	info, err := os.Lstat(file)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxLock {
		return nil, fmt.Errorf("%s is not the file that npm writes", file)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	if strings.HasPrefix(strings.TrimSpace(string(data[:min(len(data), 64)])), `{`+"\n"+`  "kind": "pypi"`) {
		return parsePythonLock(data)
	}
	if strings.HasPrefix(string(data[:min(len(data), 64)]), goLockStart) {
		return parseGoLock(data)
	}
	return parseLock(data)
}

func parseLock(data []byte) (*Lock, error) {
	var text struct {
		Version  int `json:"lockfileVersion"`
		Packages map[string]struct {
			Name      string            `json:"name"`
			Version   string            `json:"version"`
			Resolved  string            `json:"resolved"`
			Integrity string            `json:"integrity"`
			Link      bool              `json:"link"`
			InBundle  bool              `json:"inBundle"`
			Optional  bool              `json:"optional"`
			Script    bool              `json:"hasInstallScript"`
			Bin       map[string]string `json:"bin"`
		} `json:"packages"`
	}
	if err := json.Unmarshal(data, &text); err != nil {
		return nil, fmt.Errorf("read the lock: %w", err)
	}
	if text.Version < 2 || len(text.Packages) < 2 {
		return nil, errors.New("read the lock: it is of a version of npm before 7; install a newer one")
	}
	l := &Lock{Data: data}
	for at, p := range text.Packages {
		if at == "" {
			continue
		}
		one := Locked{Path: at, Name: p.Name, Version: p.Version, Integrity: p.Integrity, Resolved: p.Resolved, Bin: p.Bin, Script: p.Script, Optional: p.Optional}
		if i := strings.LastIndex(at, "node_modules/"); one.Name == "" && i >= 0 {
			one.Name = at[i+len("node_modules/"):]
		}
		switch {
		case p.Link || !filepath.IsLocal(at) || !strings.HasPrefix(at, "node_modules/"):
			return nil, fmt.Errorf("%s is not a package of a registry", at)
		case p.InBundle:
			one.Resolved = ""
		case p.Resolved != "" && !strings.HasPrefix(p.Resolved, "https://") && !strings.HasPrefix(p.Resolved, "http://"):
			return nil, fmt.Errorf("%s@%s is not a package of a registry: it comes from %q", one.Name, one.Version, p.Resolved)
		case !strings.HasPrefix(p.Integrity, "sha512-") && !strings.HasPrefix(p.Integrity, "sha1-") && !strings.HasPrefix(p.Integrity, "sha384-") && !strings.HasPrefix(p.Integrity, "sha256-"):
			return nil, fmt.Errorf("%s@%s has no integrity hash: the registry does not say what its content has to be", one.Name, one.Version)
		}
		l.Packages = append(l.Packages, one)
	}
	slices.SortFunc(l.Packages, func(a, b Locked) int { return strings.Compare(a.Path, b.Path) })
	return l, nil
}

// Digest is "sha256-" and the digest of what is installed, whoever wrote the
// file, and of the packages whose scripts were run.
func (l *Lock) Digest(ran []string) string {
	var b bytes.Buffer
	for _, p := range l.Packages {
		fmt.Fprintf(&b, "%q %q %q %q\n", p.Path, p.Name, p.Version, p.Integrity)
	}
	if l.Go != nil {
		fmt.Fprintf(&b, "program %q %q\n", l.Go.Package, l.Go.SHA256)
	}
	for _, name := range slices.Sorted(slices.Values(ran)) {
		fmt.Fprintf(&b, "ran %q\n", name)
	}
	sum := sha256.Sum256(b.Bytes())
	return "sha256-" + hex.EncodeToString(sum[:])
}

// Top returns the package that is installed under a name at the top.
func (l *Lock) Top(name string) *Locked {
	for i := range l.Packages {
		if l.Packages[i].Path == "node_modules/"+name {
			return &l.Packages[i]
		}
	}
	return nil
}

// Scripts names the packages with install scripts.
func (l *Lock) Scripts() []string {
	var list []string
	for _, p := range l.Packages {
		if p.Script && !slices.Contains(list, p.Name) {
			list = append(list, p.Name)
		}
	}
	return list
}

// Hosts lists where the packages came from, each once, as scheme and host.
func (l *Lock) Hosts() []string {
	var list []string
	for _, p := range l.Packages {
		if u, err := url.Parse(p.Resolved); err == nil && u.Host != "" {
			if s := u.Scheme + "://" + u.Host; !slices.Contains(list, s) {
				list = append(list, s)
			}
		}
	}
	slices.Sort(list)
	return list
}

// Program finds what a request runs, as a path below the entry's directory. It
// is what npm exec would choose: of several programs of a package, the one with
// the package's name.
func (l *Lock) Program(r *Request) (string, error) {
	switch r.Kind {
	case PyPI:
		return l.pythonProgram(r)
	case Go:
		return l.goProgram(r)
	}
	main := l.Top(r.Packages[0].Name)
	if main == nil {
		return "", fmt.Errorf("%s is not among what was installed", r.Packages[0].Name)
	}
	if r.Bin != "" {
		for _, spec := range r.Packages {
			if p := l.Top(spec.Name); p != nil && p.Bin[r.Bin] != "" {
				return p.program(r.Bin)
			}
		}
		return "", fmt.Errorf("none of %s has a program %q; %s", strings.Join(r.specs(), ", "), r.Bin, main.programs())
	}
	switch len(main.Bin) {
	case 0:
		return "", fmt.Errorf("%s@%s has no program to run", main.Name, main.Version)
	case 1:
		for name := range main.Bin {
			return main.program(name)
		}
	}
	if name := path.Base(main.Name); main.Bin[name] != "" {
		return main.program(name)
	}
	// Several names for one file are as good as one.
	var first string
	for name, file := range main.Bin {
		if first != "" && main.Bin[first] != file {
			return "", fmt.Errorf("%s@%s has several programs; %s: choose one, as in: npx -y -p %s PROGRAM", main.Name, main.Version, main.programs(), main.Name)
		}
		first = max(first, name)
	}
	return main.program(first)
}

func (p *Locked) program(name string) (string, error) {
	file := path.Join(p.Path, p.Bin[name])
	if !filepath.IsLocal(file) || !strings.HasPrefix(file, p.Path+"/") {
		return "", fmt.Errorf("the program %q of %s lies outside of it", name, p.Name)
	}
	return file, nil
}

func (p *Locked) programs() string {
	var names []string
	for name := range p.Bin {
		names = append(names, name)
	}
	slices.Sort(names)
	return "its programs are " + strings.Join(names, ", ")
}
