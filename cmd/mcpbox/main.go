// Mcpbox starts MCP servers in boxes. See the README for a tour, and run.go for
// the pipeline from a command line to a running server.
package main

import (
	"os"

	"github.com/mcpbox/mcpbox/sandbox/native"
)

// version is set by the linker, from the tag that is built.
var version = "devel"

func main() {
	native.Init()
	initContainerd()
	os.Exit(execute(os.Args[1:], console{in: os.Stdin, out: os.Stdout, err: os.Stderr}))
}
