package policy

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

func changesOf(t *testing.T, ctx context.Context, h Host, change func()) []string {
	t.Helper()
	_, r, err := Spec(&Policy{Files: Files{Write: []Path{{Text: scanRoot}}}}, Program{Exec: "/usr/bin/true"}, h)
	if err != nil {
		t.Fatal(err)
	}
	change()
	var list []string
	for _, f := range Changes(ctx, h, r) {
		list = append(list, string(f.Event)+" "+strings.TrimPrefix(f.Path, scanRoot+"/"))
	}
	return list
}

// TestChangesGoOn: what a program closes does not hide what else it has made,
// and the next start says how to open it.
func TestChangesGoOn(t *testing.T) {
	for _, perm := range []uint32{0, 0o400, 0o100} {
		h := newHost(t, "")
		got := changesOf(t, t.Context(), h, func() {
			h.make(scanRoot+"/.vscode/tasks.json", Regular, "")
			h.make(scanRoot+"/z/.envrc", Regular, "")
			h.make(scanRoot+"/0/sub/.git/hooks", Directory, "")
			h.files[scanRoot+"/0"].Perm = perm
		})
		want := []string{"protected_created .vscode", "scan_blocked 0", "protected_created z/.envrc"}
		if !slices.Equal(got, want) {
			t.Errorf("%o: %q, want %q", perm, got, want)
		}
		_, _, err := specOf(h, scanRoot)
		if err == nil || !strings.Contains(err.Error(), "type: chmod u+rx "+scanRoot+"/0 ") {
			t.Errorf("%o: the next start: %v", perm, err)
		}
		// Reading, the box cannot open it either.
		_, _, err = Spec(&Policy{Files: Files{Read: []Path{{Text: scanRoot}}}}, Program{Exec: "/usr/bin/true"}, h)
		if err != nil {
			t.Errorf("%o: the next start, to read: %v", perm, err)
		}
		h.make(scanRoot+"/1", Directory, "")
		h.files[scanRoot+"/1"].Perm = perm
		h.make("/usr/bin/env", Regular, "")
		if _, _, err = specOf(h, scanRoot); perm != 0o400 && (err == nil || !strings.Contains(err.Error(), "type: find "+scanRoot+" -type d")) {
			t.Errorf("%o: with two of them: %v", perm, err)
		}
		h.files[scanRoot+"/0"].Perm, h.files[scanRoot+"/1"].Perm = 0o755, 0o755
		if mounts, _, err := specOf(h, scanRoot); err != nil || mounts(scanRoot+"/0/sub/.git/hooks") != "rro" {
			t.Errorf("%o: opened again: %v", perm, err)
		}
	}
}

// TestUnreachableName: a name that can be listed but not reached cannot be
// mounted over, which has to be said with the way out.
func TestUnreachableName(t *testing.T) {
	h := newHost(t, envProgram+under("f d/.envrc", "s d/sock"))
	if mounts, _, err := specOf(h, scanRoot); err != nil || mounts(scanRoot+"/d/.envrc") != "rro" {
		t.Errorf("the control: %v", err)
	}
	h.files[scanRoot+"/d"].Perm = 0o400
	if _, _, err := specOf(h, scanRoot); err == nil || !strings.Contains(err.Error(), "chmod u+rx "+scanRoot+"/d ") {
		t.Errorf("%v", err)
	}
}

// slowHost counts what it is asked, and can stop answering.
type slowHost struct {
	Host
	lstats atomic.Int64
	reads  atomic.Int64  // of directories
	hang   chan struct{} // nil: it answers
	cancel func()        // called when it does not
}

func (h *slowHost) Lstat(p string) (Info, error) {
	h.lstats.Add(1)
	return h.Host.Lstat(p)
}

func (h *slowHost) ReadDir(p string, limit int) ([]Entry, error) {
	h.reads.Add(1)
	if h.hang != nil {
		h.cancel()
		<-h.hang
	}
	return h.Host.ReadDir(p, limit)
}

