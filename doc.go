// Package mcpbox has no code: its tests keep the rules of the whole repository.
//
// hygiene_test.go holds what no source file may do, each rule with its reason
// and with a sample of code that breaks it; imports_test.go holds which package
// may know which; repository_test.go holds what must agree with what, such as
// the README with go.mod. They are this project's lint configuration, beside
// staticcheck.conf, and run with every `go test ./...`.
//
// The program is cmd/mcpbox. Start to read at its run.go.
package mcpbox
