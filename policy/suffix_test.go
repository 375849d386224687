package policy

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/publicsuffix"
)

const suffixHead = `Rules of the Public Suffix List with more than one label, both sections.
This file is subject to the terms of the Mozilla Public License, v. 2.0; a copy
of it is at https://mozilla.org/MPL/2.0/. Made by the tests of this directory,
with -update, out of golang.org/x/net/publicsuffix, which took it from
`

// libraryRules decodes the tables of the library, which only answers questions.
// How they are laid out stands in its table.go; if that changes, the comparison
// below fails.
func libraryRules(t *testing.T) []string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/net").Output()
	if err != nil {
		t.Fatal(err)
	}
	if len(bytes.TrimSpace(dir)) == 0 && os.Geteuid() != 0 {
		t.Skip("needs the source of golang.org/x/net, which lies in the cache of who built this test")
	}
	table := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(string(bytes.TrimSpace(dir)), "publicsuffix", "data", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	text, nodes, children := table("text"), table("nodes"), table("children")
	var rules []string
	seen := 0
	var walk func(lo, hi uint32, parent string)
	walk = func(lo, hi uint32, parent string) {
		for i := lo; i < hi; i++ {
			seen++
			node := binary.BigEndian.Uint64(append([]byte{0, 0, 0}, nodes[5*i:5*i+5]...))
			length, offset, child := node&63, node>>6&0xffff, uint32(node>>23&1023)
			c := binary.BigEndian.Uint32(children[4*child:])
			name := string(text[offset:offset+length]) + parent
			switch kind := c >> 28 & 3; {
			case kind == 0 && parent != "":
				rules = append(rules, name)
			case kind == 1:
				rules = append(rules, "!"+name)
			}
			if c>>30&1 == 1 {
				rules = append(rules, "*."+name)
			}
			walk(c&0x3fff, c>>14&0x3fff, "."+name)
		}
	}
	top := uint32(0) // the top-level domains come first, in order
	for label := ""; ; top++ {
		node := binary.BigEndian.Uint64(append([]byte{0, 0, 0}, nodes[5*top:5*top+5]...))
		next := string(text[node>>6&0xffff : node>>6&0xffff+node&63])
		if next <= label {
			break
		}
		label = next
	}
	walk(0, top, "")
	if seen != len(nodes)/5 {
		t.Fatalf("%d of %d nodes reached", seen, len(nodes)/5)
	}
	slices.Sort(rules)
	return rules
}

// TestSuffixFile: the list is the library's, and gives its answers.
func TestSuffixFile(t *testing.T) {
	rules := libraryRules(t)
	head := suffixHead + publicsuffix.List.String() + ".\n\n"
	compare(t, "suffixes.txt", []byte(head+strings.Join(rules, "\n")+"\n"))
	if len(rules) < 8000 {
		t.Fatalf("only %d rules", len(rules))
	}
	for _, rule := range rules {
		name := strings.TrimLeft(rule, "!*.")
		_, parent, _ := strings.Cut(name, ".")
		for _, ask := range []string{name, "a." + name, "b.a." + name, "c.b.a." + name, parent, "zzz." + parent, "y.zzz." + parent, name + "x"} {
			want, _ := publicsuffix.PublicSuffix(ask)
			if got := publicSuffix(ask); got != want {
				t.Errorf("publicSuffix(%s) = %s, want %s", ask, got, want)
			}
		}
	}
}
