package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
)

// initrd packs the guest as /init, and the modules of the image, into an archive
// that the kernel unpacks: the newc format of cpio, see
// Documentation/driver-api/early-userspace/buffer-format.rst.
func initrd(guest, image string) ([]byte, error) {
	var b archive
	for _, dir := range []string{"dev", "modules", "proc", "system"} {
		b.add(dir, 0o40755, nil)
	}
	// The kernel opens this before it starts /init, as its three descriptors.
	b.device("dev/console", 0o20600, 5, 1)
	names, err := filepath.Glob(filepath.Join(image, "modules", "*"))
	if err != nil {
		return nil, err
	}
	files := map[string]string{"init": guest}
	for _, name := range names {
		files["modules/"+filepath.Base(name)] = name
	}
	for to, from := range files {
		content, err := os.ReadFile(from)
		if err != nil {
			return nil, err
		}
		b.add(to, 0o100755, content)
	}
	b.add("TRAILER!!!", 0, nil)
	return b.Bytes(), nil
}

type archive struct{ bytes.Buffer }

func (a *archive) add(name string, mode int, content []byte) { a.entry(name, mode, 0, 0, content) }

func (a *archive) device(name string, mode, major, minor int) { a.entry(name, mode, major, minor, nil) }

func (a *archive) entry(name string, mode, major, minor int, content []byte) {
	inode := a.Len() + 1 // different for each
	fmt.Fprintf(a, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", inode, mode,
		0, 0, 1, 0, len(content), 0, 0, major, minor, len(name)+1, 0)
	a.WriteString(name + "\x00")
	a.align()
	a.Write(content)
	a.align()
}

func (a *archive) align() { a.Write(make([]byte, -a.Len()&3)) }
