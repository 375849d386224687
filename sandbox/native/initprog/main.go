// Mcpbox-init is the program that runs inside a native box until the server
// does. It is built without cgo, embedded into mcpbox, and started from a sealed
// memfd; started by hand it refuses.
package main

import (
	"os"

	"github.com/mcpbox/mcpbox/sandbox/native/internal/stage"
)

func main() { stage.Main(os.Args) }
