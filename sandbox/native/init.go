package native

import (
	"os"

	"github.com/mcpbox/mcpbox/sandbox/native/internal/stage"
	"github.com/mcpbox/mcpbox/sandbox/native/internal/wire"
)

// Init must be the first call of main, and of TestMain in a package whose tests
// start boxes. In a binary without the embedded init program the box's stages
// are this program, started again; Init then runs the stage and never returns.
// Otherwise it does nothing.
func Init() {
	if len(initProgram) == 0 && len(os.Args) == 2 && os.Args[0] == wire.Arg0 {
		stage.Main(os.Args)
	}
}
