package escape

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/integration/setup"
)

// stagedBox is a command that runs args in the usual box, with its writable
// directories staged.
func (w *world) stagedBox(args ...string) *exec.Cmd {
	return w.boxWith(append(w.declared(), "--staged"), args...)
}

// changed is what mcpbox changes tells of the world's servers.
type changed struct {
	ID, State string
	Changes   []struct{ Kind, Path, Refused string }
}

func (w *world) changed() (list []changed) {
	w.t.Helper()
	r := w.run(w.command(needPrograms(w.t).launcher, "changes", "--json", "probe"))
	if r.code != 0 {
		w.t.Fatalf("%+v", r)
	}
	w.must(json.Unmarshal([]byte(r.stdout), &list))
	return list
}

func (w *world) changes(args ...string) ran {
	w.t.Helper()
	return w.run(w.command(append([]string{needPrograms(w.t).launcher, "changes"}, args...)...))
}

// stagedRows are the attacks on files and mounts that a box stops.
func stagedRows() (ids []string) {
	for _, r := range rows() {
		for _, prefix := range []string{"W-1/", "W-4/", "W-5/", "W-6/", "W-9/", "M-", "F0", "F1"} {
			if strings.HasPrefix(r.id, prefix) && r.boxed != yes && r.but.root == "" {
				ids = append(ids, r.id)
				break
			}
		}
	}
	return ids
}

// TestStagedAttacks runs the attacks on files and mounts in a box with staged
// directories. None succeeds, and on the host nothing changes: neither then, nor,
// where it may not, when all that can be applied is. What the controls of
// TestAttacks can do bare, they can do here.
func TestStagedAttacks(t *testing.T) {
	ids := stagedRows()
	if len(ids) < 90 {
		t.Fatalf("only %d attacks", len(ids))
	}
	for _, root := range []bool{false, true} {
		t.Run(map[bool]string{false: "user", true: "root"}[root], func(t *testing.T) {
			if root && os.Getuid() != 0 {
				setup.Need(t, false, "root")
			}
			w := newWorld(t, root)
			w.arm()
			scenario := w.scenario(1)
			before := w.fingerprint()
			script := `probe=$1 scenario=$2; shift 2; for id; do "$probe" attack "$scenario" "$id" || echo; done; echo own >"$HOME/project/own.txt"`
			r := w.run(w.stagedBox(append([]string{"/bin/sh", "-c", script, "sh", w.probe(), scenario}, ids...)...))
			if r.code != 0 {
				t.Fatalf("%+v", r)
			}
			seen := 0
			for _, line := range lines(r.stdout) {
				var res Result
				w.must(json.Unmarshal([]byte(line), &res))
				seen++
				if res.Succeeded {
					t.Errorf("%s succeeded: %s", res.ID, res.Detail)
				}
			}
			if seen < len(ids)*9/10 {
				t.Errorf("only %d of %d attacks had a result: %s", seen, len(ids), r.stderr)
			}
			w.unchanged(before)
			if left, _ := os.ReadDir(w.In("out")); len(left) > 0 {
				t.Errorf("in the other writable directory: %v", left)
			}

			if r := w.changes("apply", "probe", "--partial"); !strings.Contains(r.stdout, "applied") {
				t.Errorf("%+v", r)
			}
			after := w.fingerprint()
			if after["project/own.txt"] == "" {
				t.Error("the control failed: what may be applied was not")
			}
			for _, diff := range changes(before, after) {
				if rel, ok := strings.CutPrefix(diff, "project/"); !ok || isProtected(rel) {
					t.Errorf("applied: %s", diff)
				}
			}
			if ids := w.setID(); len(ids) > 0 {
				t.Errorf("set-id files: %q", ids)
			}
			if info, err := os.Lstat(w.In("project/own.txt")); err != nil || owner(info) != w.uid {
				t.Errorf("what was applied does not belong to user %d: %v", w.uid, err)
			}
		})
	}
}

// isProtected reports whether a line of changes is about something that is never
// the server's, in the worlds of these tests.
func isProtected(line string) bool {
	for _, name := range append(slices.Clone(Protected), ".env", "private", "tracked-hooks", "outside") {
		if strings.HasPrefix(line, name+" ") || strings.HasPrefix(line, name+"/") || strings.Contains(line, "/"+name+" ") || strings.Contains(line, "/"+name+"/") {
			return true
		}
	}
	return false
}

