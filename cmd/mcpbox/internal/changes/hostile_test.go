package changes

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/policy"
	"golang.org/x/sys/unix"
)

func prepareOne(w *world) (*Staging, error) {
	return Prepare(w.state, []*policy.StagedRoot{{Path: w.root}}, w.limit)
}

// TestHostileUpper: uppers that no server could make, if all else holds, and
// those that it can.
func TestHostileUpper(t *testing.T) {
	for name, c := range map[string]struct {
		make func(*world)
		path string
		want string
	}{
		"protected name":                     {func(w *world) { w.up(".git/hooks/pre-commit", "#!/bin/sh") }, ".git/hooks/pre-commit", "not the server's to change"},
		"protected name, other case":         {func(w *world) { w.up(".VSCode/tasks.json", "{}") }, ".VSCode/tasks.json", "not the server's to change"},
		"protected name, deep":               {func(w *world) { w.up("a/b/c/d/e/f/g/h/i/.envrc", "x") }, "a/b/c/d/e/f/g/h/i/.envrc", "not the server's"},
		"protected name, removed":            {func(w *world) { w.lower(".npmrc", "host"); w.gone(".npmrc") }, ".npmrc", "not the server's"},
		"protected name, with its directory": {func(w *world) { w.lower("d/.envrc", "x"); w.gone("d") }, "d", "the host has .envrc in it"},
		"a repository of its own": {func(w *world) {
			w.up("r/HEAD", "x")
			w.up("r/config", "x")
			w.up("r/objects/x", "")
			w.up("r/refs/x", "")
		}, "r/config", "not the server's"},
		"a repository whose objects are elsewhere": {func(w *world) {
			w.up("r/HEAD", "x")
			w.up("r/commondir", "common")
			w.up("r/common/objects/x", "")
			w.up("r/common/refs/x", "")
			w.up("r/common/config", "x")
		}, "r/commondir", "not the server's"},
		"a repository, by its last part": {func(w *world) {
			w.lower("r/HEAD", "x")
			w.lower("r/config", "x")
			w.up("r/objects/x", "")
			w.up("r/refs/x", "")
		}, "r/refs", "where config is already"},
		"a repository, by its HEAD": {func(w *world) {
			w.lower("r/commondir", "common")
			w.lower("r/common/config", "x")
			w.up("r/HEAD", "x")
		}, "r/HEAD", "where commondir is already"},
		"half of it there": {func(w *world) {
			w.lower("r/HEAD", "x")
			w.lower("r/refs/x", "")
			w.up("r/config", "x")
			w.up("r/objects/x", "")
		}, "r/config", "not the server's"},
		"the policy's own name": {func(w *world) { w.names = []string{"deploy.sh"}; w.up("deploy.sh", "x") }, "deploy.sh", "not the server's"},
		"hidden":                {func(w *world) { w.closed = []string{"secret"}; w.up("secret", "x") }, "secret", "not the server's"},
		"below read-only":       {func(w *world) { w.closed = []string{"vendor"}; w.up("vendor/x", "x") }, "vendor/x", "not the server's"},
		"absolute link":         {func(w *world) { w.must(os.Symlink("/etc/passwd", w.upper+"/l")) }, "l", "leads out"},
		"link up":               {func(w *world) { w.must(os.Symlink("../x", w.upper+"/l")) }, "l", "leads out"},
		"link up from below": {func(w *world) {
			w.must(os.MkdirAll(w.upper+"/d", 0o755))
			w.must(os.Symlink("../../x", w.upper+"/d/l"))
		}, "d/l", "leads out"},
		"link by way of another": {func(w *world) { w.must(os.Symlink("a/../../x", w.upper+"/l")) }, "l", "leads out"},
		"link through the host's": {func(w *world) {
			w.must(os.Symlink(w.base+"/outside", w.root+"/out"))
			w.must(os.Symlink("out/canary", w.upper+"/l"))
		}, "l", "leads out"},
		"set-user-id":          {func(w *world) { w.up("s", "x"); w.must(os.Chmod(w.upper+"/s", 0o755|os.ModeSetuid)) }, "s", "set-id"},
		"set-group-id":         {func(w *world) { w.up("s", "x"); w.must(os.Chmod(w.upper+"/s", 0o755|os.ModeSetgid)) }, "s", "set-id"},
		"hard link":            {func(w *world) { w.up("h", "x"); w.must(os.Link(w.upper+"/h", w.upper+"/h2")) }, "h", "hard link"},
		"hard link to outside": {func(w *world) { w.must(os.Link(w.base+"/outside/canary", w.upper+"/h")) }, "h", "hard link"},
		"FIFO":                 {func(w *world) { w.must(unix.Mkfifo(w.upper+"/f", 0o644)) }, "f", "FIFO"},
		"socket":               {func(w *world) { w.must(unix.Mknod(w.upper+"/f", unix.S_IFSOCK|0o644, 0)) }, "f", "socket"},
		"FIFO for a file":      {func(w *world) { w.lower("f", "x"); w.must(unix.Mkfifo(w.upper+"/f", 0o644)) }, "f", "FIFO"},
		"attribute":            {func(w *world) { w.up("x", "x"); w.must(unix.Setxattr(w.upper+"/x", "user.evil", []byte("y"), 0)) }, "x", "user.evil"},
		"attribute of a directory": {func(w *world) {
			w.must(os.Mkdir(w.upper+"/x", 0o755))
			w.must(unix.Setxattr(w.upper+"/x", "user.evil", []byte("y"), 0))
		}, "x", "user.evil"},
		"redirected": {func(w *world) {
			w.must(os.Mkdir(w.upper+"/x", 0o755))
			w.must(unix.Setxattr(w.upper+"/x", "user.overlay.redirect", []byte("/etc"), 0))
		}, "x", "user.overlay.redirect"},
		"without data": {func(w *world) {
			w.up("x", "x")
			w.must(unix.Setxattr(w.upper+"/x", "user.overlay.metacopy", []byte("y"), 0))
		}, "x", "user.overlay.metacopy"},
		"no UTF-8": {func(w *world) { w.up("x\xff", "x") }, "x\xff", "not valid UTF-8"},
		"too deep": {func(w *world) { w.up(strings.Repeat("d/", maxDepth)+"x", "x") }, strings.TrimSuffix(strings.Repeat("d/", maxDepth), "/") + "/x", "too deep"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.lower("mod", "old")
			c.make(w)
			w.up("mod", "new") // the control: it could be applied
			before := tree(t, w.root)
			w.keep("11111111")
			got := refusals(t, applyError(w, "11111111"))
			if !slices.ContainsFunc(strings.Split(got, "\n"), func(line string) bool {
				return strings.HasPrefix(line, w.root+"/"+c.path+": ") && strings.Contains(line, c.want)
			}) {
				t.Errorf("refused: %s\nwant %s: ...%s", got, c.path, c.want)
			}
			w.wantTree(before...)
			if res, err := w.entry("11111111").Apply(w.host, true, nil); err != nil || res.Count == 0 {
				t.Errorf("partial: %+v, %v", res, err)
			}
			if data, err := os.ReadFile(w.root + "/mod"); err != nil || string(data) != "new" {
				t.Errorf("the rest: %q, %v", data, err)
			}
			check(t, w, before)
		})
	}
}

