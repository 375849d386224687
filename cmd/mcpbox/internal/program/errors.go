package program

import (
	"fmt"
	"strings"
)

// NotFoundError says that there is no such program. Its exit code is 127.
type NotFoundError struct {
	Name     string
	Looked   []string // directories of PATH, or the one path that was named
	NeededBy string   // the script whose interpreter it is, or ""
}

func (e *NotFoundError) Error() string {
	s := "find " + e.Name
	if e.NeededBy != "" {
		s += ", the interpreter of " + e.NeededBy
	}
	switch {
	case strings.Contains(e.Name, "/"):
		s += ": there is no " + strings.Join(e.Looked, ", ")
	case len(e.Looked) == 0:
		s += ": PATH names no directory"
	default:
		s += ": not in " + strings.Join(e.Looked, ", ")
	}
	return s + "; install it, or name it by its full path"
}

// NotExecutableError says that a file is there but cannot be executed. Its exit
// code is 126.
type NotExecutableError struct {
	Path   string
	Reason string
}

func (e *NotExecutableError) Error() string {
	return fmt.Sprintf("execute %s: %s", e.Path, e.Reason)
}

// IndirectError says that a program only starts another one, which could not be
// told from here. Its exit code is 125.
type IndirectError struct {
	Path   string // the launcher that was found
	Tool   string // what it belongs to
	Reason string
	Fix    string // what to type
}

func (e *IndirectError) Error() string {
	return fmt.Sprintf("find the program behind %s: %s: %s; %s", e.Path, e.Tool, e.Reason, e.Fix)
}

// ForbiddenError says that a program needs something that no box shows. Its exit
// code is 125.
type ForbiddenError struct {
	Path   string
	Reason string
	Fix    string
}

func (e *ForbiddenError) Error() string {
	return fmt.Sprintf("show %s in the box: %s; %s", e.Path, e.Reason, e.Fix)
}
