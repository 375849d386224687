package program

import (
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// maxInterpreters bounds scripts whose interpreter is a script, as the kernel
// does.
const maxInterpreters = 5

// exec shows the program at path with all it needs, and returns how to start it
// in the box: its path, with whatever must come before that.
func (f *finder) exec(path string, depth int) (launch []string, err error) {
	if depth > maxInterpreters {
		return nil, &NotExecutableError{path, "its interpreters are scripts, one behind the other, too deep"}
	}
	chain, err := hops(path)
	if err != nil {
		return nil, &NotExecutableError{path, err.Error()}
	}
	for _, hop := range chain {
		real, err := f.behindShim(hop)
		if err != nil {
			return nil, err
		}
		if real != "" {
			return f.exec(real, depth+1)
		}
	}
	real := chain[len(chain)-1]
	head, err := readHead(real)
	if err != nil {
		return nil, &NotExecutableError{real, err.Error()}
	}
	if err := f.learn("", path); err != nil {
		return nil, err
	}
	for _, hop := range chain {
		if err := f.venvOn(path, hop); err != nil {
			return nil, err
		}
	}
	launch = []string{path}
	switch {
	case strings.HasPrefix(head, "#!"):
		launch, err = f.script(path, real, head, depth)
	case strings.HasPrefix(head, "\x7fELF"):
		err = f.binary(real)
	default:
		err = &NotExecutableError{real, "it is neither a binary nor a script that begins with #!"}
	}
	if err != nil {
		return nil, err
	}
	if err := f.reach(path); err != nil {
		return nil, err
	}
	if f.programDir(filepath.Dir(path)) {
		f.addPathDir(filepath.Dir(path))
	}
	return launch, f.companions(path)
}

// programDir reports whether a directory is meant to be on PATH.
func (f *finder) programDir(dir string) bool {
	name := filepath.Base(dir)
	return name == "bin" || name == ".bin" || slices.Contains(filepath.SplitList(f.q.Env("PATH")), dir)
}

// companions shows the second half of programs that come in two.
func (f *finder) companions(path string) error {
	if filepath.Base(path) != "uvx" { // it executes the uv beside it
		return nil
	}
	uv := filepath.Join(filepath.Dir(canonical(path)), "uv")
	if executable(uv) != nil {
		return nil
	}
	_, err := f.exec(uv, 1)
	return err
}

// readHead returns the first 4096 bytes of a file.
func readHead(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	buf := make([]byte, 4096)
	n, err := io.ReadFull(file, buf)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return string(buf[:n]), err
}
