//go:build !layersoff

package stage

import "github.com/mcpbox/mcpbox/sandbox/native/internal/wire"

// layerOff is constant: every layer is always on.
func layerOff(*wire.Plan, string) bool { return false }
