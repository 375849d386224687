package policy

import (
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// specOf makes the specification of a box that may write one directory.
func specOf(h Host, root string) (mounts func(string) string, warnings []string, err error) {
	s, r, err := Spec(&Policy{Files: Files{Write: []Path{{Text: root}}}}, Program{Exec: "/usr/bin/env"}, h)
	if err != nil {
		return nil, nil, err
	}
	for _, n := range r.Warnings() {
		warnings = append(warnings, n.Kind)
	}
	return func(at string) string {
		m := mountAt(s, at)
		switch {
		case m == nil:
			return ""
		case slices.Contains(m.Options, "rro"):
			return "rro"
		case slices.Contains(m.Options, "dest-nofollow"):
			return "masked"
		}
		return "rw"
	}, warnings, nil
}

// fill makes more files in a directory than a scan reads. Their names sort
// before all others.
func fill(h *fakeHost, dir string, n int) {
	h.make(dir, Directory, "")
	for i := range n {
		h.make(fmt.Sprintf("%s/!%06d", dir, i), Regular, "")
	}
}

const envProgram = "f /usr/bin/env\n"

// TestTruncation: no number of files switches protection off. Near the root they
// are refused, and deeper what can be found by name is.
func TestTruncation(t *testing.T) {
	names := []string{"f .git/config", "d .git/hooks", "f .git/modules/m/config", "f CLAUDE.md", "l .envrc -> x", "f .github/workflows/ci.yml"}
	for _, c := range []struct {
		at      string // where the files are, and the names too
		many    int
		refused bool
		warned  bool
	}{
		{"", 100, false, false},
		{"", ScanEntries + 100, true, false},
		{"sub", ScanEntries + 100, true, false},
		{"a/b", ScanEntries + 100, true, false},
		{"a/b/c", 100, false, false},
		{"a/b/c", ScanEntries + 100, false, true},
	} {
		at := strings.TrimSuffix(scanRoot+"/"+c.at, "/")
		h := newHost(t, envProgram+strings.ReplaceAll(under(names...), scanRoot, at))
		fill(h, at, c.many)
		snap, err := ScanRoot(t.Context(), h, scanRoot, ScanOptions{})
		if err != nil || snap.Truncated != (c.many > ScanEntries) {
			t.Errorf("%d in %q: truncated %v, %v", c.many, c.at, snap.Truncated, err)
		}
		for _, name := range []string{".git/config", ".git/hooks", "CLAUDE.md", ".envrc", ".github/workflows"} {
			if !slices.ContainsFunc(snap.Protected, func(f Found) bool { return f.Path == at+"/"+name }) {
				t.Errorf("%d in %q: %s is not found", c.many, c.at, name)
			}
		}
		mounts, warnings, err := specOf(h, scanRoot)
		if c.refused {
			if err == nil || !strings.Contains(err.Error(), "more than 50000 files") || !strings.Contains(err.Error(), "in "+at+",") || !strings.Contains(err.Error(), "delete") {
				t.Errorf("%d in %q: %v", c.many, c.at, err)
			}
			continue
		}
		if err != nil || slices.Contains(warnings, "scan_truncated") != c.warned {
			t.Fatalf("%d in %q: %v, warnings %v", c.many, c.at, err, warnings)
		}
		if mounts(at+"/.git/hooks") != "rro" || mounts(at+"/.git/modules/m/config")+mounts(at+"/.git/modules") == "" || mounts(at+"/.envrc") != "masked" {
			t.Errorf("%d in %q: not protected", c.many, c.at)
		}
	}
}

// TestTruncationElsewhere: files in one directory do not unprotect another.
func TestTruncationElsewhere(t *testing.T) {
	h := newHost(t, envProgram+under("f .git/config", "f .git/modules/a/b/config", "f x/y/z/.git/config", "f x/y/z/w/.git/config"))
	fill(h, scanRoot+"/!/x/y", ScanEntries+1)
	mounts, warnings, err := specOf(h, scanRoot)
	if err != nil || !slices.Contains(warnings, "scan_truncated") {
		t.Fatalf("%v, warnings %v", err, warnings)
	}
	for at, want := range map[string]string{
		".git/config":     "rro",
		".git/modules/a":  "rro", // whatever is in it
		"x/y/z/w":         "",    // what is warned of
		".git/modules":    "rw",
		"x/y/z":           "",
		".git/modules/aa": "",
	} {
		if got := mounts(scanRoot + "/" + at); got != want {
			t.Errorf("%s: %q, want %q", at, got, want)
		}
	}
	// A directory too deep to be searched is protected as a whole.
	deep := ".git/modules" + strings.Repeat("/d", gitDepth-2)
	h = newHost(t, envProgram+under("f "+deep+"/config", "f "+deep+"/d/d/config"))
	if mounts, _, err = specOf(h, scanRoot); err != nil || mounts(scanRoot+"/"+deep+"/config") != "rro" || mounts(scanRoot+"/"+deep+"/d") != "rro" {
		t.Errorf("deep modules: %v", err)
	}
	// Nor do they with a bare repository too large to be recognised by its entries.
	h = newHost(t, envProgram+under("f a/b/c/HEAD", "d a/b/c/objects", "d a/b/c/refs", "f a/b/c/config", "d a/b/d/hooks"))
	fill(h, scanRoot+"/a/b/c", ScanEntries+1)
	if mounts, _, err = specOf(h, scanRoot); err != nil || mounts(scanRoot+"/a/b/c/config") != "rro" || mounts(scanRoot+"/a/b/d/hooks") != "" {
		t.Errorf("bare repository: %v", err)
	}
}

// TestRootInsideName: a directory that is declared itself can be on the way to a
// protected name. The other names are the control.
func TestRootInsideName(t *testing.T) {
	const work = "/home/ann/work/app"
	for _, c := range []struct{ root, protected, open string }{
		{work + "/.github", "workflows", "ISSUE_TEMPLATE"},
		{work + "/.GitHub", "Workflows", "other"},
		{work + "/github", "", "workflows"},
		{"/home/ann/.cargo", "config.toml", "registry"},
		{"/home/ann/.local/share", "applications", "app"},
		{"/home/ann/.local/share/app", "", "applications"},
		{"/home/ann/.config/x", "", "fish"},
		{work + "/.git", "hooks", "description"},
		{work + "/.git", "config", "objects"},
		{work + "/.git/info", "attributes", "exclude"},
		{work + "/info", "", "attributes"},
		{work + "/.git/modules", "a/b/config", "a/b/HEAD"},
		{work + "/.git/modules/a", "hooks", "index"},
		{work + "/.git/modules/a/b", "config", "index"},
		{work + "/.git/objects", "", "hooks"},
		{work + "/.git/logs/x", "", "hooks"},
		{work + "/.git/modules/a/objects", "", "hooks"},
	} {
		h := newHost(t, envProgram+"d "+c.root+"/"+c.open+"\n")
		if c.protected != "" {
			h.make(c.root+"/"+c.protected, Regular, "")
		}
		mounts, _, err := specOf(h, c.root)
		if err != nil {
			t.Errorf("%s: %v", c.root, err)
			continue
		}
		if c.protected != "" && mounts(c.root+"/"+c.protected) != "rro" {
			t.Errorf("%s: %s is writable", c.root, c.protected)
		}
		if mounts(c.root) != "rw" || mounts(c.root+"/"+c.open) != "" {
			t.Errorf("%s: %s is not writable", c.root, c.open)
		}
	}
}

// TestRootInsideBareRepository: what is declared in a repository that is not
// named .git is told by what is beside it.
func TestRootInsideBareRepository(t *testing.T) {
	for _, head := range []string{"HEAD", "TAIL"} { // one is a repository, the other the control
		h := newHost(t, envProgram+under("f x.git/"+head, "d x.git/objects", "d x.git/refs", "d x.git/hooks", "f x.git/info/attributes"))
		bare := head == "HEAD"
		if _, _, err := specOf(h, scanRoot+"/x.git/hooks"); (err != nil) != bare {
			t.Errorf("%s: hooks: %v", head, err)
		}
		mounts, _, err := specOf(h, scanRoot+"/x.git/info")
		if err != nil || (mounts(scanRoot+"/x.git/info/attributes") == "rro") != bare {
			t.Errorf("%s: info/attributes: %v", head, err)
		}
		if _, _, err := specOf(h, scanRoot+"/x.git/refs"); err != nil {
			t.Errorf("%s: refs: %v", head, err)
		}
	}
}

// TestInsideWholeDirectory: nothing makes a part of a directory that is
// protected as a whole writable, neither a link that leads there nor a git
// directory there.
func TestInsideWholeDirectory(t *testing.T) {
	h := newHost(t, envProgram+under("l .clinerules -> .cursor/rules/main.md", "f .cursor/rules/main.md",
		"f wt/.git gitdir: ../.vscode/a/store", "f .vscode/a/store/config", "l .envrc -> src/env", "f src/env"))
	mounts, _, err := specOf(h, scanRoot)
	if err != nil {
		t.Fatal(err)
	}
	for at, want := range map[string]string{
		".cursor": "rro", ".cursor/rules": "", ".vscode": "rro", ".vscode/a": "", ".vscode/a/store": "", ".clinerules": "masked",
		"src": "rw", "src/env": "rro", // the control: a link's target elsewhere is pinned
	} {
		if got := mounts(scanRoot + "/" + at); got != want {
			t.Errorf("%s: %q, want %q", at, got, want)
		}
	}
}

// TestGitFile reads files named .git as git does, and refuses none.
func TestGitFile(t *testing.T) {
	for _, c := range []struct {
		text  string
		found bool
	}{
		{"gitdir: ../store\n", true},
		{"gitdir: ../store\r\n\n", true},
		{"gitdir: ../store\x00x\n", true},
		{"gitdir: ../stor\n", false},
		{" gitdir: ../store\n", false},
	} {
		h := newHost(t, under("f wt/.git", "f store/config"))
		h.files[scanRoot+"/wt/.git"].text = c.text
		s, err := ScanRoot(t.Context(), h, scanRoot, ScanOptions{})
		if err != nil || slices.Contains(found(s.Protected), "store/config") != c.found || !slices.Contains(found(s.Protected), "wt/.git") {
			t.Errorf("%q: found %v, %v", c.text, found(s.Protected), err)
		}
	}
	h := realHost(t)
	root := realTree(t, "huge/", "small/.git")
	if err := os.WriteFile(root+"/huge/.git", make([]byte, readLimit+1), 0o600); err != nil {
		t.Fatal(err)
	}
	mounts, _, err := specOf(h, root)
	if err != nil || mounts(root+"/huge/.git") != "rro" || mounts(root+"/small/.git") != "rro" {
		t.Errorf("a huge .git file: %v", err)
	}
}

// TestPathLength: paths that are too long for the kernel are refused with the way
// out, which works.
func TestPathLength(t *testing.T) {
	h := realHost(t)
	name := strings.Repeat("n", 255)
	root := realTree(t, name+"/"+name+"/.git/modules/m/config")
	app := root + "/" + name + "/" + name
	if mounts, _, err := specOf(h, app); err != nil || mounts(app+"/.git/modules/m/config") != "rro" {
		t.Fatalf("the control: %v", err)
	}
	dir, err := os.OpenRoot(app + "/.git/modules")
	if err != nil {
		t.Fatal(err)
	}
	for range 16 {
		if err := dir.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
		deeper, err := dir.OpenRoot(name)
		if err != nil {
			t.Fatal(err)
		}
		dir.Close()
		dir = deeper
	}
	dir.Close()
	_, _, err = specOf(h, app)
	if err == nil {
		t.Fatal("what could not be looked at is writable")
	}
	_, command, _ := strings.Cut(err.Error(), "type: ")
	if !strings.HasPrefix(command, "rm -r "+app+"/.git/modules/"+name) {
		t.Fatalf("%v", err)
	}
	if out, err := exec.Command("/bin/sh", "-c", command).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, _, err := specOf(h, app); err != nil {
		t.Errorf("after that: %v", err)
	}
}
