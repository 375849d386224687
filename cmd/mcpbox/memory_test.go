package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
)

// What dropText lets go of comes back as it was: also the addresses that the
// loader wrote, which the program's file does not have.
func TestDropTextChangesNothing(t *testing.T) {
	before := readOnlyMemory(t)
	if len(before) < 2 { // code, constants
		t.Fatalf("the program has %d read-only mappings", len(before))
	}
	dropText()
	after := readOnlyMemory(t)
	for at, was := range before {
		if !bytes.Equal(after[at], was) {
			t.Errorf("mapping %s has changed", at)
		}
	}
}

// readOnlyMemory is the content of what is mapped of this program, and cannot be
// written to.
func readOnlyMemory(t *testing.T) map[string][]byte {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	memory, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer memory.Close()
	content := map[string][]byte{}
	for s := bufio.NewScanner(bytes.NewReader(maps)); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) != 6 || fields[5] != self || strings.Contains(fields[1], "w") {
			continue
		}
		var from, to int64
		if _, err := fmt.Sscanf(fields[0], "%x-%x", &from, &to); err != nil {
			t.Fatal(err)
		}
		data := make([]byte, to-from)
		if _, err := memory.ReadAt(data, from); err != nil {
			t.Fatal(err)
		}
		content[fields[0]] = data
	}
	return content
}
