package containers

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// evidence is a snapshot, and what was said of it.
type evidence struct {
	dir, stderr string
	left        []string
}

// snapshot takes one.
func (u *user) snapshot(name string) (e evidence) {
	u.t.Helper()
	cmd := u.command("snapshot", name)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		u.t.Fatalf("snapshot: %v, %s%s", err, out, &stderr)
	}
	e.dir, e.stderr = strings.TrimSpace(string(out)), stderr.String()
	var manifest struct{ LeftOut []string }
	data, err := os.ReadFile(filepath.Join(e.dir, "manifest.json"))
	if err := errors.Join(err, json.Unmarshal(data, &manifest)); err != nil {
		u.t.Fatal(err)
	}
	e.left = manifest.LeftOut
	return e
}

// has reports whether a file below name has the text in it.
func (e evidence) has(t *testing.T, name, text string) (found bool) {
	t.Helper()
	err := filepath.WalkDir(filepath.Join(e.dir, name), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		found = found || strings.Contains(string(data), text)
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return found
}

// What a snapshot is to have, or not to.
const (
	planted  = "planted-4e7a"     // by the server, in its /tmp
	argument = "argument-8c15"    // of a process of the server's
	ofHost   = "host-canary-27d0" // an argument of a process of the host's, and the name of a file in its /tmp
)

// canary is a process of the host's, and a file in its /tmp.
func canary(t *testing.T) {
	t.Helper()
	cmd := exec.Command("sleep", "10000")
	cmd.Args[0] = ofHost
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	file, err := os.CreateTemp("/tmp", ofHost)
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	t.Cleanup(func() { os.Remove(file.Name()) })
}

// hides runs a server that has something to hide.
func (u *user) hides() {
	u.t.Helper()
	u.serveScript("hides", "echo "+planted+" >/tmp/secret; sh -c 'while :; do sleep 10; done' "+argument+" & echo ready; while :; do sleep 10; done")
	await(u.t, "it is listed", func() bool { return len(u.ps()) == 1 })
}

// TestSnapshot: root's snapshot of a container has what the server has and does, as far
// as the host sees it, and nothing of the host; what it lacks it says.
func TestSnapshot(t *testing.T) { each(t, testSnapshot) }

func testSnapshot(t *testing.T, m *machine) {
	canary(t)
	u := newUser(t, m)
	u.hides()
	e := u.snapshot("hides")
	if e.has(t, ".", ofHost) {
		t.Error("it has a process, or a file, of the host's")
	}
	if !e.has(t, "description.json", m.image.Ref) || !e.has(t, "journal", "snapshot") || !e.has(t, "run.json", "hides") {
		t.Error("it has no policy, no journal or no state")
	}
	if _, err := os.Stat(filepath.Join(e.dir, "net/tcp")); err != nil {
		t.Error(err)
	}
	inside := e.has(t, "processes.json", argument) && e.has(t, "tree", planted) && e.has(t, "mountinfo", " /tmp ")
	if m.runtime == "runc" {
		if !inside || len(e.left) > 0 || e.stderr != "" {
			t.Errorf("it has what is inside: %t; left out: %q; said: %s", inside, e.left, e.stderr)
		}
		return
	}
	const want = "its processes and their memory maps, mounts and files: gVisor keeps them to itself"
	if !slices.ContainsFunc(e.left, func(s string) bool { return strings.HasPrefix(s, want) }) || !strings.Contains(e.stderr, want) {
		t.Errorf("left out: %q; said: %s", e.left, e.stderr)
	}
	for _, name := range []string{"processes.json", "maps", "mountinfo", "tree"} {
		if _, err := os.Stat(filepath.Join(e.dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSnapshotOfOrdinaryUser: what only root may see is left out, with the reason, and
// the line that root can type where there is one. The rest is there.
func TestSnapshotOfOrdinaryUser(t *testing.T) { each(t, testSnapshotOfOrdinaryUser) }

func testSnapshotOfOrdinaryUser(t *testing.T, m *machine) {
	canary(t)
	u := newUser(t, m)
	u.uid = somebody
	if err := errors.Join(os.Chown(m.Address, somebody, somebody), os.Chown(u.home, somebody, somebody), os.Chmod(filepath.Dir(u.home), 0o755)); err != nil {
		t.Fatal(err)
	}
	u.hides()
	e := u.snapshot("hides")
	if e.has(t, ".", ofHost) {
		t.Error("it has a process, or a file, of the host's")
	}
	if !e.has(t, "description.json", m.image.Ref) || !e.has(t, "journal", "snapshot") || !e.has(t, "run.json", "hides") {
		t.Error("it has no policy, no journal or no state")
	}
	if len(e.left) != 1 || !strings.Contains(e.stderr, "left out: "+e.left[0]) || strings.Count(e.stderr, "\n") != 1 ||
		!strings.HasPrefix(e.left[0], "its processes and their memory maps, mounts, files and sockets: ") {
		t.Fatalf("left out: %q; said: %s", e.left, e.stderr)
	}
	_, line, ok := strings.Cut(e.left[0], "type: sudo ")
	if m.runtime == "runsc" {
		if ok || !strings.Contains(e.left[0], "gVisor keeps them to itself") {
			t.Errorf("left out: %q", e.left)
		}
		return
	}
	if out, err := exec.Command("sh", "-c", line).CombinedOutput(); err != nil {
		t.Errorf("%s: %v, %s", line, err, out)
	}
	if !e.has(t, "files.tar", planted) || e.has(t, "files.tar", ofHost) {
		t.Errorf("%s: it has %t of the server and %t of the host", line, e.has(t, "files.tar", planted), e.has(t, "files.tar", ofHost))
	}
}
