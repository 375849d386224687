//go:build layersoff

package stage

import (
	"slices"

	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
)

// layerOff leaves out the layers that the plan names. This file is part of test
// binaries only: a jail whose every layer answers first hides the hole beneath.
func layerOff(plan *wire.Plan, name string) bool { return slices.Contains(plan.LayersOff, name) }