// TestLongLinks: no link costs more than a bounded number of system calls, and
// one that would is reported, and refused where it has a protected name.
func TestLongLinks(t *testing.T) {
	h := &slowHost{Host: realHost(t)}
	root := realTree(t, "d/x", "short -> d/x", "out -> /etc")
	_, r, err := Spec(&Policy{Files: Files{Write: []Path{{Text: root}}}}, Program{Exec: "/usr/bin/env"}, h)
	if err != nil {
		t.Fatal(err)
	}
	const chain, many = 30, 200
	for i := range chain {
		if err := os.Symlink(strings.Repeat("d/../", 800)+fmt.Sprintf("c%d", i+1), fmt.Sprintf("%s/c%d", root, i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("d/../d/x", fmt.Sprintf("%s/c%d", root, chain)); err != nil {
		t.Fatal(err)
	}
	for i := range many {
		if err := os.Symlink("c0", fmt.Sprintf("%s/l%d", root, i)); err != nil {
			t.Fatal(err)
		}
	}
	h.lstats.Store(0)
	reported := map[string]string{}
	for _, f := range Changes(t.Context(), h, r) {
		reported[strings.TrimPrefix(f.Path, root+"/")] = f.Detail
	}
	if reported["l0"] != "too long to follow" || reported["c0"] != "too long to follow" || len(reported) != many+chain {
		t.Errorf("%d reported: l0 %q, c0 %q", len(reported), reported["l0"], reported["c0"])
	}
	if _, ok := reported[fmt.Sprintf("c%d", chain)]; ok {
		t.Error("the control: a link that stays inside is reported")
	}
	if n := h.lstats.Load(); n > (many+chain+3)*maxSteps+1000 {
		t.Errorf("%d files looked at for %d links", n, many+chain)
	}
	if err := os.Symlink("d/x", root+"/.envrc"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := specOf(h, root); err != nil {
		t.Errorf("the control: a protected link: %v", err)
	}
	if err := os.Symlink("c0", root+"/.bashrc"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := specOf(h, root); err == nil || !strings.Contains(err.Error(), "type: rm "+root+"/.bashrc") {
		t.Errorf("a protected link too long to follow: %v", err)
	}
}

// TestChangesStop: the look at the end of a run ends when it is told to, also on
// a file system that does not answer.
func TestChangesStop(t *testing.T) {
	h := newHost(t, "")
	create := func() { h.make(scanRoot+"/.envrc", Regular, "") }
	if got := changesOf(t, t.Context(), h, create); !slices.Equal(got, []string{"protected_created .envrc"}) {
		t.Errorf("the control: %q", got)
	}
	done, cancel := context.WithCancel(t.Context())
	cancel()
	slow := &slowHost{Host: newHost(t, "")}
	if got := changesOf(t, done, slow, func() { slow.reads.Store(0) }); !slices.Equal(got, []string{"scan_truncated " + scanRoot}) {
		t.Errorf("out of time: %q", got)
	}
	if slow.reads.Load() > 0 {
		t.Error("a directory is read when there is no time left")
	}
	hang := make(chan struct{})
	defer close(hang)
	ctx, stop := context.WithCancel(t.Context())
	slow.cancel = stop
	if got := changesOf(t, ctx, slow, func() { slow.hang = hang }); !slices.Equal(got, []string{"scan_truncated " + scanRoot}) {
		t.Errorf("not answered: %q", got)
	}
}

// TestChangesAreBounded: one kind of finding does not crowd out another.
func TestChangesAreBounded(t *testing.T) {
	h := newHost(t, "")
	got := changesOf(t, t.Context(), h, func() {
		for i := range maxFindings + 50 {
			h.make(fmt.Sprintf("%s/a%d/.envrc", scanRoot, i), Regular, "")
		}
		h.make(scanRoot+"/out", Symlink, "/etc")
		// More entries than a scan reads do not hide a name in the root.
		fill(h, scanRoot, ScanEntries)
		h.make(scanRoot+"/.mcp.json", Regular, "")
	})
	if !slices.Contains(got, "protected_created .mcp.json") || !slices.Contains(got, "scan_truncated "+scanRoot) {
		t.Errorf("%d findings: %q", len(got), got[:min(5, len(got))])
	}
	h = newHost(t, "")
	got = changesOf(t, t.Context(), h, func() {
		for i := range maxFindings + 50 {
			h.make(fmt.Sprintf("%s/a/.aider%d", scanRoot, i), Regular, "")
		}
		h.make(scanRoot+"/out", Symlink, "/etc")
	})
	if len(got) != maxFindings+2 || !slices.Contains(got, "symlink_leaves_tree out") || got[len(got)-1] != "scan_truncated " {
		t.Errorf("%d findings", len(got))
	}
}

func TestShellWord(t *testing.T) {
	for p, want := range map[string]string{
		"/a/b-c_d.e": "/a/b-c_d.e",
		"/a b":       "'/a b'",
		"/$(x)`y`":   "'/$(x)`y`'",
		"/it's":      `'/it'\''s'`,
		"/a\nb'\\":   `$'/a\012b\'\\'`,
		"/\x9b":      `$'/\233'`,
		"/ü":         `$'/\303\274'`,
	} {
		if got := shellWord(p); got != want {
			t.Errorf("%q: %s, want %s", p, got, want)
		}
	}
}

// TestComparePaths: a directory comes before what is in it, and that before the
// next directory, whatever bytes names hold.
func TestComparePaths(t *testing.T) {
	want := []string{"/", "/a", "/a/b", "/a/b/c", "/a/z", "/a\x01b", "/a b", "/a-b", "/a.b", "/a.b/c", "/ab", "/b"}
	got := slices.Clone(want)
	slices.Reverse(got)
	slices.SortFunc(got, comparePaths)
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}
