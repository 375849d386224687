package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// box is a root directory with a file system in memory, tmp, in which there is
// what a server may have made.
type box struct {
	t    *testing.T
	root *os.File
	tmp  string
}

func newBox(t *testing.T) box {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "box")
	var fs unix.Statfs_t
	if err == nil {
		t.Cleanup(func() {
			os.Chmod(filepath.Join(dir, "tmp/hidden"), 0o700) // by its name: there are links that lead to the host
			os.RemoveAll(dir)
		})
		err = unix.Statfs(dir, &fs)
	}
	if err != nil || fs.Type != unix.TMPFS_MAGIC {
		if os.Getenv("MCPBOX_REQUIRE") != "" {
			t.Fatal("/dev/shm is no file system in memory: ", err)
		}
		t.Skip("needs a file system in memory at /dev/shm")
	}
	b := box{t: t, tmp: filepath.Join(dir, "tmp")}
	if err := os.Mkdir(b.tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	if b.root, err = os.Open(dir); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.root.Close() })
	return b
}

func (b box) do(errs ...error) {
	b.t.Helper()
	if err := errors.Join(errs...); err != nil {
		b.t.Fatal(err)
	}
}

func (b box) write(name, text string, mode os.FileMode) {
	b.t.Helper()
	path := filepath.Join(b.tmp, name)
	b.do(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, mode))
}

// copied is a snapshot of the box's tmp.
type copied struct {
	dir   string
	items map[string]Item
	left  string
}

func (b box) copy(bounds Bounds, still bool) copied {
	b.t.Helper()
	c := copied{dir: filepath.Join(b.t.TempDir(), "snapshot"), items: map[string]Item{}}
	s, err := Create(c.dir)
	b.do(err)
	b.do(s.Trees(b.root, []string{"/tmp", "/missing"}, "", bounds, still, nil))
	_, err = s.Finish("a test")
	b.do(err)
	c.left = strings.Join(s.Left(), "\n")
	data, err := os.ReadFile(filepath.Join(c.dir, "tree.jsonl"))
	b.do(err)
	for line := range bytes.Lines(data) {
		var item Item
		b.do(json.Unmarshal(line, &item))
		if _, twice := c.items[item.Path]; twice {
			b.t.Errorf("%s is there twice", item.Path)
		}
		c.items[item.Path] = item
	}
	c.check(b.t)
	return c
}

// check compares every file of a snapshot with its manifest.
func (c copied) check(t *testing.T) {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(c.dir, "manifest.json"))
	var manifest struct{ Files []File }
	if err := errors.Join(err, json.Unmarshal(data, &manifest)); err != nil {
		t.Fatal(err)
	}
	listed := map[string]File{}
	for _, f := range manifest.Files {
		listed[f.Path] = f
	}
	err = filepath.WalkDir(c.dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(c.dir, path)
		if perm := info.Mode(); e.IsDir() && perm != os.ModeDir|0o700 || !e.IsDir() && perm != 0o600 {
			t.Errorf("%s has mode %v", name, perm)
		}
		if e.IsDir() || name == "manifest.json" {
			return nil
		}
		data, err := os.ReadFile(path)
		if f := listed[name]; f.Size != int64(len(data)) || f.SHA256 != fmt.Sprintf("%x", sha256.Sum256(data)) {
			t.Errorf("%s is not as the manifest says: %+v", name, f)
		}
		delete(listed, name)
		return err
	})
	if err != nil || len(listed) > 0 {
		t.Errorf("%v; not there: %v", err, listed)
	}
}

func (c copied) text(t *testing.T, path string) string {
	t.Helper()
	item, ok := c.items[path]
	if !ok || item.Copy == "" {
		t.Errorf("%s was not copied: %+v", path, item)
		return ""
	}
	data, err := os.ReadFile(filepath.Join(c.dir, item.Copy))
	if err != nil || item.SHA256 != fmt.Sprintf("%x", sha256.Sum256(data)) {
		t.Error(path, err)
	}
	return string(data)
}

