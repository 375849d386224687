package packages

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
)

// A version is the registry's word. It does not lead out of the store.
func TestPublishVersion(t *testing.T) {
	for version, good := range map[string]bool{
		"1.0.0": true, "1.0.0-rc.1+build_5": true, "1!2.0.post1": true,
		"": false, "1/../../../../evil": false, "..": true, "1\n2": false, "1 ": false, "../x": false, "1\x1b[2J": false, string(make([]byte, 300)): false,
	} {
		top := t.TempDir()
		s := Open(dirs.Dirs{Cache: filepath.Join(top, "a/b/c/cache"), State: filepath.Join(top, "state")})
		if err := os.MkdirAll(filepath.Join(top, "a/b/c"), 0o700); err != nil {
			t.Fatal(err)
		}
		st, err := s.Stage(context.Background(), "key", func() {})
		if err != nil {
			t.Fatal(err)
		}
		root := filepath.Join(st.Dir, "root")
		if err := os.Mkdir(root, 0o700); err != nil {
			t.Fatal(err)
		}
		e := &Entry{Kind: NPM, Name: "x", Version: version, Integrity: "sha256-0123456789abcdef0123"}
		if err := st.Publish(root, e, "bin"); (err == nil) != good {
			t.Errorf("%q: %v", version, err)
		}
		st.Close()
		list, err := s.List()
		if err != nil || len(list) != map[bool]int{true: 1}[good] {
			t.Errorf("%q: %v, %v", version, list, err)
		}
	}
}
