package changes

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fill is a server's work of every kind.
func (w *world) fill() {
	w.lower("same", "same\n")
	w.lower("old", "old\n")
	w.lower("mode", "mode\n")
	w.lower("gone", "gone\n")
	w.lower("dir/a", "a\n")
	w.lower("dir/sub/b", "b\n")
	w.lower("again/old", "old\n")
	w.lower("again/both", "1\n")
	w.lower("file-to-dir", "f\n")
	w.lower("dir-to-file/x", "x\n")
	w.must(os.Symlink("old", w.root+"/link"))
	w.lower("untouched/deep/file", "u\n")

	w.up("same", "same\n") // opened for writing, and nothing else
	w.up("old", "new\n")
	w.up("mode", "mode\n")
	w.must(os.Chmod(w.upper+"/mode", 0o755))
	w.gone("gone")
	w.gone("dir")
	w.opaque("again")
	w.up("again/both", "2\n")
	w.up("again/new", "n\n")
	w.up("file-to-dir/in", "i\n")
	w.up("dir-to-file", "now a file\n")
	w.must(os.Symlink("new/er", w.upper+"/link"))
	w.must(os.MkdirAll(w.upper+"/new", 0o755))
	w.up("new/er", "e\n")
	w.must(os.Symlink("../old", w.upper+"/new/up"))
	w.must(os.Chmod(w.upper+"/new", 0o555))
	w.must(os.Mkdir(w.upper+"/empty", 0o700))
	w.must(os.MkdirAll(w.upper+"/untouched/deep", 0o755))
}

var filled = []string{
	"modified old", "modified mode", "removed gone",
	"removed dir", "removed dir/a", "removed dir/sub", "removed dir/sub/b",
	"removed again/old", "modified again/both", "added again/new",
	"modified file-to-dir", "added file-to-dir/in",
	"modified dir-to-file", "removed dir-to-file/x",
	"modified link", "added new", "added new/er", "added new/up", "added empty",
}

var applied = []string{
	"same -rw-r--r-- same", "old -rw-r--r-- new", "mode -rwxr-xr-x mode",
	"again drwxr-xr-x", "again/both -rw-r--r-- 2", "again/new -rw-r--r-- n",
	"file-to-dir drwxr-xr-x", "file-to-dir/in -rw-r--r-- i", "dir-to-file -rw-r--r-- now a file",
	"link -> new/er", "new drwxr-xr-x", "new/er -rw-r--r-- e", "new/up -> ../old", "empty drwx------",
	"untouched drwxr-xr-x", "untouched/deep drwxr-xr-x", "untouched/deep/file -rw-r--r-- u",
}

func writable(t testing.TB, dir string) {
	t.Cleanup(func() { // for the removal of the temporary directory
		filepath.WalkDir(dir, func(at string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				os.Chmod(at, 0o755)
			}
			return nil
		})
	})
}

func TestKeepApplyTakeBack(t *testing.T) {
	w := newWorld(t)
	writable(t, w.base)
	w.fill()
	before := tree(t, w.root)
	set := w.keep("11111111")
	w.wantKinds(set, filled...)
	w.wantTree(before...) // nothing happens by itself

	e := w.entry("server")
	res, err := e.Apply(w.host, false, nil)
	if err != nil || res.Count != len(filled) {
		t.Fatalf("%+v, %v", res, err)
	}
	w.wantTree(applied...)
	if _, err := w.entry("11111111").Apply(w.host, false, nil); err == nil || !strings.Contains(err.Error(), "applied already") {
		t.Errorf("applied twice: %v", err)
	}
	// What it needed is not kept.
	if _, err := os.Lstat(w.state + "/changes/11111111/pending"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the applied content is still there: %v", err)
	}

	res, err = w.entry("11111111").TakeBack(w.host, false)
	if err != nil || res.Count != len(filled) {
		t.Fatalf("%+v, %v", res, err)
	}
	w.wantTree(before...)
	if left := tree(t, w.state+"/changes"); len(left) > 0 {
		t.Errorf("left in the state directory: %q", left)
	}
}

func TestNothingChanged(t *testing.T) {
	w := newWorld(t)
	w.lower("dir/a", "a\n")
	w.up("dir/a", "a\n")
	w.gone("never-there")
	if set := w.keep("22222222"); set != nil {
		t.Errorf("%q", kinds(set))
	}
	if left := tree(t, w.state+"/changes"); len(left) > 0 {
		t.Errorf("left in the state directory: %q", left)
	}
}

