// Mcpbox-init is PID 1 of containers. It is built without cgo, embedded into
// mcpbox, and put into each container; started by hand it refuses.
package main

import "github.com/mcpbox/mcpbox/sandbox/containerd/internal/pid1"

func main() { pid1.Main() }
