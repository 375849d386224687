package packages

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// pythonLock is the lock of an installation by pip: ours, as pip has none.
type pythonLock struct {
	Kind     Kind     `json:"kind"`
	Python   string   `json:"python"` // version that the wheels are for
	Packages []Locked `json:"packages"`
}

// NewPythonLock makes a lock of what "pip install --report" has written (pip's
// "Installation Report", version 1) and of the programs that are there in the
// virtual environment. Every package has to be a wheel with a SHA-256 hash.
func NewPythonLock(report []byte, python, venv string) (*Lock, error) {
	var r struct {
		Version string `json:"version"`
		Install []struct {
			Metadata struct {
				Name    string `json:"name"`
				Version string `json:"version"`
			} `json:"metadata"`
			Download struct {
				URL     string `json:"url"`
				Archive struct {
					Hash   string            `json:"hash"`
					Hashes map[string]string `json:"hashes"`
				} `json:"archive_info"`
			} `json:"download_info"`
		} `json:"install"`
	}
	if err := json.Unmarshal(report, &r); err != nil {
		return nil, fmt.Errorf("read pip's report: %w", err)
	}
	if len(r.Install) == 0 {
		return nil, errors.New("read pip's report: nothing was installed")
	}
	l := &pythonLock{Kind: PyPI, Python: python}
	for _, p := range r.Install {
		hash := p.Download.Archive.Hashes["sha256"]
		if hash == "" {
			hash, _ = strings.CutPrefix(p.Download.Archive.Hash, "sha256=")
		}
		name := NormalPyPI(p.Metadata.Name)
		if len(hash) != 64 || !strings.HasSuffix(p.Download.URL, ".whl") {
			return nil, fmt.Errorf("%s %s is not a wheel with a hash", name, p.Metadata.Version)
		}
		one := Locked{Path: name, Name: name, Version: p.Metadata.Version, Integrity: "sha256:" + hash, Resolved: p.Download.URL}
		var err error
		if one.Bin, err = consoleScripts(venv, name); err != nil {
			return nil, err
		}
		l.Packages = append(l.Packages, one)
	}
	slices.SortFunc(l.Packages, func(a, b Locked) int { return strings.Compare(a.Path, b.Path) })
	data, err := json.MarshalIndent(l, "", "  ")
	if err != nil {
		return nil, err
	}
	return &Lock{Packages: l.Packages, Data: data, Python: python}, nil
}

func parsePythonLock(data []byte) (*Lock, error) {
	var l pythonLock
	if err := json.Unmarshal(data, &l); err != nil || l.Kind != PyPI || len(l.Packages) == 0 {
		return nil, errors.New("read the lock: it is none")
	}
	for _, p := range l.Packages {
		if !nameOfPyPI(p.Name) || !strings.HasPrefix(p.Integrity, "sha256:") || strings.IndexFunc(p.Version, notInVersion) >= 0 {
			return nil, errors.New("read the lock: it is none")
		}
	}
	return &Lock{Packages: l.Packages, Data: data, Python: l.Python}, nil
}

// consoleScripts finds the programs of a distribution (entry_points.txt, section
// console_scripts; "Entry points specification" of PyPA).
func consoleScripts(venv, name string) (map[string]string, error) {
	found, err := filepath.Glob(filepath.Join(venv, "lib", "python*", "site-packages", "*.dist-info", "entry_points.txt"))
	if err != nil {
		return nil, err
	}
	programs := map[string]string{}
	for _, path := range found {
		dist, _, _ := strings.Cut(filepath.Base(filepath.Dir(path)), "-")
		if NormalPyPI(dist) != name {
			continue
		}
		info, err := os.Lstat(path)
		if err != nil || !info.Mode().IsRegular() || info.Size() > 1<<20 {
			return nil, fmt.Errorf("%s is not a file that pip writes", path)
		}
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		section := ""
		for lines := bufio.NewScanner(f); lines.Scan(); {
			line := strings.TrimSpace(lines.Text())
			if strings.HasPrefix(line, "[") {
				section = line
			}
			if program, _, ok := strings.Cut(line, "="); ok && section == "[console_scripts]" {
				if program = strings.TrimSpace(program); filepath.IsLocal(program) && !strings.Contains(program, "/") {
					programs[program] = "venv/bin/" + program
				}
			}
		}
		f.Close()
	}
	return programs, nil
}

// Requirements is the lock as a file of requirements with hashes, by which pip
// installs exactly this.
func (l *Lock) Requirements() string {
	var b strings.Builder
	for _, p := range l.Packages {
		fmt.Fprintf(&b, "%s==%s --hash=%s\n", p.Name, p.Version, p.Integrity)
	}
	return b.String()
}

// pythonProgram is Program for Python: as uvx and pipx choose it.
func (l *Lock) pythonProgram(r *Request) (string, error) {
	name := NormalPyPI(r.Packages[0].Name)
	main := l.Named(name)
	if main == nil {
		return "", fmt.Errorf("%s is not among what was installed", name)
	}
	if r.Bin == "python" || r.Bin == "python3" {
		return "venv/bin/python", nil
	}
	if r.Bin != "" {
		for _, p := range l.Packages {
			if p.Bin[r.Bin] != "" {
				return p.Bin[r.Bin], nil
			}
		}
		return "", fmt.Errorf("no package that was installed has a program %q; %s", r.Bin, main.programs())
	}
	for program, file := range main.Bin {
		if len(main.Bin) == 1 || NormalPyPI(program) == name {
			return file, nil
		}
	}
	if len(main.Bin) == 0 {
		return "", fmt.Errorf("%s %s has no program to run", main.Name, main.Version)
	}
	return "", fmt.Errorf("%s has several programs; %s: choose one, as in: uvx --from %s PROGRAM", main.Name, main.programs(), main.Name)
}

// Named returns the package of a name, or nil.
func (l *Lock) Named(name string) *Locked {
	for i := range l.Packages {
		if l.Packages[i].Name == name {
			return &l.Packages[i]
		}
	}
	return nil
}