// TestOnlyPaths: a person can take one file, with the new directories that it
// needs, and the rest later.
func TestOnlyPaths(t *testing.T) {
	w := newWorld(t)
	w.lower("a", "1")
	w.up("a", "2")
	w.up("x/y/b", "b")
	w.up("x/c", "c")
	w.keep("33333333")
	if _, err := w.entry("33333333").Apply(w.host, false, []string{w.root + "/nothing"}); err == nil {
		t.Error("a path without changes is applied")
	}
	if _, err := w.entry("33333333").Apply(w.host, false, []string{w.root + "/x/y/b"}); err != nil {
		t.Fatal(err)
	}
	w.wantTree("a -rw-r--r-- 1", "x drwxr-xr-x", "x/y drwxr-xr-x", "x/y/b -rw-r--r-- b")
	w.wantKinds(w.entry("33333333").Pending, "modified a", "added x/c")
	if _, err := w.entry("33333333").Apply(w.host, false, nil); err != nil {
		t.Fatal(err)
	}
	w.wantTree("a -rw-r--r-- 2", "x drwxr-xr-x", "x/y drwxr-xr-x", "x/y/b -rw-r--r-- b", "x/c -rw-r--r-- c")
	if _, err := w.entry("33333333").TakeBack(w.host, false); err != nil {
		t.Fatal(err)
	}
	w.wantTree("a -rw-r--r-- 1")
}

// TestHostChanged: what a person has done meanwhile is never written over, and
// the file is named.
func TestHostChanged(t *testing.T) {
	for name, c := range map[string]struct {
		meanwhile func(*world)
		path      string
		free      bool // it does not matter
	}{
		"modified":          {func(w *world) { w.lower("mod", "mine") }, "mod", false},
		"modified, removed": {func(w *world) { w.must(os.Remove(w.root + "/mod")) }, "mod", false},
		"modified, a link now": {func(w *world) {
			w.must(os.Remove(w.root + "/mod"))
			w.must(os.Symlink(w.base+"/outside/canary", w.root+"/mod"))
		}, "mod", false},
		"removed":           {func(w *world) { w.lower("rem", "mine") }, "rem", false},
		"added":             {func(w *world) { w.lower("add/new", "mine") }, "add/new", false},
		"removed directory": {func(w *world) { w.lower("dir/more", "mine") }, "dir", false},
		"below a link": {func(w *world) {
			w.must(os.Rename(w.root+"/sub", w.root+"/sub2"))
			w.must(os.Symlink("sub2", w.root+"/sub"))
		}, "sub/mod", false},
		"touched":                {func(w *world) { w.must(os.Chtimes(w.root+"/mod", time.Now(), time.Now())) }, "", true},
		"exchanged for the same": {func(w *world) { w.must(os.Remove(w.root + "/mod")); w.lower("mod", "old") }, "", true},
		"removed already":        {func(w *world) { w.must(os.Remove(w.root + "/rem")) }, "", true},
		"the same already":       {func(w *world) { w.lower("mod", "new") }, "", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.lower("mod", "old")
			w.lower("rem", "r")
			w.lower("dir/a", "a")
			w.lower("sub/mod", "old")
			w.up("mod", "new")
			w.up("sub/mod", "new")
			w.gone("rem")
			w.gone("dir")
			w.up("add/new", "n")
			set := w.keep("44444444")
			if _, _, _, refused := set.Count(); refused > 0 {
				t.Fatalf("%q", kinds(set))
			}
			c.meanwhile(w)
			before := tree(t, w.base)
			_, err := w.entry("44444444").Apply(w.host, false, nil)
			if c.free {
				if err != nil {
					t.Error(err)
				}
				w.wantTree("mod -rw-r--r-- new", "sub drwxr-xr-x", "sub/mod -rw-r--r-- new", "add drwxr-xr-x", "add/new -rw-r--r-- n")
				return
			}
			if got := refusals(t, err); !strings.Contains(got, w.root+"/"+c.path+": ") {
				t.Errorf("refused: %s", got)
			}
			if after := tree(t, w.base); strings.Join(after, "\n") != strings.Join(before, "\n") {
				t.Errorf("something was done:\n%s", strings.Join(after, "\n"))
			}
			// The others can be had.
			if res, err := w.entry("44444444").Apply(w.host, true, nil); err != nil || res.Count == 0 || len(res.Refused) == 0 {
				t.Errorf("partial: %+v, %v", res, err)
			}
			data, err := os.ReadFile(w.base + "/outside/canary")
			if err != nil || string(data) != "canary" {
				t.Errorf("canary: %q, %v", data, err)
			}
		})
	}
}

// TestChangedWhileRunning: a file that the host changed after the server had
// begun to change its own is a conflict, whatever order they ended in.
func TestChangedWhileRunning(t *testing.T) {
	w := newWorld(t)
	w.lower("mod", "old")
	w.lower("rem", "old")
	w.up("mod", "server's")
	w.gone("rem")
	waitForClock(t)
	w.lower("mod", "mine")
	w.lower("rem", "mine")
	set := w.keep("55555555")
	w.wantKinds(set, "modified mod: "+reasonChanged, "removed rem: "+reasonChanged)
	refusals(t, applyError(w, "55555555"))
	w.wantTree("mod -rw-r--r-- mine", "rem -rw-r--r-- mine")
}

