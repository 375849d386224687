package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"
)

// TestInitrd reads an archive back as the format's description says.
func TestInitrd(t *testing.T) {
	image := t.TempDir()
	guest := filepath.Join(image, "guest")
	for name, text := range map[string]string{"guest": "program", "modules/10-a.ko.xz": "a", "modules/11-b.ko": ""} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(image, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(image, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := initrd(guest, image)
	if err != nil {
		t.Fatal(err)
	}
	got, inodes := map[string]string{}, map[uint64]bool{}
	at := 0
	for {
		if string(b[at:at+6]) != "070701" || at%4 != 0 {
			t.Fatalf("no header at %d", at)
		}
		var field [13]uint64
		for i := range field {
			if field[i], err = strconv.ParseUint(string(b[at+6+8*i:at+14+8*i]), 16, 32); err != nil {
				t.Fatal(err)
			}
		}
		inode, mode, size, length := field[0], field[1], int(field[6]), int(field[11])
		name := string(b[at+110 : at+110+length-1])
		if b[at+110+length-1] != 0 || inodes[inode] {
			t.Errorf("%q has inode %d and ends in %d", name, inode, b[at+110+length-1])
		}
		inodes[inode] = true
		at = (at + 110 + length + 3) &^ 3
		if name == "TRAILER!!!" {
			break
		}
		got[name] = fmt.Sprintf("%o %d:%d %s", mode, field[9], field[10], b[at:at+size])
		at = (at + size + 3) &^ 3
	}
	for name, want := range map[string]string{
		"init": "100755 0:0 program", "modules/10-a.ko.xz": "100755 0:0 a", "modules/11-b.ko": "100755 0:0 ",
		"dev/console": "20600 5:1 ", "modules": "40755 0:0 ", "system": "40755 0:0 ",
	} {
		if got[name] != want {
			t.Errorf("%s is %q, want %q", name, got[name], want)
		}
	}
	if at != len(b) {
		t.Errorf("%d bytes after the trailer", len(b)-at)
	}
}
