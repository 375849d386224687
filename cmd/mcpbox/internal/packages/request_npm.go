package packages

import (
	"fmt"
	"net/url"
	"strings"
)

// npx is npm's own runner; see npm-exec(1), "npx vs npm exec". Whether it may
// ask, and where it looks first, has no meaning here: it never asks, and the
// answer is in the store.
func npx() *grammar {
	return &grammar{
		runner: "npx", kind: NPM, parse1: parseNPM,
		ignored: []string{"-y", "--yes", "-q", "--quiet", "-s", "--silent", "--prefer-online", "--prefer-offline", "--ignore-existing", "--no-update-notifier", "--no-audit", "--no-fund"},
		value:   map[string]string{"-p": "package", "--package": "package", "--registry": "registry", "--loglevel": "nothing"},
		refused: map[string]string{
			"-c": "runs a line of shell", "--call": "runs a line of shell",
			"-w": "is about a workspace", "--workspace": "is about a workspace", "--workspaces": "is about a workspace", "-ws": "is about a workspace",
			"-n": "is not understood", "--node-arg": "is not understood", "--shell-auto-fallback": "is not understood",
			"--no": "forbids to install", "--no-install": "forbids to install", "--offline": "forbids to install",
			"--userconfig": "names a configuration; set NPM_CONFIG_USERCONFIG instead", "--prefix": "names another directory",
		},
		example: "npx -y PACKAGE[@VERSION] [ARG...]",
	}
}

func npmExec() *grammar {
	g := npx()
	g.runner, g.late = "npm exec", true
	g.example = "npm exec -y -- PACKAGE[@VERSION] [ARG...]"
	return g
}

// bunx installs from npm's registry like npx. Programs run under Node.js unless
// --bun is given, which is refused.
func bunx() *grammar {
	return &grammar{
		runner: "bunx", kind: NPM, parse1: parseNPM,
		ignored: []string{"-y", "--yes", "--silent", "--verbose"},
		value:   map[string]string{"-p": "package", "--package": "package"},
		refused: map[string]string{"--bun": "runs Node.js programs under Bun", "--no-install": "forbids to install"},
		example: "bunx PACKAGE[@VERSION] [ARG...]",
	}
}

// pnpmDlx is also how Yarn's runner reads its line.
func pnpmDlx(runner string) *grammar {
	return &grammar{
		runner: runner, kind: NPM, parse1: parseNPM,
		ignored: []string{"-s", "--silent", "-q", "--quiet"},
		value:   map[string]string{"-p": "package", "--package": "package", "--reporter": "nothing", "--loglevel": "nothing"},
		refused: map[string]string{"-c": "runs a line of shell", "--shell-mode": "runs a line of shell", "--allow-build": `runs install scripts; name the packages in [packages] scripts of the policy`},
		example: runner + " PACKAGE[@VERSION] [ARG...]",
	}
}

// parseNPM reads NAME, NAME@VERSION, @SCOPE/NAME and @SCOPE/NAME@VERSION.
func parseNPM(text string) (Spec, error) {
	bare, scope := text, ""
	if strings.HasPrefix(text, "@") {
		var ok bool
		if scope, bare, ok = strings.Cut(text, "/"); !ok {
			return Spec{}, fmt.Errorf("%q: %w: a scope is followed by a slash and a name", text, errNotPackage)
		}
		if !nameOfNPM(scope[1:]) {
			return Spec{}, fmt.Errorf("%q: %w", text, errNotPackage)
		}
		scope += "/"
	}
	name, version, versioned := strings.Cut(bare, "@")
	if !nameOfNPM(name) {
		return Spec{}, fmt.Errorf("%q: %w, and programs are not fetched from elsewhere (git, files, addresses)", text, errNotPackage)
	}
	if versioned && version == "" || strings.IndexFunc(version, notInVersion) >= 0 {
		return Spec{}, fmt.Errorf("%q: after the @ there has to be a version, a range of versions or a tag", text)
	}
	return Spec{scope + name, version}, nil
}

// nameOfNPM reports whether a package or scope can be called so. Older packages
// have capitals. What is allowed is also harmless as a file's name.
func nameOfNPM(s string) bool {
	return s != "" && len(s) <= 214 && s[0] != '.' && s[0] != '_' && s[0] != '-' && strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._~", r))
	}) < 0
}

// notInVersion finds what no version, range or tag has. A colon or slash would
// make it a place to fetch from.
func notInVersion(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-._+^~<>=|* ", r))
}

// ParseRegistry reads the address of a registry. Errors do not quote it: there
// may be a password in it.
func ParseRegistry(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "":
		return nil, fmt.Errorf("the registry's address is not understood: it has to be https://HOST/ or http://HOST/")
	case u.User != nil:
		return nil, fmt.Errorf("the registry's address has a user or password in it: put them into .npmrc")
	}
	return u, nil
}
