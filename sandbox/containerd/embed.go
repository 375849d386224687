//go:build embedinit

package containerd

import _ "embed"

// initProgram is initprog, built without cgo by `make build`.
//
//go:embed initprog.bin
var initProgram string
