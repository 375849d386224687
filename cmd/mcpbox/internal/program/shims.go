package program

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// behindShim returns the program that a version manager's shim would start, or
// "" where path is no shim.
func (f *finder) behindShim(path string) (string, error) {
	dir, name := filepath.Dir(path), filepath.Base(path)
	if withinAny(path, f.system) {
		return "", nil
	}
	for _, s := range []struct {
		tool, root, variable, file string
	}{
		{"pyenv", ".pyenv", "PYENV", ".python-version"},
		{"nodenv", ".nodenv", "NODENV", ".node-version"},
		{"rbenv", ".rbenv", "RBENV", ".ruby-version"},
	} {
		if root := f.root(s.variable+"_ROOT", s.root); dir == filepath.Join(root, "shims") {
			return f.behindPyenv(path, s.tool, root, s.variable+"_VERSION", s.file)
		}
	}
	if root := f.root("ASDF_DATA_DIR", ".asdf"); dir == filepath.Join(root, "shims") {
		return f.behindAsdf(path, root)
	}
	if root := f.root("MISE_DATA_DIR", ".local/share/mise"); dir == filepath.Join(root, "shims") {
		return f.behindMise(path, root)
	}
	if root := f.root("VOLTA_HOME", ".volta"); dir == filepath.Join(root, "bin") && !strings.HasPrefix(name, "volta") {
		return f.behindVolta(path, root)
	}
	if root := f.root("RYE_HOME", ".rye"); dir == filepath.Join(root, "shims") && name != "rye" {
		return "", &IndirectError{path, "Rye", "it picks a Python by the project as it runs", "name that Python instead, such as " + filepath.Join(f.q.Cwd, ".venv/bin", name)}
	}
	if root := f.root("PROTO_HOME", ".proto"); dir == filepath.Join(root, "shims") {
		return "", &IndirectError{path, "proto", "it picks a version as it runs", "name the program instead; to see it, type: proto bin " + name}
	}
	if cargo := f.root("CARGO_HOME", ".cargo"); dir == filepath.Join(cargo, "bin") && name != "rustup" && sameFile(path, filepath.Join(dir, "rustup")) {
		return "", &IndirectError{path, "rustup", "it picks a toolchain as it runs",
			orElse(filepath.Join(f.root("RUSTUP_HOME", ".rustup"), "toolchains/*/bin", name), "type: rustup which "+name+", and name what it prints")}
	}
	if dir == "/snap/bin" || dir == "/var/lib/snapd/snap/bin" {
		return "", &IndirectError{path, "snap", "snaps are started by a service outside the box", "install " + name + " in another way, such as from its own site or with apt"}
	}
	return "", nil
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

// root returns a tool's canonical root directory.
func (f *finder) root(variable, below string) string {
	if dir := f.q.Env(variable); filepath.IsAbs(dir) {
		return canonical(dir)
	}
	if data := f.q.Env("XDG_DATA_HOME"); filepath.IsAbs(data) && strings.HasPrefix(below, ".local/share/") {
		return canonical(filepath.Join(data, strings.TrimPrefix(below, ".local/share/")))
	}
	return canonical(filepath.Join(f.home, below))
}

// behindPyenv follows "pyenv which": the versions are those of the variable, of
// the nearest version file upwards from the working directory, or of the global
// one; a version may be a prefix ("3.12") of the newest one to take; "system"
// is the rest of PATH.
func (f *finder) behindPyenv(path, tool, root, variable, file string) (string, error) {
	name := filepath.Base(path)
	versions, origin := strings.Split(f.q.Env(variable), ":"), variable
	if f.q.Env(variable) == "" {
		versions, origin = nil, f.upwards(file)
		if origin == "" {
			origin = filepath.Join(root, "version")
		}
		for _, line := range readLines(origin) {
			line, _, _ = strings.Cut(line, "#")
			versions = append(versions, strings.Fields(line)...)
		}
	}
	if len(versions) == 0 {
		versions = []string{"system"}
	}
	for _, v := range versions {
		if v == "system" {
			if real := f.lookOutside(name, filepath.Dir(path)); real != "" {
				return real, nil
			}
			continue
		}
		v = strings.TrimPrefix(v, tool+"-")
		for _, v := range []string{v, strings.TrimPrefix(v, "python-"), newest(filepath.Join(root, "versions"), v)} {
			if v == "" || strings.Contains(v, "/") && !strings.Contains(v, "/envs/") || strings.Contains(v, "..") {
				continue
			}
			if real := filepath.Join(root, "versions", v, "bin", name); executable(real) == nil {
				return real, nil
			}
		}
	}
	return "", &IndirectError{path, tool, name + " is in none of the versions that " + origin + " selects (" + strings.Join(versions, ", ") + ")",
		orElse(filepath.Join(root, "versions/*/bin", name), "install it there, or name the program by its full path")}
}

// upwards returns the nearest file of this name, from the working directory to
// the root, or "".
func (f *finder) upwards(name string) string {
	for dir := filepath.Clean(f.q.Cwd); ; dir = filepath.Dir(dir) {
		if path := filepath.Join(dir, name); isFile(path) {
			return path
		}
		if dir == "/" || dir == "." {
			return ""
		}
	}
}

// lookOutside finds name in PATH without one directory.
func (f *finder) lookOutside(name, without string) string {
	for _, dir := range filepath.SplitList(f.q.Env("PATH")) {
		if filepath.IsAbs(dir) && canonical(dir) != without && executable(filepath.Join(dir, name)) == nil {
			return filepath.Join(dir, name)
		}
	}
	return ""
}

// newest returns the highest version below dir that begins with prefix and a
// dot, or "".
func newest(dir, prefix string) string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return ""
	}
	best := ""
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix+".") && (best == "" || newer(e.Name(), best)) {
			best = e.Name()
		}
	}
	return best
}

// newer compares dotted versions number by number; a release is newer than what
// leads up to it ("3.13.0" than "3.13.0rc1").
func newer(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range min(len(as), len(bs)) {
		x, errX := strconv.Atoi(as[i])
		y, errY := strconv.Atoi(bs[i])
		switch {
		case errX == nil && errY == nil && x != y:
			return x > y
		case (errX == nil) != (errY == nil):
			return errX == nil
		case errX != nil && as[i] != bs[i]:
			return as[i] > bs[i]
		}
	}
	return len(as) > len(bs)
}

// orElse is the fix of an [IndirectError]: one of the programs that the pattern
// finds, else the given words.
func orElse(pattern, otherwise string) string {
	found, _ := filepath.Glob(pattern)
	found = slices.DeleteFunc(found, func(path string) bool { return executable(path) != nil })
	if len(found) == 0 {
		return otherwise
	}
	return "name the program instead, such as " + found[len(found)-1]
}