// waitForClock returns once files get a later time than those before it.
func waitForClock(t testing.TB) {
	t.Helper()
	dir := t.TempDir()
	stamp := func() int64 {
		at := filepath.Join(dir, "clock")
		os.Remove(at)
		if err := os.WriteFile(at, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		var st unix.Stat_t
		if err := unix.Lstat(at, &st); err != nil {
			t.Fatal(err)
		}
		return st.Ctim.Nano()
	}
	for first := stamp(); stamp() <= first; {
		time.Sleep(time.Millisecond)
	}
}

func applyError(w *world, id string) error {
	_, err := w.entry(id).Apply(w.host, false, nil)
	return err
}

// TestResume: a launcher or command that was killed between two changes leaves a
// set that can be applied to the end, and taken back to the beginning.
func TestResume(t *testing.T) {
	w := newWorld(t)
	writable(t, w.base)
	w.fill()
	before := tree(t, w.root)
	w.keep("66666666")
	// As a killed one has left it: written down, and one file done.
	e := w.entry("66666666")
	a := &applier{set: e.Pending, from: pending, store: &writer{dir: e.dir, part: pending}}
	w.must(a.openRoots())
	a.judges = e.Pending.newJudges(w.host, a.dirs)
	w.must(a.choose(nil))
	if refused, err := a.inspect(); err != nil || len(refused) > 0 {
		t.Fatal(refused, err)
	}
	if _, err := e.backUp(a); err != nil {
		t.Fatal(err)
	}
	for _, c := range a.chosen {
		if string(c.Path) == "old" || string(c.Path) == "new" {
			w.must(a.make(c))
		}
		if string(c.Path) == "gone" {
			w.must(a.remove(c))
		}
	}
	a.close()

	if _, err := w.entry("66666666").Apply(w.host, false, nil); err != nil {
		t.Fatal(err, errors.Unwrap(err))
	}
	w.wantTree(applied...)
	if _, err := w.entry("66666666").TakeBack(w.host, false); err != nil {
		t.Fatal(err)
	}
	w.wantTree(before...)
}

func TestDiscardAndSweep(t *testing.T) {
	w := newWorld(t)
	w.up("a", "1")
	w.keep("77777777")
	w.must(os.MkdirAll(w.state+"/changes/.new-dead/pending", 0o700))
	w.put(w.state+"/changes/.new-dead/pending/1", "half")
	w.must(w.entry("77777777").Discard())
	w.keep("88888888")
	for _, line := range tree(t, w.state+"/changes") {
		if !strings.HasPrefix(line, "88888888") {
			t.Errorf("left: %s", line)
		}
	}
	info, err := os.Lstat(w.state + "/changes/88888888/pending.json")
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
}

// TestFull: what nobody looks at does not fill the disk.
func TestFull(t *testing.T) {
	w := newWorld(t)
	w.must(os.MkdirAll(w.state+"/changes", 0o700))
	w.up("a", "1")
	set := w.keep("99999999")
	data, err := json.Marshal(set)
	w.must(err)
	for i := range maxSets {
		w.put(w.state+"/changes/"+string(rune('a'+i%26))+string(rune('a'+i/26))+"/pending.json", string(data))
	}
	_, err = Prepare(w.state, nil, w.limit)
	w.must(err) // a run that stages nothing is not concerned
	if s, err := prepareOne(w); err == nil {
		s.Close()
		t.Error("one more is taken")
	} else if !strings.Contains(err.Error(), "mcpbox changes") {
		t.Error(err)
	}
}

// TestOneIsUnreadable: it stands in the way of no other.
func TestOneIsUnreadable(t *testing.T) {
	w := newWorld(t)
	w.up("a", "1")
	w.keep("11111111")
	w.put(w.state+"/changes/abcdef01/pending.json", "{")
	list, err := List(w.state)
	if len(list) != 1 || list[0].ID != "11111111" {
		t.Errorf("%+v", list)
	}
	if err == nil || !strings.Contains(err.Error(), "rm -r "+w.state+"/changes/abcdef01") {
		t.Errorf("what to do: %v", err)
	}
	w.must(applyError(w, "11111111"))
	if _, err := Find(w.state, "abcdef01"); err == nil || !strings.Contains(err.Error(), "rm -r") {
		t.Errorf("by its name: %v", err)
	}
	s, err := prepareOne(w)
	w.must(err)
	s.Close()
}

func TestExactText(t *testing.T) {
	for _, s := range []exact{"", "plain", "\xff\xfe/\x00\n\"\\", "ünï"} {
		data, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		var back exact
		if err := json.Unmarshal(data, &back); err != nil || back != s {
			t.Errorf("%q became %q, %v", s, back, err)
		}
	}
}

func TestDamagedSet(t *testing.T) {
	for _, text := range []string{
		"", "{", `{"changes":[{"root":1,"path":"\"a\"","after":{}}]}`,
		`{"roots":[{"path":"\"/\""}],"changes":[{"path":"\"../a\"","after":{}}]}`,
		`{"roots":[{"path":"\"/\""}],"changes":[{"path":"\"/a\"","after":{}}]}`,
		`{"roots":[{"path":"\"/\""}],"changes":[{"path":"\"a\""}]}`,
	} {
		w := newWorld(t)
		w.put(w.state+"/changes/abcdef01/pending.json", text)
		if _, err := List(w.state); err == nil {
			t.Errorf("%s is taken for a change set", text)
		}
	}
}