// TestJudgedAgain: what is refused is found out again when it is applied, as the
// directory may be a repository by then, and the list is only a file.
func TestJudgedAgain(t *testing.T) {
	w := newWorld(t)
	w.closed = []string{"vendor"}
	w.up(".envrc", "x")
	w.up("vendor/x", "x")
	w.up("bare/config", "x")
	w.must(os.Symlink("/etc", w.upper+"/l"))
	w.up("s", "x")
	w.must(os.Chmod(w.upper+"/s", 0o755|os.ModeSetuid))
	set := w.keep("11111111")
	for i := range set.Changes {
		set.Changes[i].Refused = ""
	}
	w.must((&writer{dir: w.state + "/changes/11111111", part: pending}).save(set))
	for _, name := range []string{"HEAD", "objects/x", "refs/x"} {
		w.lower("bare/"+name, "host")
	}
	got := refusals(t, applyError(w, "11111111"))
	for _, path := range []string{".envrc", "vendor", "vendor/x", "bare/config", "l", "s"} {
		if !strings.Contains(got, w.root+"/"+path+": ") {
			t.Errorf("%s is not refused: %s", path, got)
		}
	}
}

// check is what holds after any apply.
func check(t testing.TB, w *world, before []string) {
	t.Helper()
	data, err := os.ReadFile(w.base + "/outside/canary")
	if entries, _ := os.ReadDir(w.base + "/outside"); err != nil || string(data) != "canary" || len(entries) != 1 {
		t.Fatalf("outside was changed: %q, %v, %d", data, err, len(entries))
	}
	judge := (&policy.StagedRoot{Path: w.root, Names: w.names, Closed: w.closed}).Judge(w.host, func(string) bool { return false })
	_ = filepath.Walk(w.root, func(at string, info os.FileInfo, err error) error {
		if err != nil || at == w.root {
			return err
		}
		rel := at[len(w.root)+1:]
		if strings.HasPrefix(filepath.Base(rel), ".mcpbox-") {
			t.Errorf("%s is left", rel)
		}
		if _, err := os.Lstat(filepath.Join(w.upper, rel)); err != nil {
			return nil // the host's own
		}
		kind := policy.Regular
		switch m := info.Mode(); {
		case m&os.ModeSymlink != 0:
			kind = policy.Symlink
			target, _ := os.Readlink(at)
			if to := filepath.Clean(filepath.Join(filepath.Dir(at), target)); filepath.IsAbs(target) || !strings.HasPrefix(to+"/", w.root+"/") {
				t.Errorf("%s leads to %s", rel, target)
			}
		case m.IsDir():
			kind = policy.Directory
		case !m.IsRegular() || m&(os.ModeSetuid|os.ModeSetgid) != 0:
			t.Errorf("%s is %v", rel, m)
		}
		if name := judge(rel, kind); name != "" && !slices.Contains(before, line(t, w.root, at)) {
			t.Errorf("%s was applied", rel)
		}
		return nil
	})
}

