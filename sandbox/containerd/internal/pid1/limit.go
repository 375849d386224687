package pid1

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mcpbox/mcpbox/sandbox/internal/userns"
	"golang.org/x/sys/unix"
)

// LimitArg is the first argument with which the program is not PID 1 but a hook of the
// runtime's (createContainer in the OCI Runtime Specification): it limits what can be had
// in the box's user namespace, of which it is root, and nobody on the host.
const LimitArg = "limit"

// Hook is where it is found. The runtime starts it in the root directory of the container,
// while "/" is still the host's.
const Hook = "/proc/self/cwd" + Init

// limits are those of a container. Nobody in it makes user namespaces.
func limits() []userns.Limit {
	return append(slices.Clone(userns.Limits), userns.Limit{Name: userns.UserNamespaces, Value: "0"})
}

// limit writes them, by way of the container's own proc, which is not sealed yet.
func limit() error {
	dir := strings.TrimPrefix(userns.Dir, "/")
	for _, l := range limits() {
		file, err := os.OpenFile(filepath.Join(dir, l.Name), os.O_WRONLY, 0)
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = file.WriteString(l.Value)
		file.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

// checkLimits refuses a user namespace without them, as of a runtime that knows no hooks.
// dir is userns.Dir.
func checkLimits(dir string) error {
	for _, l := range limits() {
		data, err := os.ReadFile(filepath.Join(dir, l.Name))
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return err
		}
		if got := strings.TrimSpace(string(data)); got != l.Value {
			return fmt.Errorf("%s is %s, not %s", l.Name, got, l.Value)
		}
	}
	return nil
}
