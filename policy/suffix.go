package policy

import (
	_ "embed"
	"fmt"
	"strings"
)

// suffixFile is the Public Suffix List (publicsuffix.org), both sections: below
// which names anybody can have one. It holds a rule per line, in the order of
// their bytes, after a head that ends with an empty line; top-level domains are
// left out, since a name of one label is always a suffix. It is text, and not
// the library that it comes from, because that one links net/http, and cannot
// say what lies below a name. The tests make it anew and compare the two.
//
//go:embed suffixes.txt
var suffixFile string

// suffixes returns the rules.
func suffixes() string {
	_, list, _ := strings.Cut(suffixFile, "\n\n")
	return list
}

// publicSuffix returns the longest public suffix that name is or lies below; for
// a top-level domain that nobody has registered, that.
func publicSuffix(name string) string {
	list := suffixes()
	for at := name; ; {
		label, parent, more := strings.Cut(at, ".")
		switch {
		case !more || listed(list, at):
			return at
		case listed(list, "!"+at):
			return parent
		case label != "" && listed(list, "*."+parent):
			return at
		}
		at = parent
	}
}

// listed searches sorted lines for one.
func listed(list, line string) bool {
	for list != "" {
		start := strings.LastIndexByte(list[:len(list)/2], '\n') + 1
		here, _, _ := strings.Cut(list[start:], "\n")
		switch {
		case here == line:
			return true
		case here < line:
			list = list[start+len(here)+1:]
		default:
			list = list[:start]
		}
	}
	return false
}

// checkSuffix refuses a suffix that would allow the names of strangers.
func checkSuffix(name string) error {
	const fix = "name the hosts that are meant, one by one"
	switch {
	case !strings.Contains(name, "."):
		return fmt.Errorf("*.%s is a whole top-level domain, in which anybody can have a name; %s", name, fix)
	case publicSuffix(name) == name:
		return fmt.Errorf("below %s anybody can have a name (publicsuffix.org); %s", name, fix)
	}
	if below := suffixBelow(name); below != "" {
		return fmt.Errorf("some of the names below %s anybody can have, as those below %s (publicsuffix.org); %s, or write a longer suffix", name, below, fix)
	}
	return nil
}

// suffixBelow returns the shortest of the public suffixes below name, or "".
func suffixBelow(name string) string {
	shortest := ""
	list, end := suffixes(), "."+name+"\n"
	for {
		i := strings.Index(list, end)
		if i < 0 {
			return shortest
		}
		below := list[strings.LastIndexByte(list[:i], '\n')+1:i] + end[:len(end)-1]
		below = strings.TrimPrefix(strings.TrimPrefix(below, "!"), "*.")
		if shortest == "" || len(below) < len(shortest) {
			shortest = below
		}
		list = list[i+len(end):]
	}
}