func (w *world) unchanged(before map[string]string) {
	w.t.Helper()
	if diff := changes(before, w.fingerprint()); len(diff) > 0 {
		w.t.Errorf("on the host: %q", diff)
	}
}

// TestW2Strict creates protected names that were not there, as
// TestW2ProtectedCreated does, in a staged directory: the host does not get one,
// not even from a person who applies all that can be.
func TestW2Strict(t *testing.T) {
	w := newWorld(t, false)
	w.must(os.Mkdir(w.In("fresh"), 0o755))
	w.own()
	script := `cd "$1" && shift && for f; do mkdir -p "$(dirname "$f")" && echo evil > "$f" || exit 1; done; echo fine > fine`
	args := append([]string{"/bin/sh", "-c", script, "sh", w.In("fresh")}, Protected...)
	if r := w.run(w.boxWith([]string{"--staged", "--rw", w.In("fresh")}, args...)); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if left, _ := os.ReadDir(w.In("fresh")); len(left) > 0 {
		t.Errorf("created: %v", left)
	}
	refused := map[string]bool{}
	for _, c := range w.changed()[0].Changes {
		refused[c.Path] = c.Refused != ""
	}
	for _, name := range Protected {
		if is, ok := refused[w.In("fresh/"+name)]; !is {
			t.Errorf("%s is not refused (recorded: %v)", name, ok)
		}
	}
	if r := w.changes("apply", "probe", "--partial"); !strings.Contains(r.stdout, "applied") {
		t.Errorf("%+v", r)
	}
	for _, name := range Protected {
		if _, err := os.Lstat(w.In("fresh/" + name)); err == nil {
			t.Errorf("%s was applied", name)
		}
	}
	if w.read(w.In("fresh/fine")) != "fine\n" {
		t.Error("the control failed")
	}
}

// TestM13Staged writes into a file that has another name outside, like
// TestM13HardLinks: the other name keeps what it had, before and after.
func TestM13Staged(t *testing.T) {
	w := newWorld(t, false)
	w.must(os.Link(w.In("other/secret.txt"), w.In("project/shared.txt")))
	if r := w.run(w.stagedBox("/bin/sh", "-c", "echo more >> shared.txt; cat shared.txt")); r.code != 0 || !strings.Contains(r.stdout, "more") {
		t.Fatalf("%+v", r)
	}
	if strings.Contains(w.read(w.In("other/secret.txt"))+w.read(w.In("project/shared.txt")), "more") {
		t.Error("the host's file was written")
	}
	if r := w.changes("apply", "probe"); r.code != 0 {
		t.Errorf("%+v", r)
	}
	if !strings.Contains(w.read(w.In("project/shared.txt")), "more") || strings.Contains(w.read(w.In("other/secret.txt")), "more") {
		t.Error("applied to the other name, or not at all")
	}
}

// TestM14Staged leaves links for programs of the host to follow, like
// TestM14Symlinks: those that leave the project are not applied.
func TestM14Staged(t *testing.T) {
	w := newWorld(t, false)
	script := `ln -s "$HOME/.ssh/id_ed25519" readme.md; ln -s ../other/secret.txt up.md; ln -s main.go fine.go`
	if r := w.run(w.stagedBox("/bin/sh", "-c", script)); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if r := w.changes("apply", "probe"); r.code == 0 || strings.Count(r.stderr, "refused: ") != 2 {
		t.Errorf("%+v", r)
	}
	_ = w.changes("apply", "probe", "--partial")
	if target, err := os.Readlink(w.In("project/fine.go")); err != nil || target != "main.go" {
		t.Errorf("the control failed: %q, %v", target, err)
	}
	for _, name := range []string{"readme.md", "up.md"} {
		if _, err := os.Lstat(w.In("project/" + name)); err == nil {
			t.Errorf("%s was applied", name)
		}
	}
}

