package main

import (
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// nameOf derives a server's name from its command: the package of a script, the
// script, or the program.
func nameOf(argv []string) string {
	name := filepath.Base(argv[0])
	switch ext := filepath.Ext(name); {
	case strings.Contains(argv[0], "node_modules/"):
		name = nameOfScript(argv[0])
	case slices.Contains([]string{".js", ".mjs", ".cjs", ".ts", ".py", ".sh", ".exe"}, ext):
		name = strings.TrimSuffix(name, ext)
	}
	for i, arg := range argv[1:] {
		if !isInterpreter(name) || arg == "-c" || arg == "-e" {
			break
		}
		if arg == "-m" && i+2 < len(argv) {
			name = argv[i+2]
			break
		}
		if strings.HasPrefix(arg, "-") || arg == "run" {
			continue
		}
		name = nameOfScript(arg)
		break
	}
	return cleanName(name)
}

func isInterpreter(name string) bool {
	stem := strings.TrimRight(name, "0123456789.")
	return slices.Contains([]string{"node", "nodejs", "python", "deno", "bun", "ruby", "java", "sh", "bash", "npx", "uvx", "tsx"}, stem)
}

// plainNames say nothing about a server; the directory above them does.
var plainNames = []string{"index", "main", "server", "cli", "start", "dist", "build", "src", "bin", "lib", "__main__"}

func nameOfScript(path string) string {
	if i := strings.LastIndex(path, "node_modules/"); i >= 0 {
		rest := strings.Split(path[i+len("node_modules/"):], "/")
		if strings.HasPrefix(rest[0], "@") && len(rest) > 1 {
			return rest[1]
		}
		return rest[0]
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return path
	}
	for {
		base := filepath.Base(abs)
		name := strings.TrimSuffix(base, filepath.Ext(base))
		if !slices.Contains(plainNames, name) || filepath.Dir(abs) == "/" {
			return name
		}
		abs = filepath.Dir(abs)
	}
}

// nameOfImage is the last part of an image's reference, without tag and digest.
func nameOfImage(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	name, _, _ := strings.Cut(ref[strings.LastIndexByte(ref, '/')+1:], ":")
	return cleanName(name)
}

// cleanName keeps what a journal directory may be called.
func cleanName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
			return r
		}
		return '-'
	}, s)
	s = strings.TrimLeft(s, ".-")
	if s = s[:min(len(s), 64)]; s == "" {
		return "server"
	}
	return s
}

// currentUmask reads the umask, which can only be read by setting it.
func currentUmask() uint32 {
	old := unix.Umask(0o077)
	unix.Umask(old)
	return uint32(old)
}
