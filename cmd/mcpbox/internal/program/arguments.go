package program

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// arguments shows the files that an interpreter's command line names as code:
// the script, what it preloads, a class path. It returns the arguments with
// those files named as the box knows them. Any other argument is data, and only
// a policy can show it.
func (f *finder) arguments(path string, launch, args []string) ([]string, error) {
	args = slices.Clone(args)
	k := kindOf(path, launch)
	if k == noKind {
		return args, nil
	}
	if k == pythonKind {
		if err := f.userSite(canonical(launch[len(launch)-1]), k); err != nil {
			return nil, err
		}
	}
	if k == javaKind {
		f.javaConfig(canonical(launch[0]))
	}
	for _, i := range codeArguments(syntaxOf(k), k, args) {
		arg, err := f.code(args[i], k)
		if err != nil {
			return nil, err
		}
		args[i] = arg
	}
	return args, nil
}

// codeArguments returns the indices of the arguments that name code.
func codeArguments(s syntax, k kind, args []string) []int {
	var found []int
	for i := 0; i < len(args); i++ {
		arg := args[i]
		option, _, assigned := strings.Cut(arg, "=")
		switch {
		case arg == "--":
			if i+1 < len(args) {
				found = append(found, i+1)
			}
			return found
		case slices.Contains(s.stop, arg):
			return found
		case slices.Contains(s.files, option) && assigned:
			found = append(found, i)
		case slices.Contains(s.files, arg):
			if i++; i < len(args) {
				found = append(found, i)
			}
			if k == javaKind && arg == "-jar" || k == phpKind && arg == "-f" {
				return found // what follows is the program's own
			}
		case slices.Contains(s.value, arg):
			i++
		case len(arg) > 1 && arg[0] == '-':
			if s.short && arg[1] != '-' {
				if strings.ContainsAny(arg[1:], s.shortValue) && s.shortValue != "" {
					at := strings.IndexAny(arg[1:], s.shortValue) + 1
					if strings.ContainsAny(arg[1:at], s.shortStop) {
						return found
					}
					if at == len(arg)-1 {
						i++
					}
				} else if strings.ContainsAny(arg[1:], s.shortStop) {
					return found
				}
			}
		case slices.Contains(s.verbs, arg) && !isFile(arg):
			s.verbs = nil
		default:
			return append(found, i) // the script; "-" is stdin, and no file
		}
	}
	return found
}

// code shows one file that an argument names, and returns the argument as it
// reads in the box.
func (f *finder) code(arg string, k kind) (string, error) {
	if option, value, ok := strings.Cut(arg, "="); ok && strings.HasPrefix(option, "-") {
		value, err := f.code(value, k)
		return option + "=" + value, err
	}
	if k == javaKind && strings.Contains(arg, ":") {
		parts := strings.Split(arg, ":")
		for i := range parts {
			var err error
			if parts[i], err = f.code(parts[i], k); err != nil {
				return "", err
			}
		}
		return strings.Join(parts, ":"), nil
	}
	if dir, ok := strings.CutSuffix(arg, "/*"); ok && k == javaKind {
		dir, err := f.code(dir, k)
		return dir + "/*", err
	}
	path := f.abs(arg)
	info, err := os.Stat(path)
	for _, suffix := range suffixesOf(k) {
		if err == nil {
			break
		}
		if info, err = os.Stat(path + suffix); err == nil {
			path += suffix
		}
	}
	if err != nil || !info.Mode().IsRegular() && !info.IsDir() {
		return arg, nil // the program says so itself
	}
	chain, err := hops(path)
	if err != nil {
		return "", &NotFoundError{Name: arg, Looked: []string{path}}
	}
	real := chain[len(chain)-1]
	if err := f.learn("", path); err != nil {
		return "", err
	}
	f.name(path)
	if len(chain) > 1 {
		f.linked = real
	}
	if err := f.venvOn(path, chain[0]); err != nil {
		return "", err
	}
	if info.IsDir() {
		if !f.codeDir(real, k) {
			if f.withheld(real) {
				return "", privateError(real)
			}
			return "", &ForbiddenError{real, "it is a directory that belongs to no program alone", "name the script in it by its full path"}
		}
	} else if err := f.scriptFiles(real, k); err != nil {
		return "", err
	}
	if err := f.reach(path); err != nil {
		return "", err
	}
	if filepath.IsAbs(arg) {
		return arg, nil
	}
	return path, nil // the box may have another working directory
}

// codeDir shows a directory that is itself run, such as a Python package or
// what a package.json describes.
func (f *finder) codeDir(real string, k kind) bool {
	if f.covered(real) {
		return true
	}
	switch k {
	case nodeKind, bunKind, denoKind:
		if err := f.nodePackage(filepath.Join(real, "index.js"), k); err != nil {
			return false
		}
	}
	return f.covered(real) || f.addPrefix(real)
}

// suffixesOf lists what an interpreter adds to a script's name to find it.
func suffixesOf(k kind) []string {
	if k == nodeKind {
		return []string{".js", ".json", ".node", ".mjs", ".cjs", ".ts"}
	}
	return nil
}