func TestTrees(t *testing.T) {
	b := newBox(t)
	secret := filepath.Join(t.TempDir(), "id_rsa")
	b.do(os.WriteFile(secret, []byte("the host's secret"), 0o600))
	hostile := "a\n\x1b[31m%41 \xff"
	long := strings.Repeat("\x01", 255)
	deep := strings.Repeat("d/", 20) + "file"
	b.write("plain", "planted", 0o755)
	b.write("closed", "closed to everybody", 0)
	b.write("hidden/inside", "in a closed directory", 0o600)
	b.do(os.Chmod(filepath.Join(b.tmp, "hidden"), 0))
	b.write(hostile, "hostile", 0o600)
	b.write(long, "long", 0o600)
	b.write(deep, "deep", 0o600)
	b.write("empty", "", 0o600)
	b.write("one", "twice", 0o600)
	b.do(os.Link(filepath.Join(b.tmp, "one"), filepath.Join(b.tmp, "two")),
		os.Symlink(secret, filepath.Join(b.tmp, "link")),
		os.Symlink("../../../../../../"+secret, filepath.Join(b.tmp, "upwards")),
		os.Symlink("/", filepath.Join(b.tmp, "directory")),
		os.Symlink("loop\x1b", filepath.Join(b.tmp, "loop\x1b")),
		unix.Mkfifo(filepath.Join(b.tmp, "fifo"), 0o600))
	socket, err := net.Listen("unix", filepath.Join(b.tmp, "socket"))
	b.do(err)
	defer socket.Close()

	began := time.Now()
	c := b.copy(DefaultBounds, true)
	if took := time.Since(began); took > 30*time.Second {
		t.Errorf("it took %v", took)
	}
	// The control: it is in reach of whoever follows links.
	if data, err := os.ReadFile(filepath.Join(b.tmp, "link")); err != nil || string(data) != "the host's secret" {
		t.Fatalf("%q, %v", data, err)
	}
	for path, want := range map[string]string{
		"/tmp/plain": "planted", "/tmp/closed": "closed to everybody", "/tmp/hidden/inside": "in a closed directory",
		"/tmp/" + safe(hostile): "hostile", "/tmp/" + safe(long): "long", "/tmp/" + deep: "deep", "/tmp/empty": "", "/tmp/one": "twice",
	} {
		if got := c.text(t, path); got != want {
			t.Errorf("%s: %q", path, got)
		}
	}
	for path, kind := range map[string]string{
		"/tmp": "directory", "/tmp/hidden": "directory", "/tmp/link": "link", "/tmp/upwards": "link", "/tmp/directory": "link",
		"/tmp/loop%1B": "link", "/tmp/fifo": "fifo", "/tmp/socket": "socket", "/tmp/plain": "file",
	} {
		if item := c.items[path]; item.Type != kind || kind != "file" && item.Copy != "" {
			t.Errorf("%s: %+v", path, item)
		}
	}
	if to := c.items["/tmp/link"].Target; to != secret {
		t.Errorf("the link leads to %q", to)
	}
	if to := c.items["/tmp/loop%1B"].Target; to != "loop%1B" {
		t.Errorf("the link leads to %q", to)
	}
	if two := c.items["/tmp/two"]; two.SameAs != "/tmp/one" || two.Copy != "" {
		t.Errorf("%+v", two)
	}
	if c.items["/tmp/closed"].Mode != "0000" || c.items["/tmp/hidden"].Mode != "0000" || c.items["/tmp/plain"].Mode != "0755" {
		t.Errorf("%+v", c.items)
	}
	if c.left != "/missing: no such file or directory" {
		t.Errorf("left out: %s", c.left)
	}
	for _, name := range []string{"closed", "hidden"} { // as it was
		if info, err := os.Lstat(filepath.Join(b.tmp, name)); err != nil || info.Mode().Perm() != 0 {
			t.Errorf("%s has mode %v now, %v", name, info.Mode(), err)
		}
	}
	// Nothing of the host is in it.
	filepath.WalkDir(c.dir, func(path string, e os.DirEntry, _ error) error {
		if data, err := os.ReadFile(path); err == nil && strings.Contains(string(data), "the host's secret") {
			t.Errorf("%s has the host's secret", path)
		}
		return nil
	})
}

