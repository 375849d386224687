package policy

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

func realHost(t testing.TB) Host {
	t.Helper()
	if runtime.GOARCH != "amd64" && runtime.GOARCH != "arm64" {
		t.Skip("no filter for this architecture")
	}
	own := t.TempDir()
	h, err := OSHost(Dirs{State: own + "/state", Config: own + "/config", Cache: own + "/cache", Runtime: own + "/run"})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// tree makes files below a new directory: a name that ends in a slash is a
// directory, "a -> b" a link, the rest are files.
func realTree(t testing.TB, names ...string) string {
	t.Helper()
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		name, to, link := strings.Cut(name, " -> ")
		at := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		switch {
		case link:
			err = os.Symlink(to, at)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(at, 0o755)
		default:
			err = os.WriteFile(at, []byte("x"), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func TestOSHost(t *testing.T) {
	h := realHost(t)
	root := realTree(t, "f", "d/", "l -> f", "ld -> d", "name with space\\and backslash")
	if err := syscall.Mkfifo(root+"/p", 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("unix", root+"/s")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	want := map[string]FileType{"f": Regular, "d": Directory, "l": Symlink, "ld": Symlink, "p": FIFO, "s": Socket, "name with space\\and backslash": Regular}
	entries, err := h.ReadDir(root, 5000)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]FileType{}
	for _, e := range entries {
		got[e.Name] = e.Type
		info, err := h.Lstat(filepath.Join(root, e.Name))
		if err != nil || info.Type != e.Type || info.UID != uint32(os.Geteuid()) {
			t.Errorf("%s: %+v, %v; the directory says %s", e.Name, info, err, e.Type)
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("ReadDir: %v, want %v", got, want)
	}
	if _, err := h.ReadDir(root+"/ld", 1); err == nil {
		t.Error("ReadDir follows a link")
	}
	if _, err := h.ReadFile(root + "/l"); err == nil {
		t.Error("ReadFile follows a link")
	}
	if _, err := h.ReadFile(root + "/p"); err == nil {
		t.Error("ReadFile reads a FIFO")
	}
	if _, err := h.Lstat(root + "/none"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Lstat of nothing: %v", err)
	}
	if data, err := h.ReadFile(root + "/f"); err != nil || string(data) != "x" {
		t.Errorf("ReadFile = %q, %v", data, err)
	}
	mounts, err := h.Mounts()
	if err != nil || !slices.ContainsFunc(mounts, func(m Mount) bool { return m.Point == "/proc" && m.Type == "proc" }) {
		t.Errorf("Mounts: %v, %v", mounts, err)
	}
	if got := unescape(`/a\040b\134c\x`); got != `/a b\c\x` {
		t.Errorf("unescape = %q", got)
	}
	var a, b [16]byte
	if h.Random(a[:]) != nil || h.Random(b[:]) != nil || a == b {
		t.Error("Random repeats itself")
	}
}

// TestManyEntries: directories larger than the buffer are read to the end.
func TestManyEntries(t *testing.T) {
	h := realHost(t)
	root := t.TempDir()
	for i := range 2000 {
		if err := os.WriteFile(fmt.Sprintf("%s/a-rather-long-name-%06d", root, i), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := h.ReadDir(root, 5000)
	if err != nil || len(entries) != 2000 {
		t.Errorf("%d entries, %v", len(entries), err)
	}
	entries, err = h.ReadDir(root, 700)
	if err != nil || len(entries) != 700 {
		t.Errorf("of at most 700: %d entries, %v", len(entries), err)
	}
}

// TestSpecOnThisMachine runs the whole of it against real files.
func TestSpecOnThisMachine(t *testing.T) {
	h := realHost(t)
	root := realTree(t, "app/.git/hooks/", "app/.git/config", "app/src/main.js", "app/CLAUDE.md -> src/rules.md", "app/src/rules.md", "docs/a", "link -> app")
	exec, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	p, err := Parse(root+"/policy.toml", fmt.Appendf(nil, "[files]\nwrite = [%q]\nread = [%q]\n", root+"/link", root+"/docs"))
	if err != nil {
		t.Fatal(err)
	}
	s, r, err := Spec(p, Program{Exec: exec, Argv: []string{"sh"}}, h)
	if err != nil {
		t.Fatal(err)
	}
	checkInvariants(t, s)
	for at, want := range map[string]string{
		"/app": "rw", "/docs": "rro", "/app/.git": "rw", "/app/.git/config": "rro", "/app/.git/hooks": "rro",
		"/app/CLAUDE.md": "dest-nofollow", "/app/src/rules.md": "rro",
	} {
		if m := mountAt(s, root+at); m == nil || !slices.Contains(m.Options, want) {
			t.Errorf("%s: %v, want %s", at, m, want)
		}
	}
	if err := os.WriteFile(root+"/app/.envrc", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", root+"/app/out"); err != nil {
		t.Fatal(err)
	}
	found := Changes(t.Context(), h, r)
	if len(found) != 2 || found[0].Event != ProtectedCreated || found[1].Event != LinkLeavesTree {
		t.Errorf("Changes: %v", found)
	}
	var back struct {
		Network NetworkReport
		Write   []string
	}
	data, err := json.Marshal(Explain(p, s, r))
	if err != nil || json.Unmarshal(data, &back) != nil || back.Network.Mode != NetworkFiltered || len(back.Write) == 0 {
		t.Errorf("explanation as JSON: %s, %v", data, err)
	}
}

// BenchmarkSpec measures one start with a project of 5000 files in 500
// directories, which is read in full, and without any.
func BenchmarkSpec(b *testing.B) {
	var names []string
	for i := range 500 {
		for j := range 10 {
			names = append(names, fmt.Sprintf("src/%02d/%02d/file-%d.go", i%25, i/25, j))
		}
	}
	names = append(names, ".git/hooks/pre-commit", ".git/config", ".vscode/settings.json", "CLAUDE.md")
	root := realTree(b, names...)
	h := realHost(b)
	for name, p := range map[string]*Policy{
		"empty":   {},
		"project": {Files: Files{Write: []Path{{Text: root}}}},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, _, err := Spec(p, Program{Exec: "/usr/bin/env"}, h); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("seccomp", func(b *testing.B) {
		for b.Loop() {
			if _, err := Seccomp(SocketsNone, runtime.GOARCH); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("changes", func(b *testing.B) {
		_, r, err := Spec(&Policy{Files: Files{Write: []Path{{Text: root}}}}, Program{Exec: "/usr/bin/env"}, h)
		if err != nil {
			b.Fatal(err)
		}
		for b.Loop() {
			if found := Changes(b.Context(), h, r); len(found) > 0 {
				b.Fatal(found)
			}
		}
	})
}
