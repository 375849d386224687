package program

import (
	"os"
	"path/filepath"
	"strings"
)

// maxLinkedPackages bounds how many directories the links of one node_modules
// may add to a box.
const maxLinkedPackages = 64

// outermostModules returns the highest directory named node_modules on the way
// to path, or "". Everything that Node resolves from there lies inside it,
// unless a link leaves it.
func outermostModules(path string) string {
	if i := strings.Index(path+"/", "/node_modules/"); i >= 0 {
		return path[:i] + "/node_modules"
	}
	return ""
}

// modules shows a node_modules directory, and the packages that links in it
// lead to: workspaces, "npm link", and pnpm's store. Its programs are written
// for Node, whatever their first line says, so Node is shown too, where there
// is one.
func (f *finder) modules(dir string) error {
	real := canonical(dir)
	if f.done[real] {
		return nil
	}
	f.done[real] = true
	if f.withheld(real) {
		return privateError(real)
	}
	if filepath.Base(real) != "node_modules" || !f.pnpmLinks(real) && !f.addPrefix(real) {
		return &ForbiddenError{dir, "it may not be shown", "install the package in a directory of its own"}
	}
	if err := f.linkedPackages(real); err != nil {
		return err
	}
	if node, err := f.look("node", ""); err == nil {
		_, err = f.exec(node, 1)
		return err
	}
	return nil
}

// pnpmLinks shows pnpm's global virtual store, where each package has a
// directory of its own with links to those it depends on:
// STORE/v10/links/NAME/VERSION/HASH/node_modules/….
func (f *finder) pnpmLinks(modules string) bool {
	i := strings.Index(modules, "/links/")
	return i >= 0 && strings.HasPrefix(filepath.Base(modules[:i]), "v") && f.addPrefix(modules[:i]+"/links")
}

func (f *finder) linkedPackages(modules string) error {
	entries, err := os.ReadDir(modules)
	if err != nil {
		return &ForbiddenError{modules, err.Error(), "make it readable"}
	}
	for _, e := range entries {
		path := filepath.Join(modules, e.Name())
		if e.IsDir() && strings.HasPrefix(e.Name(), "@") {
			if err := f.linkedPackages(path); err != nil {
				return err
			}
		}
		if e.Type()&os.ModeSymlink == 0 {
			continue
		}
		target, err := filepath.EvalSymlinks(path)
		if err != nil || f.covered(target) { // a link to nothing harms nobody
			continue
		}
		if f.learn("", path) != nil || !f.isPackage(target) {
			continue // not shown: the import fails, and names it
		}
		if err := f.linkedPackage(target, path); err != nil {
			return err
		}
	}
	return nil
}

// isPackage reports whether a link in a node_modules may bring the canonical
// directory into a box.
func (f *finder) isPackage(dir string) bool {
	file := filepath.Join(dir, "package.json")
	info, err := os.Lstat(file)
	return err == nil && info.Mode().IsRegular() && f.owned(file) && f.owned(dir) && (!f.private(dir) || f.declared(dir))
}

// linkedPackage shows the package at target.
func (f *finder) linkedPackage(target, link string) error {
	if f.links++; f.links > maxLinkedPackages {
		return &ForbiddenError{link, "the packages linked there lie in too many places", "declare the directory above them with --ro, or install without links"}
	}
	if modules := outermostModules(target); modules != "" {
		return f.modules(modules)
	}
	if !f.addPrefix(target) {
		return nil
	}
	if own := filepath.Join(target, "node_modules"); isDir(own) {
		return f.linkedPackages(own)
	}
	return nil
}

// nodePackage shows what a script outside any node_modules belongs to: the
// nearest directory above it with a package.json, and every node_modules that
// Node would search from there.
func (f *finder) nodePackage(script string, k kind) error {
	marks := []string{"package.json"}
	if k == denoKind {
		marks = []string{"deno.json", "deno.jsonc", "package.json"}
	}
	root := f.above(filepath.Dir(script), marks)
	switch {
	case root == "":
		return nil
	case f.mayLead(script, root):
		if !f.addPrefix(root) {
			return nil
		}
	default:
		// The directory above belongs to another package, if a server has
		// removed what marked its own. What Node reads there is shown.
		for _, mark := range marks {
			if file := filepath.Join(root, mark); isFile(file) && canonical(file) == file {
				if err := f.addFile(file); err != nil {
					return err
				}
			}
		}
	}
	for dir := root; dir != "/" && !within(f.home, dir); dir = filepath.Dir(dir) {
		if modules := filepath.Join(dir, "node_modules"); isDir(modules) {
			if filepath.Base(canonical(modules)) == "node_modules" && f.addPrefix(modules) {
				if err := f.linkedPackages(canonical(modules)); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// above returns the nearest directory, from dir upwards, that holds one of the
// named files and may be shown, or "".
func (f *finder) above(dir string, names []string) string {
	for ; dir != "/" && !within(f.home, dir); dir = filepath.Dir(dir) {
		for _, name := range names {
			if isFile(filepath.Join(dir, name)) {
				return dir
			}
		}
	}
	return ""
}

// pnpmWrapper reports whether a script is one of those that pnpm writes beside
// its global packages, and shows them: it starts "$basedir/global/5/…".
func (f *finder) pnpmWrapper(real string) bool {
	global := filepath.Join(filepath.Dir(real), "global")
	head, err := readHead(real)
	if err != nil || !strings.Contains(head, "$basedir/global/") || !f.addPrefixOf(real, global) {
		return false
	}
	versions, err := os.ReadDir(global)
	if err != nil {
		return false
	}
	for _, v := range versions {
		if modules := filepath.Join(global, v.Name(), "node_modules"); isDir(modules) {
			if f.modules(modules) != nil {
				return false
			}
		}
	}
	return true
}