// TestUnreadable: a server that takes its own permissions away hides nothing.
func TestUnreadable(t *testing.T) {
	w := newWorld(t)
	writable(t, w.base)
	w.up("d/f", "x")
	w.must(os.Chmod(w.upper+"/d/f", 0))
	w.must(os.Chmod(w.upper+"/d", 0))
	set := w.keep("11111111")
	w.wantKinds(set, "added d", "added d/f")
	w.must(applyError(w, "11111111"))
	info, err := os.Lstat(w.root + "/d")
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if _, err := w.entry("11111111").TakeBack(w.host, false); err != nil {
		t.Error(err)
	}
	w.wantTree()
}

// TestTooMany: a directory with more in it than is kept is refused as one, and the
// rest can be had.
func TestTooMany(t *testing.T) {
	w := newWorld(t)
	w.up("fine", "x")
	dir := w.upper + "/a/" + strings.Repeat("d/", maxDepth-2)
	w.must(os.MkdirAll(dir, 0o755))
	set := w.keep("11111111")
	full := len(set.Changes)
	c := &collector{set: &Set{Changes: make([]Change, maxChanges-full+2)}, store: &writer{dir: w.state}, ctx: t.Context()}
	upper, err := os.Open(w.upper)
	w.must(err)
	defer upper.Close()
	w.must(os.Remove(w.upper + "/fine")) // its content has no place here
	w.must(c.collect(int(upper.Fd()), -1))
	last := c.set.Changes[len(c.set.Changes)-1]
	if !strings.Contains(last.Refused, errTooMany.Error()) || last.Path == "a" {
		t.Errorf("the last is %+v", last)
	}
	if len(c.set.Changes) > maxChanges {
		t.Errorf("%d changes", len(c.set.Changes))
	}
}

// TestSwappedParents: while changes are applied, somebody exchanges the directory
// for a link to elsewhere, again and again.
func TestSwappedParents(t *testing.T) {
	w := newWorld(t)
	for i := range 40 {
		w.lower(fmt.Sprintf("d/mod%d", i), "old")
		w.up(fmt.Sprintf("d/mod%d", i), "new")
		w.up(fmt.Sprintf("d/add%d", i), "new")
		w.lower(fmt.Sprintf("d/rem%d", i), "old")
		w.gone(fmt.Sprintf("d/rem%d", i))
	}
	w.must(os.Symlink(w.base+"/outside", w.base+"/lure"))
	w.must(os.WriteFile(w.base+"/outside/mod0", []byte("old"), 0o644))
	w.must(os.WriteFile(w.base+"/outside/rem0", []byte("old"), 0o644))
	before := tree(t, w.base+"/outside")
	w.keep("11111111")
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
			}
			_ = unix.Renameat2(unix.AT_FDCWD, w.root+"/d", unix.AT_FDCWD, w.base+"/lure", unix.RENAME_EXCHANGE)
		}
	}()
	for range 30 {
		list, err := Find(w.state, "11111111")
		if err != nil || list[0].Pending == nil {
			break
		}
		_, _ = list[0].Apply(w.host, true, nil) // whatever it can
	}
	close(stop)
	<-done
	if after := tree(t, w.base+"/outside"); strings.Join(after, "\n") != strings.Join(before, "\n") {
		t.Errorf("outside was changed:\n%s", strings.Join(after, "\n"))
	}
}

