//go:build !nocontainerd

package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/mcpbox/mcpbox/sandbox/containerd"
)

// openArchive opens what image import names.
func openArchive(c console, name string) (io.ReadCloser, error) {
	if name == "-" {
		if isTerminal(c.in) {
			return nil, errors.New("standard input is a terminal, and no archive; type, for example: docker save IMAGE | mcpbox image import -")
		}
		return io.NopCloser(c.in), nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		f.Close()
		return nil, fmt.Errorf("%s is a directory, and no archive; if it is an OCI image layout, type: tar -C %s -cf - . | mcpbox image import -", name, shellQuote(name))
	}
	return f, nil
}

// describeArchive adds to an error of an import what to type.
func describeArchive(err error, name string) error {
	var compressed *containerd.CompressedError
	var empty *containerd.EmptyError
	switch {
	case errors.As(err, &compressed) && name == "-":
		return fmt.Errorf("what comes in is compressed with %s; type before it: %s | mcpbox image import -", compressed.Format, compressed.Program)
	case errors.As(err, &compressed):
		return fmt.Errorf("%s is compressed with %s; type: %s %s | mcpbox image import -", name, compressed.Format, compressed.Program, shellQuote(name))
	case errors.As(err, &empty) && name == "-":
		return errors.New("nothing has come in: whatever writes the archive has failed, or has written it elsewhere")
	case errors.As(err, &empty):
		return fmt.Errorf("%s is empty: whatever was to write it has failed; write it anew, for example: docker save -o %s IMAGE", name, shellQuote(name))
	}
	if name == "-" {
		return err
	}
	return fmt.Errorf("%s: %w", name, err)
}
