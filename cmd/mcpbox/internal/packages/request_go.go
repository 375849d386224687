package packages

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Go is a proxy of Go modules (go.dev/ref/mod, "GOPROXY protocol"). The name of a
// [Spec] of this kind is the path of a package, its version a module query.
const Go Kind = "go"

// goFlags are the flags of "go run" that take a value, from "go help build" and
// "go help run": what stands behind one of them is not the package.
var goFlags = []string{"-C", "-asmflags", "-buildmode", "-compiler", "-covermode", "-coverpkg", "-exec", "-gccgoflags", "-gcflags", "-installsuffix",
	"-ldflags", "-mod", "-modfile", "-overlay", "-p", "-pgo", "-pkgdir", "-tags", "-toolexec"}

// goRun reads "go run PACKAGE@VERSION", which downloads and builds at each start.
// Other forms are about what is there already; for those it returns nil.
func goRun(args []string) (*Request, error) {
	if len(args) == 0 || args[0] != "run" {
		return nil, nil
	}
	args = slices.Clone(args[1:])
	for i := 0; ; i++ {
		if i >= len(args) || args[i] == "" {
			return nil, nil
		}
		if args[i][0] != '-' {
			if !strings.Contains(args[i], "@") || strings.HasSuffix(args[i], ".go") {
				return nil, nil
			}
			break
		}
		if rest, two := strings.CutPrefix(args[i], "--"); two && rest != "" { // Go takes one dash and two for the same
			args[i] = "-" + rest
		}
		if slices.Contains(goFlags, args[i]) {
			i++
		}
	}
	g := &grammar{
		runner: "go run", kind: Go, parse1: parseGo,
		ignored: []string{"-v", "-x", "-a", "-trimpath"},
		value:   map[string]string{"-tags": "build", "-ldflags": "build", "-mod": "nothing", "-p": "nothing"},
		refused: map[string]string{
			"-exec": "runs another program", "-toolexec": "runs another program", "-n": "runs nothing",
			"-C": "is about a directory", "-modfile": "is about a module that is there", "-overlay": "reads other files", "-pkgdir": "reads other files",
			"-race": `needs a C compiler's run-time`, "-msan": `needs a C compiler's run-time`, "-asan": `needs a C compiler's run-time`,
		},
		example: "go run PACKAGE@VERSION [ARG...]",
	}
	return g.parse(args)
}

// parseGo reads PACKAGE@VERSION. The path's first element is the name of a host
// (go.dev/ref/mod, "Module paths"): without a dot it is of the standard library.
func parseGo(text string) (Spec, error) {
	name, version, _ := strings.Cut(text, "@")
	host, _, _ := strings.Cut(name, "/")
	if !pathOfGo(name) || !strings.Contains(host, ".") {
		return Spec{}, fmt.Errorf("%q: it is no package of a module that a proxy has", text)
	}
	if !versionOfGo(version) || slices.Contains([]string{"none", "patch", "upgrade"}, version) {
		return Spec{}, fmt.Errorf("%q: after the @ there has to be a version such as v1.2.3 or v1, the name of a branch, or latest", text)
	}
	if version == "latest" {
		version = "" // the same request
	}
	return Spec{name, version}, nil
}

// pathOfGo reports whether a package or module can be called so
// (golang.org/x/mod/module, CheckPath), and nothing that leads elsewhere.
func pathOfGo(s string) bool {
	if len(s) > 200 {
		return false
	}
	for element := range strings.SplitSeq(s, "/") {
		if element == "" || element[0] == '-' || element[0] == '.' || strings.Trim(element, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~") != "" {
			return false
		}
	}
	return true
}

func versionOfGo(s string) bool {
	return s != "" && len(s) <= 128 && s[0] != '-' && s[0] != '.' && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._+") == ""
}

// goProgram is the name that "go install" gives a package's program: the last
// element of its path that is no major version.
func goProgram(pkg string) string {
	name := path.Base(pkg)
	if dir := path.Dir(pkg); dir != "." && len(name) > 1 && name[0] == 'v' && strings.Trim(name[1:], "0123456789") == "" && name != "v0" && name != "v1" {
		return path.Base(dir)
	}
	return name
}