// TestQuickerHost: a file that is exchanged between the look at it and the change
// stays.
func TestQuickerHost(t *testing.T) {
	w := newWorld(t)
	w.lower("mod", "old")
	w.lower("rem", "old")
	w.up("mod", "new")
	w.up("add", "new")
	w.gone("rem")
	w.keep("11111111")
	e := w.entry("11111111")
	a := &applier{set: e.Pending, from: pending, store: &writer{dir: e.dir, part: pending}}
	defer a.close()
	w.must(a.openRoots())
	a.judges = e.Pending.newJudges(w.host, a.dirs)
	w.must(a.choose(nil))
	if refused, err := a.inspect(); err != nil || len(refused) > 0 {
		t.Fatal(refused, err)
	}
	for _, name := range []string{"mod", "rem", "add"} {
		w.must(os.RemoveAll(w.root + "/" + name))
		w.lower(name, "mine")
	}
	for _, c := range a.chosen {
		do := a.make
		if c.removes() {
			do = a.remove
		}
		if err := do(c); err == nil {
			t.Errorf("%s was changed", c.Path)
		}
	}
	w.wantTree("mod -rw-r--r-- mine", "rem -rw-r--r-- mine", "add -rw-r--r-- mine")
}

// FuzzApply makes an upper layer out of anything. Whatever it is, applying it
// leaves the rest of the host as it was, nothing that is never applied, and can
// be taken back.
func FuzzApply(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b"))
	f.Add([]byte("0a1b2c3d4e5f6g7h8i9j"))
	f.Add([]byte{0x51, 0x12, 0x33, 0x47, 0x58, 0x69, 0x7a, 0x8b, 0x9c, 0xad, 0xbe, 0xcf})
	names := []string{"a", "b", "dir", ".git", "config", "hooks", ".envrc", "x"}
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWorld(t)
		writable(t, w.base)
		for _, rel := range []string{"a", "dir/a", "dir/dir/b", ".git/HEAD", ".git/config", ".git/hooks/x", "b/.envrc"} {
			w.lower(rel, "host "+rel)
		}
		before := tree(t, w.root)
		w.begin()
		for len(data) >= 3 {
			at := w.upper
			for _, c := range []byte{data[0] & 7, data[0] >> 3 & 7, data[1] & 7}[:1+data[0]>>6%3] {
				at += "/" + names[c]
			}
			_ = os.MkdirAll(filepath.Dir(at), 0o755)
			if dir, err := filepath.EvalSymlinks(filepath.Dir(at)); err == nil && dir == filepath.Dir(at) {
				fuzzOne(at, w.base, data[1]>>3&15, data[2])
			}
			data = data[3:]
		}
		set := w.keep("11111111")
		if set == nil {
			return
		}
		w.wantTree(before...)
		if res, err := w.entry("11111111").Apply(w.host, true, nil); err != nil {
			t.Fatalf("%+v, %v\n%q", res, err, kinds(set))
		}
		check(t, w, before)
		if list, _ := Find(w.state, "11111111"); len(list) == 1 && list[0].Undo != nil {
			if _, err := list[0].TakeBack(w.host, false); err != nil {
				t.Fatalf("take back: %v\n%q", err, kinds(list[0].Undo))
			}
		}
		w.wantTree(before...)
	})
}

// fuzzOne makes one file. It follows no link, as the target could be the machine's.
func fuzzOne(at, base string, what, how byte) {
	info, err := os.Lstat(at)
	switch {
	case what < 4:
		if f, err := os.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644); err == nil {
			f.Write([]byte{how})
			f.Close()
		}
	case what == 4:
		_ = os.Mkdir(at, os.FileMode(how)&0o777|0o700)
	case what < 8:
		_ = unix.Mknod(at, unix.S_IFCHR, 0)
	case what == 8:
		_ = os.Symlink([]string{"/nowhere/at/all", "../../outside", "dir", "../a", "dir/../..", "a/b"}[how%6], at)
	case what == 9:
		_ = os.Mkdir(at, 0o755)
		_ = unix.Lsetxattr(at, "user.overlay.opaque", []byte("y"), 0)
	case what == 10:
		_ = unix.Mkfifo(at, 0o644)
	case what == 11 && err == nil && info.Mode().IsRegular():
		_ = os.Chmod(at, os.FileMode(how)&0o777|os.ModeSetuid)
	case what == 12:
		_ = os.Link(base+"/outside/canary", at)
	case what == 13:
		_ = unix.Lsetxattr(at, "user.x", []byte{how}, 0)
	case what == 14 && err == nil && info.Mode().IsDir():
		_ = os.Chmod(at, os.FileMode(how)&0o777|0o400)
	}
}
