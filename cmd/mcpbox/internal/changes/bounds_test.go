package changes

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// onDisk is how many bytes a directory takes.
func onDisk(t *testing.T, dir string) (sum int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(at string, _ fs.DirEntry, err error) error {
		var st unix.Stat_t
		if err == nil {
			err = unix.Lstat(at, &st)
		}
		sum += st.Blocks * 512
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// TestHoles: a file is kept with its holes, and not at all if it claims to be
// larger than what can be in its layer; one name of a file counts like another.
func TestHoles(t *testing.T) {
	w := newWorld(t)
	w.limit = 8 << 20
	sparse := func(name string, size int64) {
		w.up(name, "begin")
		w.must(os.Truncate(w.upper+"/"+name, size))
	}
	w.up("fine", "fine")
	sparse("holes", 4<<20)
	f, err := os.OpenFile(w.upper+"/holes", os.O_WRONLY, 0)
	w.must(err)
	_, err = f.WriteAt([]byte("middle"), 2<<20)
	w.must(errors.Join(err, f.Close()))
	sparse("huge", 1<<40)
	w.up("names/1", strings.Repeat("x", 3<<20))
	w.must(os.Link(w.upper+"/names/1", w.upper+"/names/2"))
	want, err := os.ReadFile(w.upper + "/holes")
	w.must(err)
	set := w.keep("11111111")
	w.wantKinds(set, "added fine", "added holes", "added names", "added names/1: it is a hard link",
		"added names/2: it was not kept: "+errTooLarge.Error(), "added huge: it was not kept: "+errTooLarge.Error())
	if n := onDisk(t, w.state); n > 4<<20 {
		t.Errorf("the set takes %d bytes", n)
	}
	if _, err := w.entry("11111111").Apply(w.host, true, nil); err != nil {
		t.Error(err)
	}
	if got, err := os.ReadFile(w.root + "/holes"); err != nil || string(got) != string(want) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if n := onDisk(t, w.root); n > 1<<20 {
		t.Errorf("what was applied takes %d bytes", n)
	}
}

// TestRoomComesBack: what is not kept after all leaves room for the rest.
func TestRoomComesBack(t *testing.T) {
	w := newWorld(t)
	w.limit = 1 << 20
	same := strings.Repeat("x", 1<<20)
	w.lower("a", same)
	w.up("a", same)
	w.up("b", strings.Repeat("y", 1<<20))
	w.wantKinds(w.keep("11111111"), "added b")
}

// TestGivenUp: nothing half written is left, neither by a run that gave up nor,
// from the next start on, by one that was killed.
func TestGivenUp(t *testing.T) {
	w := newWorld(t)
	w.up("a", "1")
	s, err := prepareOne(w)
	w.must(err)
	defer s.Close()
	upper, err := os.Open(w.upper)
	w.must(err)
	defer upper.Close()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if set, err := s.Keep(ctx, "11111111", "server", []*os.File{upper}, w.host); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, %v", set, err)
	}
	if list := tree(t, w.state+"/changes"); len(list) > 0 {
		t.Errorf("left: %q", list)
	}
	w.put(w.state+"/changes/.new-22222222/pending/1", "x")
	s, err = prepareOne(w)
	w.must(err)
	s.Close()
	if list := tree(t, w.state+"/changes"); len(list) > 0 {
		t.Errorf("left: %q", list)
	}
}

// TestTooMuchText: names fill no list beyond what is read back.
func TestTooMuchText(t *testing.T) {
	for _, unit := range []string{"\x01", "<", "\xff", "\"", "\\", "\u0085", "\u2028", "\U0010ffff", "a"} {
		data, err := json.Marshal(Change{Path: exact(strings.Repeat(unit, 10_000)), Refused: strings.Repeat(unit, 10_000)})
		if err != nil || len(data) > 2*6*10_000*len(unit)+100 {
			t.Errorf("%q: %d bytes, %v", unit, len(data), err)
		}
	}
	hash := make([]byte, 32)
	node := &Node{Type: Other, Mode: 1 << 31, Size: 1 << 62, Hash: hash, Ino: 1 << 63, Mtime: 1 << 62, Ctime: 1 << 62}
	one, err := json.Marshal(Change{Root: 99, Before: node, After: node, Content: maxChanges, Path: "a", Refused: "is not the server's to change"})
	if size := 2*6*maxText + len(one)*maxChanges; err != nil || size > maxManifest {
		t.Errorf("a list may have %d bytes, and %d are read back; %v", size, maxManifest, err)
	}
	w := newWorld(t)
	w.up("a/b/c", "x")
	upper, err := os.Open(w.upper)
	w.must(err)
	defer upper.Close()
	w.must(os.Mkdir(w.state, 0o700))
	store, err := newWriter(w.state, pending)
	w.must(err)
	c := &collector{set: &Set{}, store: store, ctx: t.Context(), room: 100, text: maxText - len("a")}
	w.must(c.collect(int(upper.Fd()), -1))
	w.wantKinds(c.set, "added a", "added a/b: it was not kept: "+errTooMany.Error())
}

// TestTooLongList: a list that could not be read back is not written.
func TestTooLongList(t *testing.T) {
	s := &Set{Changes: []Change{{Path: "a"}}}
	data, err := s.encode(maxManifest)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.encode(len(data)); err != nil {
		t.Error(err)
	}
	if _, err := s.encode(len(data) - 1); !errors.Is(err, errTooMany) {
		t.Error(err)
	}
}
