package program

import (
	"os"
	"path/filepath"
	"strings"
)

// venvRoot returns the virtual environment that path lies in, or "". See PEP
// 405: a pyvenv.cfg beside the executable or one directory above it.
func (f *finder) venvRoot(path string) string {
	for dir := filepath.Dir(path); dir != "/" && !within(f.home, dir); dir = filepath.Dir(dir) {
		if isFile(filepath.Join(dir, "pyvenv.cfg")) {
			return dir
		}
	}
	return ""
}

// venvOn shows the virtual environment of a hop on the way that path takes,
// unless a link that servers may write leads there.
func (f *finder) venvOn(path, hop string) error {
	links, _ := linksOn(path)
	for _, at := range links {
		if at != hop && !f.mayLead(at, hop) {
			return nil
		}
	}
	return f.venv(hop)
}

// venv shows the virtual environment that path lies in, if any, and the Python
// that it was made from, which holds the standard library.
func (f *finder) venv(path string) error {
	root := f.venvRoot(path)
	if root == "" || f.done["venv "+root] {
		return nil
	}
	f.done["venv "+root] = true
	if !f.addPrefix(root) {
		if f.withheld(root) {
			return privateError(root)
		}
		return &ForbiddenError{root, "a virtual environment there would show the whole directory", "make it in a directory of its own: python3 -m venv DIR"}
	}
	home := ""
	config := canonical(filepath.Join(root, "pyvenv.cfg"))
	for _, line := range readLines(config) {
		if key, value, ok := strings.Cut(line, "="); ok && strings.EqualFold(strings.TrimSpace(key), "home") {
			home = strings.TrimSpace(value)
		}
	}
	if !filepath.IsAbs(home) {
		return nil
	}
	for _, name := range []string{"python3", "python"} {
		base := filepath.Join(home, name)
		if !isFile(base) {
			continue
		}
		if err := f.basePython(config, base); err != nil {
			return err
		}
		dirs := f.pathDirs // the environment's own come first
		_, err := f.exec(base, 1)
		f.pathDirs = dirs
		if err != nil {
			return err
		}
		return f.reach(base) // Python looks for its library from here
	}
	return nil
}

// basePython refuses a Python that a pyvenv.cfg only claims to be one.
func (f *finder) basePython(config, base string) error {
	if err := f.learn(config, base); err != nil {
		return err
	}
	real := canonical(base)
	if f.withheld(real) {
		return privateError(real)
	}
	if head, err := readHead(real); err != nil || !strings.HasPrefix(head, "\x7fELF") || executable(real) != nil {
		return &ForbiddenError{real, "it is the Python of " + config + ", but no program", "make the virtual environment again: python3 -m venv --clear DIR"}
	}
	return nil
}

// userSite shows what "pip install --user" installed for a Python outside a
// virtual environment.
func (f *finder) userSite(path string, k kind) error {
	if k != pythonKind || f.venvRoot(path) != "" {
		return nil
	}
	found, err := filepath.Glob(filepath.Join(f.home, ".local/lib/python3.*"))
	if err != nil {
		return nil
	}
	for _, dir := range found {
		if isDir(filepath.Join(dir, "site-packages")) {
			f.addPrefix(dir)
		}
	}
	return nil
}

// javaConfig shows the files in /etc that Debian moved out of a Java home: its
// conf directory is a link there.
func (f *finder) javaConfig(java string) {
	home := filepath.Dir(filepath.Dir(java))
	for _, name := range []string{"conf", "lib/security", "lib/jvm.cfg"} {
		target, err := filepath.EvalSymlinks(filepath.Join(home, name))
		if err != nil || f.covered(target) || f.learn("", filepath.Join(home, name)) != nil || !strings.HasPrefix(target, "/etc/java") {
			continue
		}
		root := strings.Join(strings.SplitN(target, "/", 4)[:3], "/")
		if info, err := os.Stat(root); err == nil && info.IsDir() {
			f.addPrefix(root)
		}
	}
}
