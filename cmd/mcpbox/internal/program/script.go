package program

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// script shows a script, with its interpreter. See "Interpreter scripts" in
// execve(2).
func (f *finder) script(path, real, head string, depth int) ([]string, error) {
	interp, args, search := shebang(head)
	if interp == "" {
		return nil, &NotExecutableError{real, "its first line, after #!, names no interpreter"}
	}
	at, err := f.interpreter(interp, search, real)
	if err != nil {
		return nil, err
	}
	launch, err := f.exec(at, depth+1)
	if err != nil {
		return nil, err
	}
	if err := f.scriptFiles(real, kindOf(at, launch)); err != nil {
		return nil, err
	}
	// The kernel starts the interpreter by its path in the script, env by its
	// name. A shim is neither in the box, so what is behind it is started with
	// the script as its argument.
	if len(launch) == 1 && launch[0] == at {
		return []string{path}, nil
	}
	return append(append(slices.Clone(launch), args...), path), nil
}

// interpreter finds what a script's first line names.
func (f *finder) interpreter(name string, search bool, script string) (string, error) {
	if !search && !filepath.IsAbs(name) { // the kernel takes it from the working directory
		return "", &NotExecutableError{script, "its interpreter " + name + " is not an absolute path"}
	}
	path, err := f.look(name, script)
	if err == nil && strings.Contains(name, "/") {
		err = f.learn(script, path)
	}
	var missing *NotFoundError
	if errors.As(err, &missing) && search && strings.Contains(name, "/") {
		missing.Looked = []string{f.abs(name)}
	}
	return path, err
}

// shebang parses the first line of a script: the interpreter, the arguments
// before the script's name, and whether env looks the interpreter up in PATH.
func shebang(head string) (interp string, args []string, search bool) {
	line, rest, _ := strings.Cut(strings.TrimPrefix(head, "#!"), "\n")
	line = strings.Trim(line, " \t\r")
	interp, arg, _ := cutSpace(line)
	if arg != "" {
		args = []string{arg} // "the entire string", not split
	}
	switch filepath.Base(interp) {
	case "env":
		words := envWords(arg)
		if len(words) == 0 {
			return interp, args, false
		}
		return words[0], words[1:], true
	case "sh":
		// What pip and uv write where the interpreter's path is too long for
		// the kernel, or has a space in it:
		//
		//	#!/bin/sh
		//	'''exec' "/path with space/python" "$0" "$@"
		second, _, _ := strings.Cut(rest, "\n")
		if command, ok := strings.CutPrefix(second, "'''exec' "); ok {
			if words := SplitWords(command); len(words) > 0 {
				return words[0], nil, false
			}
		}
	}
	return interp, args, false
}

func cutSpace(s string) (before, after string, found bool) {
	i := strings.IndexAny(s, " \t")
	if i < 0 {
		return s, "", false
	}
	return s[:i], strings.TrimLeft(s[i:], " \t"), true
}

// envWords returns what env(1), called with one argument by the kernel, would
// start: the program and its arguments. Without -S the argument is one word.
func envWords(arg string) []string {
	var words []string
	switch {
	case arg == "":
		return nil
	case strings.HasPrefix(arg, "--split-string="):
		words = SplitWords(strings.TrimPrefix(arg, "--split-string="))
	case len(arg) > 1 && arg[0] == '-' && strings.Contains(firstWord(arg), "S"):
		// -S may end a group of options, such as -iS or -vS.
		words = SplitWords(arg[strings.IndexByte(arg, 'S')+1:])
	default:
		return []string{arg}
	}
	for options := true; len(words) > 0; {
		word, n := words[0], 1
		switch {
		case options && word == "--":
			options = false
		case options && strings.HasPrefix(word, "--"):
			// A name may be cut short; with "=" the value is in the same word.
			for _, name := range []string{"--unset", "--chdir", "--argv0"} {
				if strings.HasPrefix(name, word) {
					n = 2
				}
			}
		case options && strings.HasPrefix(word, "-"):
			// The first letter with a value takes the rest, or the next word.
			if i := strings.IndexAny(word, "uCa"); i > 0 && i == len(word)-1 {
				n = 2
			}
		case !strings.Contains(word, "="):
			return words
		}
		words = words[min(n, len(words)):]
	}
	return nil
}

func firstWord(s string) string {
	word, _, _ := cutSpace(s)
	return word
}

// SplitWords splits at blanks, with single and double quotes and backslashes as
// in a shell.
func SplitWords(s string) []string {
	var words []string
	var word strings.Builder
	in, quote := false, byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case c == '\\' && quote != '\'' && i+1 < len(s):
			i++
			word.WriteByte(s[i])
			in = true
		case quote != 0:
			word.WriteByte(c)
		case c == '\'' || c == '"':
			quote, in = c, true
		case c == ' ' || c == '\t':
			if in {
				words = append(words, word.String())
				word.Reset()
			}
			in = false
		default:
			word.WriteByte(c)
			in = true
		}
	}
	if in {
		words = append(words, word.String())
	}
	return words
}

// scriptFiles shows a script with the package that it belongs to.
func (f *finder) scriptFiles(real string, kind kind) error {
	if f.covered(real) {
		return f.userSite(real, kind)
	}
	if dir := f.prefixOf(real); dir != "" && f.addPrefixOf(real, dir) {
		return nil
	}
	if dir := f.venvRoot(real); dir != "" && f.addPrefix(dir) {
		return nil
	}
	if modules := outermostModules(real); modules != "" {
		return f.modules(modules)
	}
	if f.pnpmWrapper(real) {
		return f.addFile(real)
	}
	switch kind {
	case nodeKind, bunKind, denoKind:
		if err := f.nodePackage(real, kind); err != nil || f.covered(real) {
			return err
		}
		f.ownDir(real)
	case pythonKind, rubyKind, perlKind, phpKind, javaKind, dotnetKind:
		f.ownDir(real)
	}
	if err := f.addFile(real); err != nil {
		return err
	}
	return f.userSite(real, kind)
}

// ownDir shows the directory that a script lies in, where that can be taken to
// be the script's own: scripts load their neighbours. Directories of programs
// and private ones are not, nor is where a link on the command line leads.
func (f *finder) ownDir(real string) {
	dir := filepath.Dir(real)
	switch name := filepath.Base(dir); {
	case name == "bin" || name == "sbin" || name == "tmp":
		return
	case f.private(dir) && !f.declared(dir) || f.linked == real:
		return
	}
	f.addPrefix(dir)
}

// readLines returns the lines of a small text file, or none.
func readLines(path string) []string {
	data, err := readSmall(path)
	if err != nil {
		return nil
	}
	return strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")
}

// maxSmall bounds the settings of tools and projects, in bytes.
const maxSmall = 4 << 20

// readSmall reads a settings file, which a server may have made endless or
// replaced with a pipe that nobody writes to.
func readSmall(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > maxSmall:
		return nil, &os.PathError{Op: "read", Path: path, Err: syscall.EFBIG}
	}
	return io.ReadAll(io.LimitReader(file, maxSmall))
}
