//go:build !embedinit

package native

// initProgram is empty in a plain `go build`: the program itself serves.
const initProgram = ""
