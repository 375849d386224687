package pid1

import (
	"slices"
	"testing"
)

// TestSources: what is written down is read again, whatever a path has in it.
func TestSources(t *testing.T) {
	for _, list := range [][]Source{
		nil,
		{{1, 2, "/a"}},
		{{1<<64 - 1, 1, "/a b\n'\xff 3"}, {0, 7, "/c "}},
	} {
		if got, err := parseSources(Sources(list)); err != nil || !slices.Equal(got, list) {
			t.Errorf("%v: %v, %v", list, got, err)
		}
	}
	for _, text := range []string{"\x00", "1 2", "x 2 /a\x00", "1 2 /a\x00\x00"} {
		if got, err := parseSources(text); err == nil {
			t.Errorf("%q: %v", text, got)
		}
	}
}
