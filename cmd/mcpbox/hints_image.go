package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// containerFlags are those of "docker run" that have no value behind them.
var containerFlags = []string{"--rm", "--init", "--interactive", "--tty", "--read-only", "--privileged", "--detach", "--sig-proxy", "--no-healthcheck", "--publish-all"}

// imageHint is what to type for the command line of a program that starts containers by
// itself, which it cannot in a box; "" for any other.
func imageHint(argv []string) string {
	if len(argv) < 2 || !slices.Contains([]string{"docker", "podman", "nerdctl"}, filepath.Base(argv[0])) {
		return ""
	}
	at := slices.Index(argv, "run")
	if at < 0 {
		return ""
	}
	image, rest := "IMAGE", []string(nil)
	for i := at + 1; i < len(argv); i++ {
		arg := argv[i]
		if !strings.HasPrefix(arg, "-") {
			image, rest = arg, argv[i+1:]
			break
		}
		short := !strings.HasPrefix(arg, "--") && strings.Trim(arg[1:], "idtP") == ""
		if !short && !strings.Contains(arg, "=") && !slices.Contains(containerFlags, arg) {
			i++ // its value
		}
	}
	line := "mcpbox run --backend containerd --image " + shellQuote(image)
	if len(rest) > 0 {
		line += " -- COMMAND " + commandLine(rest) + ", with the COMMAND that mcpbox explain says of the image"
	}
	return fmt.Sprintf("%s starts containers outside of any box, and reaches nobody who does that from within one; to run the image in a box, type: %s; what it had of the host (-v, -e) is said with --ro, --rw and --env", filepath.Base(argv[0]), line)
}
