package disk

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const mib = 1 << 20

// grow is a directory that is watched, with something in it from before.
func grow(t *testing.T, allowed int64) (string, *Growth) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "before"), 2*mib)
	g, err := New([]string{dir}, allowed)
	if err != nil {
		t.Fatal(err)
	}
	g.volumes[0].floor = false // the machine's disk may be full; see TestLow
	if _, err := g.Begin(); err != nil {
		t.Fatal(err)
	}
	return dir, g
}

func write(t *testing.T, name string, size int) *os.File {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600)
	if err == nil {
		_, err = f.Write([]byte(strings.Repeat("x", size)))
	}
	if err == nil {
		err = f.Sync()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// What takes room counts, and nothing else does.
func TestMeasure(t *testing.T) {
	self := []int{os.Getpid()}
	const little = 64 << 10 // the file system's own
	for name, c := range map[string]struct {
		do          func(t *testing.T, dir string)
		least, most int64
	}{
		"nothing":  {func(*testing.T, string) {}, 0, little},
		"a file":   {func(t *testing.T, dir string) { write(t, dir+"/x", 5*mib) }, 5 * mib, 6 * mib},
		"appended": {func(t *testing.T, dir string) { write(t, dir+"/before", 5*mib) }, 3 * mib, 4 * mib},
		"deleted": {func(t *testing.T, dir string) {
			if err := os.Remove(dir + "/before"); err != nil {
				t.Fatal(err)
			}
		}, 0, little},
		"sparse": {func(t *testing.T, dir string) {
			if err := write(t, dir+"/x", mib).Truncate(1 << 40); err != nil {
				t.Fatal(err)
			}
		}, mib, 2 * mib},
		"allocated": {func(t *testing.T, dir string) {
			if err := unix.Fallocate(int(write(t, dir+"/x", 1).Fd()), unix.FALLOC_FL_KEEP_SIZE, 0, 5*mib); err != nil {
				t.Fatal(err)
			}
		}, 5 * mib, 6 * mib},
		"empty files": {func(t *testing.T, dir string) {
			for i := range 1000 {
				if err := os.WriteFile(filepath.Join(dir, strings.Repeat("x", i%200+1)+string(rune('a'+i/200))), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}, 1000 * 4096, 1100 * 4096},
		"one file with many names": {func(t *testing.T, dir string) {
			write(t, dir+"/x", mib)
			for _, n := range []string{"/a", "/b", "/c"} {
				if err := os.Link(dir+"/x", dir+n); err != nil {
					t.Fatal(err)
				}
			}
		}, mib, mib + mib/2},
		"a link out": {func(t *testing.T, dir string) {
			if err := os.Symlink("/usr", dir+"/x"); err != nil {
				t.Fatal(err)
			}
		}, 0, little},
		"deleted and open": {func(t *testing.T, dir string) {
			write(t, dir+"/x", 5*mib)
			if err := os.Remove(dir + "/x"); err != nil {
				t.Fatal(err)
			}
		}, 5 * mib, 6 * mib},
		"deleted and mapped": {func(t *testing.T, dir string) {
			f := write(t, dir+"/x", 5*mib)
			m, err := unix.Mmap(int(f.Fd()), 0, 5*mib, unix.PROT_READ, unix.MAP_SHARED)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { unix.Munmap(m) })
			f.Close()
			if err := os.Remove(dir + "/x"); err != nil {
				t.Fatal(err)
			}
		}, 5 * mib, 6 * mib},
		"below": {func(t *testing.T, dir string) {
			if err := os.MkdirAll(dir+"/a/b/c", 0o700); err != nil {
				t.Fatal(err)
			}
			write(t, dir+"/a/b/c/x", 5*mib)
		}, 5 * mib, 6 * mib},
	} {
		t.Run(name, func(t *testing.T) {
			dir, g := grow(t, 1<<40)
			c.do(t, dir)
			written, e, err := g.Measure(self)
			if err != nil || e != nil || written < c.least || written > c.most {
				t.Errorf("%d, %+v, %v; want from %d to %d", written, e, err, c.least, c.most)
			}
		})
	}
}

func TestExceeded(t *testing.T) {
	dir, g := grow(t, 8*mib)
	if _, e, err := g.Measure(nil); e != nil || err != nil {
		t.Fatalf("at first: %+v, %v", e, err)
	}
	write(t, dir+"/x", 9*mib)
	if look, grown := g.Glance(8 * mib); !look || grown < 8*mib {
		t.Errorf("a glance sees %v, %d", look, grown)
	}
	if written, e, err := g.Measure(nil); err != nil || e == nil || e.Written != written || written < 9*mib || e.Detail != "" {
		t.Errorf("%d, %+v, %v", written, e, err)
	}
}

// Directories nested deeper than one looks are no place to hide.
func TestTooDeep(t *testing.T) {
	dir, g := grow(t, 1<<40)
	for range deepest + 1 {
		dir += "/d"
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, e, err := g.Measure(nil); err != nil || e == nil || !strings.Contains(e.Detail, "nested more than 256 deep") {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestLow(t *testing.T) {
	s := unix.Statfs_t{Bsize: 4096, Blocks: 1 << 20, Bavail: 1 << 19, Files: 1 << 20, Ffree: 1 << 19}
	v := &volume{free: freeOf(s), inodes: 1 << 19}
	if v.low(s) {
		t.Error("half of it is free")
	}
	space := s
	space.Bavail = 1 << 20 / 21
	inodes := s
	inodes.Ffree = 1 << 20 / 21
	if !v.low(space) || !v.low(inodes) {
		t.Error("less than a twentieth is free, and that is enough")
	}
	v.free, v.inodes = freeOf(space), int64(space.Ffree)
	if v.low(space) {
		t.Error("it was so full before")
	}
	inodes.Files = 0
	if v.low(inodes) {
		t.Error("a file system without a number of files, such as btrfs, has none left")
	}
}

func TestLookAgain(t *testing.T) {
	for left := int64(-mib); left < 1<<45; left += 1 + left*left {
		if d := LookAgain(left); d < 5*time.Millisecond || d > 500*time.Millisecond {
			t.Errorf("%d: %v", left, d)
		}
	}
}

func TestNothingToWatch(t *testing.T) {
	if g, err := New(nil, 1); g != nil || err != nil {
		t.Errorf("%v, %v", g, err)
	}
	if _, err := New([]string{t.TempDir() + "/none"}, 1); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}