// TestStagedCovers has a program of the host exchange a hidden and a protected
// file while the box runs. In a staged directory the box's covers stay where they
// are; covers.txtar is the control.
func TestStagedCovers(t *testing.T) {
	w := newWorld(t, false)
	script := `echo up; while ! test -e "$HOME/docs/late/go"; do sleep 0.02; done
		cat .env; (echo evil >>CLAUDE.md) 2>/dev/null && echo written; (echo evil >>.git/config) 2>/dev/null && echo written; echo end`
	cmd := w.stagedBox("/bin/sh", "-c", script)
	out := filepath.Join(w.Scratch, "out")
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	w.must(err)
	defer f.Close()
	cmd.Stdout = f
	in, err := cmd.StdinPipe()
	w.must(err)
	w.must(cmd.Start())
	if !w.await(out, make(chan error, 1)) {
		return
	}
	for range 1000 {
		if strings.Contains(w.read(out), "up") {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	for name, content := range map[string]string{"project/.env": "PASSWORD=new", "project/CLAUDE.md": "mine\n", "project/.git/config": "[core]\n"} {
		w.write(name+".late", content, 0o644)
		w.must(os.Rename(w.In(name+".late"), w.In(name)))
	}
	w.write("docs/late/go", "", 0o644)
	for range 1000 {
		if strings.Contains(w.read(out), "end") {
			break
		}
		time.Sleep(5 * time.Millisecond)
	}
	_ = in.Close()
	err = cmd.Wait()
	if got := w.read(out); got != "up\nend\n" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	if w.read(w.In("project/CLAUDE.md")) != "mine\n" {
		t.Error("the host's own change is gone")
	}
}

// TestStagedKill kills the launcher at any moment of a staged run, and of the
// keeping of what it has changed. The project is as it was; what is half kept goes
// with the next run.
func TestStagedKill(t *testing.T) {
	w := newWorld(t, false)
	before := w.belongings()
	script := `head -c 20000000 /dev/zero >big; echo x >main.go; rm -r a; echo up`
	for n := range 40 {
		cmd := w.stagedBox("/bin/sh", "-c", script)
		w.must(cmd.Start())
		time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		w.gone(before)
		if left, _ := filepath.Glob(w.In(".local/state/mcpbox/changes/*")); len(left) > 0 && n%4 == 3 {
			_ = w.changes("discard", "probe")
		}
	}
	w.tidied()
	if diff := changes(before.files, w.belongings().files); len(diff) > 0 {
		t.Errorf("left or changed: %q", diff)
	}
	if r := w.run(w.stagedBox("/bin/sh", "-c", "echo x >main.go")); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if left, _ := filepath.Glob(w.In(".local/state/mcpbox/changes/.*")); len(left) > 0 {
		t.Errorf("half kept: %q", left)
	}
	for _, c := range w.changed() {
		if r := w.run(w.command(needPrograms(t).launcher, "changes", c.ID)); r.code != 0 {
			t.Errorf("%s cannot be read: %+v", c.ID, r)
		}
	}
}

// TestStagedFlood makes many files, and removes a large directory. All of it is
// told, applied, and taken back.
func TestStagedFlood(t *testing.T) {
	w := newWorld(t, false)
	for i := range 500 {
		w.write(fmt.Sprintf("project/many/%d", i), "x", 0o644)
	}
	w.own()
	before := w.fingerprint()
	script := `rm -r many; i=0; while [ $i -lt 100 ]; do mkdir -p f/$i; j=0; while [ $j -lt 30 ]; do echo x >f/$i/$j; j=$((j+1)); done; i=$((i+1)); done; exit 0`
	r := w.run(w.stagedBox("/bin/sh", "-c", script))
	if r.code != 0 || !strings.Contains(r.stderr, "3101 added, 0 modified, 501 removed") {
		t.Errorf("%+v", r)
	}
	if r := w.changes("apply", "probe"); r.code != 0 {
		t.Errorf("%+v", r)
	}
	if _, err := os.Lstat(w.In("project/many")); err == nil {
		t.Error("it is still there")
	}
	if r := w.changes("undo", "probe"); r.code != 0 {
		t.Errorf("%+v", r)
	}
	after := w.fingerprint()
	for _, m := range []map[string]string{before, after} {
		for name := range m {
			if strings.HasPrefix(name, "project/many/") {
				m[name] = "" // with another time of change
			}
		}
	}
	if diff := changes(before, after); len(diff) > 0 {
		t.Errorf("not taken back: %q", diff)
	}
}