// A running box could see its modes change, so they do not.
func TestRunning(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Log("root opens what is closed to its owner, too")
	}
	b := newBox(t)
	b.write("closed", "x", 0)
	before, err := os.Lstat(filepath.Join(b.tmp, "closed"))
	b.do(err)
	c := b.copy(DefaultBounds, false)
	after, err := os.Lstat(filepath.Join(b.tmp, "closed"))
	b.do(err)
	ctime := func(i os.FileInfo) unix.Timespec {
		var st unix.Stat_t
		b.do(unix.Lstat(filepath.Join(b.tmp, i.Name()), &st))
		return st.Ctim
	}
	if ctime(before) != ctime(after) || os.Geteuid() != 0 && (c.items["/tmp/closed"].Note == "" || !strings.Contains(c.left, "/tmp/closed: ")) {
		t.Errorf("%+v, left out: %s", c.items["/tmp/closed"], c.left)
	}
}

// A file takes what is in it, not what it claims.
func TestHoles(t *testing.T) {
	b := newBox(t)
	open := func(name string) *os.File {
		file, err := os.OpenFile(filepath.Join(b.tmp, name), os.O_RDWR|os.O_CREATE, 0o600)
		b.do(err)
		t.Cleanup(func() { file.Close() })
		return file
	}
	const huge = 1 << 40
	sparse, hole, allocated := open("sparse"), open("hole"), open("allocated")
	b.do(sparse.Truncate(huge), hole.Truncate(huge), unix.Fallocate(int(allocated.Fd()), 0, 0, 1<<20))
	page := int64(os.Getpagesize())
	for _, at := range []int64{0, 10 * page, huge - 3} {
		_, err := sparse.WriteAt([]byte("abc"), at)
		b.do(err)
	}
	b.write("dense", strings.Repeat("x", 100_000), 0o600)
	c := b.copy(DefaultBounds, true)
	item, text := c.items["/tmp/sparse"], c.text(t, "/tmp/sparse")
	if item.Size != huge || len(item.Extents) != 3 {
		t.Fatalf("%+v", item)
	}
	var sum int64
	for i, at := range []int64{0, 10 * page, huge - page} {
		if item.Extents[i][0] != at {
			t.Errorf("part %d is at %d", i, item.Extents[i][0])
		}
		sum += item.Extents[i][1]
	}
	if sum != int64(len(text)) || text[:3] != "abc" || text[page:page+3] != "abc" || text[len(text)-3:] != "abc" {
		t.Errorf("%d bytes in parts of %d", len(text), sum)
	}
	if item := c.items["/tmp/hole"]; item.Extents == nil || len(item.Extents) != 0 || c.text(t, "/tmp/hole") != "" {
		t.Errorf("%+v", item)
	}
	if item := c.items["/tmp/dense"]; item.Extents != nil || len(c.text(t, "/tmp/dense")) != 100_000 {
		t.Errorf("%+v", item)
	}
	if n := len(c.text(t, "/tmp/allocated")); n > 1<<20 {
		t.Errorf("%d bytes", n)
	}
	if c.left != "/missing: no such file or directory" {
		t.Errorf("left out: %s", c.left)
	}
}

