//go:build embedinit

package native

import _ "embed"

// initProgram is initprog, built without cgo by `make build`. It is a string so
// that the linker puts it among the constants, whose pages can be dropped.
//
//go:embed initprog.bin
var initProgram string
