//go:build !embedinit

package containerd

// initProgram is empty in a plain `go build`, whose programs need libraries that an
// image may not have.
const initProgram = ""
