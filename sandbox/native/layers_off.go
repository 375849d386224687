//go:build layersoff

package native

import (
	"os"
	"strings"
)

// layersOff names the layers that a test wants to see without: the tests prove
// each layer on its own. No released binary is built with this tag.
func layersOff() []string {
	return strings.FieldsFunc(os.Getenv("MCPBOX_LAYER_OFF"), func(r rune) bool { return r == ',' })
}
