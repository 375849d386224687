//go:build layersoff

package native

import (
	"os"
	"slices"
	"strings"
)

// layersOff names the layers that a test wants to see without: the tests prove
// each layer on its own. No released binary is built with this tag.
func layersOff() []string {
	return strings.FieldsFunc(os.Getenv("MCPBOX_LAYER_OFF"), func(r rune) bool { return r == ',' })
}

// layerIsOff is for what the launcher itself does.
func layerIsOff(name string) bool { return slices.Contains(layersOff(), name) }