// What is beyond the bounds is told.
func TestBounds(t *testing.T) {
	b := newBox(t)
	b.do(os.Symlink(strings.Repeat("\n", 300), filepath.Join(b.tmp, "a")))
	for i := range 40 {
		b.write(fmt.Sprintf("d%d/%s/f", i%4, strings.Repeat("e/", i)), strings.Repeat("x", 1000), 0o600)
	}
	files := func(c copied) (n int, bytes int64) {
		for _, item := range c.items {
			if item.Copy != "" {
				info, err := os.Lstat(filepath.Join(c.dir, item.Copy))
				b.do(err)
				n, bytes = n+1, bytes+info.Size()
			}
		}
		return n, bytes
	}
	if n, bytes := files(b.copy(DefaultBounds, true)); n != 40 || bytes != 40_000 {
		t.Errorf("without bounds: %d files, %d bytes", n, bytes)
	}
	for _, c := range []struct {
		bounds Bounds
		left   string
	}{
		{Bounds{Entries: 30, Bytes: 1 << 20, Depth: 100, Text: 1 << 20}, ": it has more than the most that is copied"},
		{Bounds{Entries: 1000, Bytes: 5500, Depth: 100, Text: 1 << 20}, ": it is more than is copied"},
		{Bounds{Entries: 1000, Bytes: 1 << 20, Depth: 5, Text: 1 << 20}, ": it is too deep"},
		{Bounds{Entries: 1000, Bytes: 1 << 20, Depth: 100, Text: 1000}, ": the names of what it has are longer than is copied"},
	} {
		got := b.copy(c.bounds, true)
		n, bytes := files(got)
		text := 0
		for _, item := range got.items {
			text += len(item.Path) + len(item.Target)
		}
		if text > c.bounds.Text+100 {
			t.Errorf("%+v: paths and targets of %d bytes", c.bounds, text)
		}
		if n >= 40 && bytes == 40_000 || bytes > c.bounds.Bytes || len(got.items) > c.bounds.Entries+1 || !strings.Contains(got.left, c.left) {
			t.Errorf("%+v: %d items, %d files, %d bytes, left out: %s", c.bounds, len(got.items), n, bytes, got.left)
		}
	}
}

// An interrupt ends it.
func TestInterrupt(t *testing.T) {
	b := newBox(t)
	b.write("x", "x", 0o600)
	s, err := Create(filepath.Join(t.TempDir(), "s"))
	b.do(err)
	done := make(chan struct{})
	close(done)
	if err := s.Trees(b.root, []string{"/tmp"}, "", DefaultBounds, true, done); !errors.Is(err, errInterrupted) {
		t.Error(err)
	}
	if _, err := Create(filepath.Join(b.tmp, "x")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("what is there was taken: %v", err)
	}
}

// Only the box's own file systems are copied.
func TestForeignFileSystem(t *testing.T) {
	b := newBox(t)
	b.do(os.Symlink("/proc", filepath.Join(b.root.Name(), "home")), os.Mkdir(filepath.Join(b.root.Name(), "proc"), 0o700))
	host, err := os.Open("/")
	b.do(err)
	defer host.Close()
	s, err := Create(filepath.Join(t.TempDir(), "s"))
	b.do(err)
	b.do(s.Trees(host, []string{"/proc/self/fd", "/proc"}, "", DefaultBounds, true, nil))
	if left := strings.Join(s.Left(), "\n"); strings.Count(left, "it is not the box's own")+strings.Count(left, "too many levels") != 2 {
		t.Error(left)
	}
}

// Names stay apart, and are names.
func FuzzSafe(f *testing.F) {
	f.Add("a", "A")
	f.Add("%41", "A")
	f.Add(strings.Repeat("\x01", 255), strings.Repeat("\x01", 254))
	f.Fuzz(func(t *testing.T, a, b string) {
		x, y := safe(a), safe(b)
		if (x == y) != (a == b) {
			t.Errorf("%q and %q are %q and %q", a, b, x, y)
		}
		if len(x) > 255 || strings.ContainsFunc(x, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("'\"\\$`*?;&|<>()", r) }) {
			t.Errorf("%q became %q", a, x)
		}
	})
}
