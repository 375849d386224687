package program

import (
	"path/filepath"
	"strings"
)

// kind is an interpreter's family: it decides how its command line is read and
// what belongs to a script.
type kind int

const (
	noKind kind = iota
	nodeKind
	bunKind
	denoKind
	pythonKind
	rubyKind
	perlKind
	phpKind
	javaKind
	dotnetKind
	shellKind
)

// kindOf tells an interpreter by the name it was found under, or else by that
// of the program behind it.
func kindOf(path string, launch []string) kind {
	names := []string{path}
	if len(launch) > 0 {
		names = append(names, launch[0], canonical(launch[0]))
	}
	for _, name := range names {
		if k := kindOfName(filepath.Base(name)); k != noKind {
			return k
		}
	}
	return noKind
}

func kindOfName(name string) kind {
	// python3.12, ruby3.1, node-20, php8.2
	switch strings.TrimRight(name, "0123456789.-") {
	case "node", "nodejs", "tsx", "ts-node":
		return nodeKind
	case "bun", "bunx":
		return bunKind
	case "deno":
		return denoKind
	case "python", "pypy", "pythonw":
		return pythonKind
	case "ruby":
		return rubyKind
	case "perl":
		return perlKind
	case "php":
		return phpKind
	case "java":
		return javaKind
	case "dotnet":
		return dotnetKind
	case "sh", "bash", "dash", "ash", "zsh", "ksh":
		return shellKind
	}
	return noKind
}

// syntax is how an interpreter's options are told from its script.
type syntax struct {
	value []string // options followed by a value
	files []string // those whose value is a file to show
	stop  []string // options after which no script follows
	verbs []string // words that may stand before the script
	// short is set where one-letter options can be written together; shortStop
	// and shortValue are those of them that end the options or take a value.
	short                 bool
	shortStop, shortValue string
}

func syntaxOf(k kind) syntax {
	switch k {
	case nodeKind:
		return syntax{
			value: []string{"-C", "--conditions", "--input-type", "--title", "--diagnostic-dir", "--icu-data-dir", "--disable-warning", "--tsconfig", "--project", "-P"},
			files: []string{"-r", "--require", "--import", "--loader", "--experimental-loader", "--experimental-config-file"},
			stop:  []string{"-e", "--eval", "-p", "--print", "-pe", "-v", "--version", "-h", "--help", "-i", "--interactive", "--run"},
			verbs: []string{"watch"},
		}
	case bunKind:
		return syntax{
			value: []string{"--cwd", "--conditions", "--define", "-d", "--loader", "-l", "--port", "--inspect"},
			files: []string{"-r", "--preload", "-c", "--config", "--env-file", "--tsconfig-override"},
			stop:  []string{"-e", "--eval", "-p", "--print", "-v", "--version", "-h", "--help", "x", "install", "add", "create", "test", "build", "exec"},
			verbs: []string{"run"},
		}
	case denoKind:
		return syntax{
			value: []string{"--location", "--seed", "-L", "--log-level", "--v8-flags", "--ext", "--port", "--host"},
			files: []string{"-c", "--config", "--import-map", "--lock", "--cert", "--preload"},
			stop:  []string{"eval", "repl", "install", "task", "test", "cache", "compile", "-V", "--version", "-h", "--help"},
			verbs: []string{"run", "serve"},
		}
	case pythonKind:
		return syntax{value: []string{"--check-hash-based-pycs"}, stop: []string{"--version", "--help"}, short: true, shortStop: "cmVh", shortValue: "WXQ"}
	case rubyKind:
		return syntax{value: []string{"-C"}, files: []string{"-I", "-r"}, stop: []string{"-e", "-v", "--version", "-h", "--help"}}
	case perlKind:
		return syntax{short: true, shortStop: "eEvVh"}
	case phpKind:
		return syntax{value: []string{"-d", "-z"}, files: []string{"-f", "-c"}, stop: []string{"-r", "-v", "-h", "-i", "-m"}}
	case javaKind:
		return syntax{
			value: []string{"--add-modules", "--add-opens", "--add-exports", "--add-reads", "-m", "--module"},
			files: []string{"-jar", "-cp", "-classpath", "--class-path", "-p", "--module-path"},
			stop:  []string{"-version", "--version", "-help", "--help"},
		}
	case dotnetKind:
		return syntax{files: []string{"--runtimeconfig", "--depsfile", "--additional-deps"}, stop: []string{"run", "build", "tool", "--info", "--version"}, verbs: []string{"exec"}}
	case shellKind:
		return syntax{value: []string{"-o", "-O", "--rcfile", "--init-file"}, short: true, shortStop: "cs"}
	}
	return syntax{}
}
