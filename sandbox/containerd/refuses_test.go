package containerd

import (
	"os"
	"path/filepath"
	"testing"
)

// TestMapsOwners: what versions of runc say of themselves.
func TestMapsOwners(t *testing.T) {
	for _, x := range []struct {
		said        string
		maps, fails bool
	}{
		{`{"ociVersionMin": "1.0.0", "linux": {"namespaces": ["user"]}}`, false, false}, // 1.1
		{`{"linux": {"mountExtensions": {"idmap": {"enabled": true}}}}`, true, false},
		{`{"linux": {"mountExtensions": {"idmap": {"enabled": false}}}}`, false, false},
		{`{"linux": {"mountExtensions": {}}}`, false, false},
		{`No help topic for 'features'`, false, true}, // 1.0
	} {
		file := filepath.Join(t.TempDir(), "runc")
		if err := os.WriteFile(file, []byte("#!/bin/sh\n[ \"$1\" = features ] && cat <<'END'\n"+x.said+"\nEND\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		maps, err := mapsOwners(t.Context(), file)
		if maps != x.maps || (err != nil) != x.fails {
			t.Errorf("%s: %t, %v", x.said, maps, err)
		}
	}
}
