package changes

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/policy"
	"golang.org/x/sys/unix"
)

// world is a host's directory, an upper layer that is made by hand, and a state
// directory.
type world struct {
	t                        testing.TB
	base, root, upper, state string
	host                     policy.Host
	later                    bool
	names, closed            []string
	limit                    int64
}

func newWorld(t testing.TB) *world {
	t.Helper()
	base := t.TempDir()
	w := &world{t: t, base: base, root: base + "/root", upper: base + "/upper", state: base + "/state", limit: policy.DefaultStaged}
	for _, dir := range []string{w.root, w.upper} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	w.put(base+"/outside/canary", "canary")
	host, err := policy.OSHost(policy.Dirs{State: w.state, Config: base + "/config", Cache: base + "/cache", Runtime: base + "/run"})
	if err != nil {
		t.Fatal(err)
	}
	w.host = host
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// put writes a file, and makes its directories.
func (w *world) put(at, content string) {
	w.t.Helper()
	w.must(os.MkdirAll(filepath.Dir(at), 0o755))
	w.must(os.WriteFile(at, []byte(content), 0o644))
}

func (w *world) lower(rel, content string) {
	w.t.Helper()
	w.later = false
	w.put(w.root+"/"+rel, content)
}

func (w *world) up(rel, content string) {
	w.t.Helper()
	w.begin()
	w.put(w.upper+"/"+rel, content)
}

// begin makes what follows later than what the host has done, as servers are.
func (w *world) begin() {
	if !w.later {
		waitForClock(w.t)
	}
	w.later = true
}

// gone makes a whiteout, which the kernel lets anybody do.
func (w *world) gone(rel string) {
	w.t.Helper()
	w.begin()
	w.must(os.MkdirAll(filepath.Dir(w.upper+"/"+rel), 0o755))
	w.must(unix.Mknod(w.upper+"/"+rel, unix.S_IFCHR, 0))
}

func (w *world) opaque(rel string) {
	w.t.Helper()
	w.begin()
	w.must(os.MkdirAll(w.upper+"/"+rel, 0o755))
	w.must(unix.Setxattr(w.upper+"/"+rel, "user.overlay.opaque", []byte("y"), 0))
}

// keep is the end of a run.
func (w *world) keep(id string) *Set {
	w.t.Helper()
	s, err := Prepare(w.state, []*policy.StagedRoot{{Path: w.root, Names: w.names, Closed: w.closed}}, w.limit)
	w.must(err)
	defer s.Close()
	upper, err := os.Open(w.upper)
	w.must(err)
	defer upper.Close()
	set, err := s.Keep(w.t.Context(), id, "server", []*os.File{upper}, w.host)
	w.must(err)
	return set
}

func (w *world) entry(id string) *Entry {
	w.t.Helper()
	list, err := Find(w.state, id)
	w.must(err)
	if len(list) != 1 {
		w.t.Fatalf("%d sets called %s", len(list), id)
	}
	return list[0]
}

// tree describes all that is below a directory, one line a path.
func tree(t testing.TB, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(at string, _ fs.DirEntry, err error) error {
		if err == nil && at != dir {
			list = append(list, line(t, dir, at))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

// line describes one path below dir.
func line(t testing.TB, dir, at string) string {
	t.Helper()
	info, err := os.Lstat(at)
	if err != nil {
		t.Fatal(err)
	}
	rel, what := at[len(dir)+1:], ""
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		target, _ := os.Readlink(at)
		return rel + " -> " + target
	case info.Mode().IsRegular():
		data, err := os.ReadFile(at)
		if err != nil {
			t.Fatal(err)
		}
		if what = string(data); len(what) > 40 {
			what = fmt.Sprintf("%x", sha256.Sum256(data))
		}
	}
	return strings.TrimSpace(fmt.Sprintf("%s %v %s", rel, info.Mode(), what))
}

// wantTree compares the host's directory with lines of tree.
func (w *world) wantTree(lines ...string) {
	w.t.Helper()
	slices.Sort(lines)
	if got := tree(w.t, w.root); !slices.Equal(got, lines) {
		w.t.Errorf("the directory is\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(lines, "\n\t"))
	}
}

// kinds are the changes of a set as words.
func kinds(s *Set) []string {
	var list []string
	if s == nil {
		return nil
	}
	for i := range s.Changes {
		c := &s.Changes[i]
		line := c.Kind() + " " + string(c.Path)
		if c.Refused != "" {
			line += ": " + c.Refused
		}
		list = append(list, line)
	}
	slices.Sort(list)
	return list
}

func (w *world) wantKinds(s *Set, lines ...string) {
	w.t.Helper()
	slices.Sort(lines)
	if got := kinds(s); !slices.Equal(got, lines) {
		w.t.Errorf("the changes are\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(lines, "\n\t"))
	}
}

// refusals are what an error or a result says is not applied.
func refusals(t testing.TB, err error) string {
	t.Helper()
	var refused *RefusedError
	if !errors.As(err, &refused) {
		t.Fatalf("%v, want refusals", err)
	}
	var list []string
	for _, r := range refused.List {
		list = append(list, r.Path+": "+r.Reason)
	}
	return strings.Join(list, "\n")
}
