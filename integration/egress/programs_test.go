package egress

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
)

// program is the path of one that a client needs, "" if this machine lacks it.
// Only what every user can run counts: no version manager in root's home.
func program(names ...string) string {
	for _, name := range names {
		if filepath.IsAbs(name) {
			list, _ := filepath.Glob(name)
			if len(list) > 0 {
				return slices.Max(list)
			}
			continue
		}
		for _, dir := range []string{"/usr/local/bin", "/usr/bin", "/bin"} {
			path := filepath.Join(dir, name)
			if info, err := os.Stat(path); err == nil && info.Mode()&0o111 != 0 {
				return path
			}
		}
	}
	return ""
}

// node is the path of a Node.js of a version that scripts/test installed, or
// else the machine's own if it is of that version.
func node(major string) string {
	dir := os.Getenv("MCPBOX_SERVERS")
	if dir == "" {
		dir, _ = filepath.Abs("../../build/servers")
	}
	if path := program(filepath.Join(dir, "nodes/node_modules/node"+major+"-*/bin/node")); path != "" {
		path, _ = filepath.EvalSymlinks(path)
		return path
	}
	if path := program("node"); path != "" {
		if b, err := exec.Command(path, "--version").Output(); err == nil && bytes.HasPrefix(b, []byte("v"+major+".")) {
			return path
		}
	}
	return ""
}
