package program

import (
	"encoding/json"
	"path/filepath"
)

// platform is what Volta runs a program with: versions of Node and of the
// package managers. An empty version means the one that comes with Node.
type platform struct {
	Node struct {
		Runtime string `json:"runtime"`
		Npm     string `json:"npm"`
	} `json:"node"`
	Pnpm string `json:"pnpm"`
	Yarn string `json:"yarn"`
}

// behindVolta follows "volta which". All its shims are links to volta-shim,
// which reads: the "volta" key of the nearest package.json; for a package's
// program, tools/user/bins/NAME.json; else tools/user/platform.json.
func (f *finder) behindVolta(path, root string) (string, error) {
	name := filepath.Base(path)
	image := filepath.Join(root, "tools/image")
	var use platform
	readJSON(filepath.Join(root, "tools/user/platform.json"), &use)

	var bin struct {
		Package  string   `json:"package"`
		Platform platform `json:"platform"`
	}
	if readJSON(filepath.Join(root, "tools/user/bins", name+".json"), &bin) && filepath.IsLocal(bin.Package) {
		f.voltaNode(image, bin.Platform.Node.Runtime)
		if real := filepath.Join(image, "packages", bin.Package, "bin", name); executable(real) == nil {
			return real, nil
		}
	}
	f.voltaProject(&use)
	var dirs []string
	node := filepath.Join(image, "node", use.Node.Runtime, "bin")
	switch name {
	case "npm", "npx":
		if use.Node.Npm != "" {
			dirs = append(dirs, filepath.Join(image, "npm", use.Node.Npm, "bin"))
		}
	case "pnpm", "pnpx":
		dirs = append(dirs, filepath.Join(image, "pnpm", use.Pnpm, "bin"))
	case "yarn", "yarnpkg":
		dirs = append(dirs, filepath.Join(image, "yarn", use.Yarn, "bin"))
	}
	if use.Node.Runtime != "" {
		f.voltaNode(image, use.Node.Runtime)
		for _, dir := range append(dirs, node) {
			if real := filepath.Join(dir, name); executable(real) == nil {
				return real, nil
			}
		}
	}
	return "", &IndirectError{path, "Volta", "no installed version of it is selected for " + f.q.Cwd,
		orElse(filepath.Join(image, "*/*/bin", name), "type: volta which "+name+", and name what it prints")}
}

// voltaNode makes scripts find the Node that Volta would run them with.
func (f *finder) voltaNode(image, version string) {
	if dir := filepath.Join(image, "node", version, "bin"); version != "" && plain(version) && f.addPrefix(filepath.Dir(dir)) {
		f.addPathDir(canonical(dir))
		f.nodeDir = dir
	}
}

// voltaProject applies the versions that a project pins.
func (f *finder) voltaProject(use *platform) {
	for dir := filepath.Clean(f.q.Cwd); dir != "/" && dir != "."; dir = filepath.Dir(dir) {
		var project struct {
			Volta struct{ Node, Npm, Pnpm, Yarn, Extends string }
		}
		file := filepath.Join(dir, "package.json")
		if !readJSON(file, &project) {
			continue
		}
		// A workspace names the package.json to take the rest from.
		for n := 0; n < 8; n++ {
			pin := project.Volta
			use.Node.Runtime = either(pin.Node, use.Node.Runtime)
			use.Node.Npm = either(pin.Npm, use.Node.Npm)
			use.Pnpm = either(pin.Pnpm, use.Pnpm)
			use.Yarn = either(pin.Yarn, use.Yarn)
			for _, version := range []*string{&use.Node.Runtime, &use.Node.Npm, &use.Pnpm, &use.Yarn} {
				if !plain(*version) {
					*version = ""
				}
			}
			if pin.Extends == "" || pin.Node != "" {
				return
			}
			file = filepath.Join(filepath.Dir(file), pin.Extends)
			project.Volta = struct{ Node, Npm, Pnpm, Yarn, Extends string }{}
			if !readJSON(file, &project) {
				return
			}
		}
		return
	}
}

func either(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// readJSON reads a tool's own settings. It returns false where there are none
// that can be read.
func readJSON(path string, into any) bool {
	data, err := readSmall(path)
	return err == nil && json.Unmarshal(data, into) == nil
}
