package containerd

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/mount"
)

// TestReapRefuses: what is no record of this run names nothing that is removed.
func TestReapRefuses(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "0123abcd")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := Reap(t.Context(), dir); err != nil {
		t.Errorf("where there is nothing: %v", err)
	}
	for text, want := range map[string]string{
		"":  "unexpected end",
		"{": "unexpected end",
		`{"address":"/nonexistent","id":"mcpbox-0123abce"}`: "not this run's",
		`{"address":"/nonexistent","id":""}`:                "not this run's",
		`{"address":"/nonexistent","id":"mcpbox-0123abcd"}`: "no socket",
	} {
		if err := os.WriteFile(filepath.Join(dir, RecordName), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Reap(t.Context(), dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
		if _, err := os.Stat(filepath.Join(dir, RecordName)); err != nil {
			t.Errorf("%q: the record is gone", text)
		}
	}
}

// TestWithSkeleton: the skeleton is the uppermost of layers that nobody writes to.
func TestWithSkeleton(t *testing.T) {
	for _, c := range []struct {
		m    mount.Mount
		want string // the last option, or a part of the error
	}{
		{mount.Mount{Type: "bind", Source: "/s/1/fs", Options: []string{"ro", "rbind"}}, "lowerdir=/run/x/skeleton:/s/1/fs"},
		{mount.Mount{Type: "overlay", Options: []string{"index=off", "lowerdir=/s/2/fs:/s/1/fs"}}, "lowerdir=/run/x/skeleton:/s/2/fs:/s/1/fs"},
		{mount.Mount{Type: "overlay", Options: []string{"lowerdir=/a", "upperdir=/b", "workdir=/c"}}, "is writable"},
		{mount.Mount{Type: "erofs", Source: "/x"}, "cannot be extended"},
		{mount.Mount{Type: "overlay", Options: []string{"lowerdir=" + strings.Repeat("/a:", 2000)}}, "too many layers"},
	} {
		got, err := withSkeleton([]mount.Mount{c.m}, "/run/x/skeleton")
		if strings.HasPrefix(c.want, "lowerdir=") {
			if err != nil || len(got) != 1 || got[0].Type != "overlay" || got[0].Options[len(got[0].Options)-1] != c.want {
				t.Errorf("%+v: %+v, %v", c.m, got, err)
				continue
			}
			text := strings.Join(got[0].Options, ",")
			for _, o := range []string{"ro", "nosuid", "nodev"} {
				if !strings.Contains(","+text+",", ","+o+",") {
					t.Errorf("%s lacks %s", text, o)
				}
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.m, err)
		}
	}
	for _, place := range []string{"/run/a:b/skeleton", "/run/a,b/skeleton", `/run/a\b/skeleton`} {
		if _, err := withSkeleton([]mount.Mount{{Type: "bind", Source: "/s"}}, place); err == nil {
			t.Errorf("%s was put among the layers", place)
		}
	}
}
