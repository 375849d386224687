package program

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxLinks bounds a chain of symbolic links, as the kernel does.
const maxLinks = 40

var errNotDir error = syscall.ENOTDIR

// executable returns nil if path is a file that this user may execute.
func executable(path string) error {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		var pe *os.PathError
		if errors.As(err, &pe) {
			return pe.Err
		}
		return err
	case info.IsDir():
		return errors.New("it is a directory")
	case !info.Mode().IsRegular():
		return errors.New("it is not a regular file")
	case unix.Access(path, unix.X_OK) != nil || info.Mode().Perm()&0o111 == 0: // root may always, by Access
		return errors.New("it is not executable; chmod +x " + path)
	}
	return nil
}

// canonical resolves every link in path, as far as the path exists.
func canonical(path string) string {
	path = filepath.Clean(path)
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if dir := filepath.Dir(path); dir != path {
		return filepath.Join(canonical(dir), filepath.Base(path))
	}
	return path
}

// hops lists path and what its chain of links goes through, down to the file
// itself, which is the only one that is no link. The directory of each is
// canonical.
func hops(path string) ([]string, error) {
	var list []string
	for len(list) < maxLinks {
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if err != nil {
			return nil, err
		}
		path = filepath.Join(dir, filepath.Base(path))
		list = append(list, path)
		info, err := os.Lstat(path)
		if err != nil {
			return nil, err
		}
		if info.Mode()&os.ModeSymlink == 0 {
			return list, nil
		}
		target, err := os.Readlink(path)
		if err != nil {
			return nil, err
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		path = target
	}
	return nil, &os.PathError{Op: "resolve", Path: list[0], Err: syscall.ELOOP}
}

// within reports whether path is dir or lies below it. Both are clean.
func within(path, dir string) bool {
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

func withinAny(path string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool { return within(path, dir) })
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// covered reports whether the box shows the canonical path.
func (f *finder) covered(path string) bool {
	return withinAny(path, f.system) || withinAny(path, f.prefixes) || slices.Contains(f.files, path)
}

// follow resolves path as the box would. It returns the first thing on the way
// that is not there, which is the file at the end or a link for which visit
// returns false, or "" for a path that leads to its file.
func (f *finder) follow(path string, visit func(link string) bool) string {
	cur, rest, links := "/", strings.TrimPrefix(filepath.Clean(path), "/"), 0
	for rest != "" {
		var name string
		name, rest, _ = strings.Cut(rest, "/")
		if name == ".." { // of a link's text; cur holds no link
			cur = filepath.Dir(cur)
			continue
		}
		if name == "" || name == "." {
			continue
		}
		next := filepath.Join(cur, name)
		info, err := os.Lstat(next)
		if err != nil {
			return next
		}
		if info.Mode()&os.ModeSymlink == 0 {
			cur = next
			continue
		}
		target, err := os.Readlink(next)
		if links++; err != nil || links > maxLinks {
			return next
		}
		if !f.covered(next) && !f.systemLink(next) && !visit(next) {
			return next
		}
		if filepath.IsAbs(target) {
			cur = "/"
		}
		rest = strings.Trim(target+"/"+rest, "/")
	}
	if !f.covered(cur) {
		return cur
	}
	return ""
}

// reach makes path lead in the box to the file that it leads to here, which has
// been shown, by having the links on the way shown as well. A box makes the
// links of every path in Program.Files.
func (f *finder) reach(path string) error {
	missing := false
	end := f.follow(path, func(string) bool { missing = true; return true })
	if end != "" {
		return &ForbiddenError{path, end + " may not be shown", "install it in a directory of its own"}
	}
	if missing && !slices.Contains(f.paths, path) {
		f.paths = append(f.paths, path)
	}
	return nil
}

// systemLink reports whether path is a link at the top, such as /bin, that
// every box has because it leads into a system directory.
func (f *finder) systemLink(path string) bool {
	return filepath.Dir(path) == "/" && withinAny(canonical(path), f.system)
}

// shared are the directories below home that belong to no program alone, or
// that hold secrets. They are never shown as a whole.
func shared() []string {
	return []string{
		".local", ".local/bin", ".local/lib", ".local/share", ".local/state", ".config", ".cache", "bin",
		".ssh", ".gnupg", ".aws", ".azure", ".gcloud", ".kube", ".docker", ".npm", ".mozilla", ".password-store",
		"go", "go/bin", ".cargo", ".cargo/bin", ".vscode", ".cursor", ".claude",
		"Desktop", "Documents", "Downloads", "Music", "Pictures", "Public", "Templates", "Videos",
	}
}

// mountable reports whether a box may show the canonical directory dir for a
// program's sake.
func (f *finder) mountable(dir string) bool {
	if strings.Count(dir, "/") < 2 || within(f.home, dir) || filepath.Dir(dir) == "/home" {
		return false
	}
	for _, kernel := range []string{"/proc", "/sys", "/dev", "/run", "/var/tmp"} {
		if within(dir, kernel) && (kernel != "/var/tmp" || dir == kernel) {
			return false
		}
	}
	for _, own := range f.own {
		if within(dir, own) || within(own, dir) {
			return false
		}
	}
	for _, name := range shared() {
		if dir == filepath.Join(f.home, name) {
			return false
		}
	}
	for _, variable := range []string{"XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME"} {
		if base := f.q.Env(variable); filepath.IsAbs(base) && within(canonical(base), dir) {
			return false
		}
	}
	return true
}

// addPrefix shows a directory, or says that it may not.
func (f *finder) addPrefix(dir string) bool {
	if f.learn("", dir) != nil {
		return false
	}
	dir = canonical(dir)
	if withinAny(dir, f.system) || withinAny(dir, f.prefixes) {
		return true
	}
	if !isDir(dir) || !f.mountable(dir) || f.withheld(dir) {
		return false
	}
	f.prefixes = append(f.prefixes, dir)
	return true
}

// addPrefixOf shows a directory for the sake of a canonical file, whose place or
// content tells of it.
func (f *finder) addPrefixOf(file, dir string) bool {
	return f.mayLead(file, canonical(dir)) && f.addPrefix(dir)
}

// addFile shows one canonical file.
func (f *finder) addFile(path string) error {
	if f.covered(path) {
		return nil
	}
	if withinAny(path, f.own) {
		return &ForbiddenError{path, "it lies in mcpbox's own directory", "move the program elsewhere"}
	}
	if withinAny(path, []string{"/proc", "/sys", "/dev"}) {
		return &ForbiddenError{path, "the box has a " + strings.Join(strings.SplitAfterN(path, "/", 3)[:2], "") + " of its own", "name the program by its path on disk"}
	}
	if f.withheld(path) {
		return privateError(path)
	}
	f.files = append(f.files, path)
	return nil
}

// addPathDir puts a directory on the box's PATH; those of the system are there.
func (f *finder) addPathDir(dir string) {
	if !withinAny(canonical(dir), f.system) && !slices.Contains(f.pathDirs, dir) {
		f.pathDirs = append(f.pathDirs, dir)
	}
}

// shown returns what has been collected, sorted and without what lies inside
// something else that is shown.
func (f *finder) shown() (prefixes, files []string) {
	slices.Sort(f.prefixes)
	for _, dir := range f.prefixes {
		if !withinAny(dir, prefixes) { // an ancestor sorts first
			prefixes = append(prefixes, dir)
		}
	}
	slices.Sort(f.files)
	for _, path := range f.files {
		if !withinAny(path, prefixes) {
			files = append(files, path)
		}
	}
	files = append(files, f.paths...)
	slices.Sort(files)
	return prefixes, slices.Compact(files)
}
