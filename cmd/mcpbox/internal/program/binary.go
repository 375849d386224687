package program

import (
	"debug/elf"
	"path/filepath"
	"strings"
)

// binary shows an ELF executable: its install prefix where one can be told, else
// its file, its loader and the libraries that it names by a path of its own.
func (f *finder) binary(real string) error {
	if f.done[real] {
		return nil
	}
	f.done[real] = true
	if f.covered(real) {
		return nil
	}
	switch dir := f.installPrefix(real); {
	case dir != "" && f.addPrefixOf(real, dir):
	case outermostModules(real) != "":
		if err := f.modules(outermostModules(real)); err != nil {
			return err
		}
	default:
		f.sharedInstall(real)
		if err := f.addFile(real); err != nil {
			return err
		}
	}
	return f.libraries(real, nil)
}

// installPrefix returns the directory that an executable was installed under
// together with its library, or "".
func (f *finder) installPrefix(real string) string {
	if dir := f.prefixOf(real); dir != "" {
		return dir
	}
	if dir := f.venvRoot(real); dir != "" {
		return dir
	}
	if filepath.Base(filepath.Dir(real)) != "bin" {
		return ""
	}
	prefix := filepath.Dir(filepath.Dir(real))
	for _, library := range installedLibraries(kindOfName(filepath.Base(real))) {
		if found, _ := filepath.Glob(filepath.Join(prefix, library)); len(found) > 0 {
			return prefix
		}
	}
	return ""
}

// installedLibraries lists what lies below the prefix of an interpreter.
func installedLibraries(k kind) []string {
	switch k {
	case nodeKind:
		return []string{"lib/node_modules/npm", "include/node"}
	case pythonKind:
		return []string{"lib/python[23].*", "lib/pypy[23].*"}
	case rubyKind:
		return []string{"lib/ruby"}
	case perlKind:
		return []string{"lib/perl5"}
	case javaKind:
		return []string{"lib/modules", "lib/jvm.cfg", "jre/lib"}
	}
	return nil
}

// sharedInstall shows the libraries of an interpreter that was installed into a
// prefix which many programs share, such as ~/.local.
func (f *finder) sharedInstall(real string) {
	if filepath.Base(filepath.Dir(real)) != "bin" {
		return
	}
	for _, library := range installedLibraries(kindOfName(filepath.Base(real))) {
		found, _ := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(real)), library))
		for _, dir := range found {
			f.addPrefixOf(real, dir)
		}
	}
}

// libraries shows what the dynamic loader takes from outside the system's
// directories: the loader itself, and each needed library that a run path
// leads to. inherited are the run paths of the executable that DT_RPATH hands
// down. See ld.so(8).
func (f *finder) libraries(real string, inherited []string) error {
	file, err := elf.Open(real)
	if err != nil {
		return &NotExecutableError{real, "it is not a valid ELF file: " + err.Error()}
	}
	defer file.Close()
	if loader := interpreterOf(file); loader != "" {
		if !isFile(loader) {
			return &NotFoundError{Name: loader, Looked: []string{loader}, NeededBy: real}
		}
		if err := f.object(real, loader); err != nil {
			return err
		}
		if target := canonical(loader); !f.covered(target) {
			if dir := f.prefixOf(target); dir == "" || !f.addPrefix(dir) {
				if err := f.addFile(target); err != nil {
					return err
				}
			}
		}
		if err := f.reach(loader); err != nil {
			return err
		}
	}
	run, _ := file.DynString(elf.DT_RUNPATH)
	handed, _ := file.DynString(elf.DT_RPATH)
	if len(run) > 0 { // then DT_RPATH is ignored
		handed = nil
	}
	origin := filepath.Dir(real)
	hand := append(expandOrigin(handed, origin), inherited...)
	search := append(expandOrigin(run, origin), hand...)
	needed, _ := file.ImportedLibraries()
	for _, name := range needed {
		if strings.Contains(name, "/") { // not searched for
			continue
		}
		for _, dir := range search {
			if path := filepath.Join(dir, name); isFile(path) {
				if err := f.library(real, path, hand); err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}

// library shows one shared library with its directory, which is where its own
// neighbours and the links to it are. neededBy is the canonical file whose run
// path leads to it.
func (f *finder) library(neededBy, path string, inherited []string) error {
	real := canonical(path)
	if f.done[real] {
		return nil
	}
	f.done[real] = true
	if withinAny(real, f.system) {
		return nil
	}
	if err := f.object(neededBy, path); err != nil {
		return err
	}
	f.addPrefixOf(neededBy, filepath.Dir(path))
	if err := f.addFile(real); err != nil {
		return err
	}
	if err := f.reach(path); err != nil {
		return err
	}
	return f.libraries(real, inherited)
}

// object refuses what the canonical binary neededBy names as its loader or
// library and is none, or lies where it may not lead.
func (f *finder) object(neededBy, path string) error {
	if err := f.learn(neededBy, path); err != nil {
		return err
	}
	real := canonical(path)
	file, err := elf.Open(real)
	if err != nil || file.Type != elf.ET_DYN && file.Type != elf.ET_EXEC {
		err = &ForbiddenError{real, neededBy + " names it as its loader or library, and it is none", "install that program again"}
	}
	if file != nil {
		file.Close()
	}
	return err
}

func interpreterOf(file *elf.File) string {
	for _, p := range file.Progs {
		if p.Type != elf.PT_INTERP || p.Filesz > 4096 {
			continue
		}
		text := make([]byte, p.Filesz)
		if _, err := p.ReadAt(text, 0); err == nil {
			return strings.TrimRight(string(text), "\x00")
		}
	}
	return ""
}

// expandOrigin splits run paths and replaces $ORIGIN, the directory of the file
// that holds them.
func expandOrigin(paths []string, origin string) []string {
	var dirs []string
	for _, list := range paths {
		for _, dir := range strings.Split(list, ":") {
			dir = strings.ReplaceAll(strings.ReplaceAll(dir, "${ORIGIN}", origin), "$ORIGIN", origin)
			if filepath.IsAbs(dir) {
				dirs = append(dirs, filepath.Clean(dir))
			}
		}
	}
	return dirs
}
