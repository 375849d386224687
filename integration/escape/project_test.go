package escape

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// campaign runs the attacks whose id starts so, in a box, and reports those
// that did something. The situation looks at the host.
func campaign(t *testing.T, prefix string, atLeast int) {
	t.Helper()
	var ids []string
	for _, r := range rows() {
		if strings.HasPrefix(r.id, prefix) {
			ids = append(ids, r.id)
		}
	}
	if len(ids) < atLeast {
		t.Fatalf("only %d attacks %s", len(ids), prefix)
	}
	for id, r := range situations[0].play(t, ids...) {
		if r.Succeeded {
			t.Errorf("%s succeeded: %s", id, r.Detail)
		}
	}
}

// TestW1Ancestors plants a hook in a git repository, in more than fifteen ways:
// by writing, creating, deleting, changing modes, renaming, exchanging and
// linking the hooks, the configuration, and what they lie in.
func TestW1Ancestors(t *testing.T) { campaign(t, "W-1/", 15) }

// TestW9ReadOnly changes what is declared read-only, in every way that is not
// simply a write.
func TestW9ReadOnly(t *testing.T) { campaign(t, "W-9/", 20) }

// TestW5ProtectedNames appends to each protected name in a project. Without a
// box every one can be written.
func TestW5ProtectedNames(t *testing.T) {
	w := newWorld(t, false)
	script := `for f; do if (echo pwned >> "$f") 2>/dev/null; then echo "$f"; fi; done`
	args := append([]string{"/bin/sh", "-c", script, "sh"}, Protected...)
	before := w.fingerprint()
	if r := w.run(w.box(args...)); r != (ran{}) {
		t.Errorf("written in the box: %+v", r)
	}
	if diff := changes(before, w.fingerprint()); len(diff) > 0 {
		t.Errorf("changed on the host: %q", diff)
	}
	if r := w.run(w.command(args...)); len(lines(r.stdout)) != len(Protected) {
		t.Errorf("the control wrote only %q", r.stdout)
	}
}

// TestW5HooksPath has git's configuration, which is protected, name a directory
// of hooks and another file of configuration in the project. Both are run, or
// obeyed, on the host, and so are protected as well.
func TestW5HooksPath(t *testing.T) {
	configured := func() *world {
		w := newWorld(t, false)
		w.write("project/.git/config", "[core]\n\thooksPath = .githooks\n[include]\n\tpath = ../team.gitconfig\n", 0o644)
		w.write("project/.githooks/pre-commit", "#!/bin/sh\n", 0o755)
		w.write("project/team.gitconfig", "[alias]\n", 0o644)
		w.own()
		return w
	}
	script := `for f in .githooks/pre-commit .githooks/post-commit team.gitconfig; do (echo evil >> $f) 2>/dev/null && echo $f; done
		mv .githooks aside 2>/dev/null && echo moved; exit 0`
	w := configured()
	if r := w.run(w.box("/bin/sh", "-c", script)); r != (ran{}) {
		t.Errorf("written: %+v", r)
	}
	w = configured()
	if r := w.run(w.command("/bin/sh", "-c", script)); len(lines(r.stdout)) != 4 {
		t.Errorf("the control did only %q", r.stdout)
	}
}

// TestW2ProtectedCreated creates protected names that were not there. They
// cannot be mounted over; the journal names each.
func TestW2ProtectedCreated(t *testing.T) {
	w := newWorld(t, false)
	w.must(os.Mkdir(w.In("fresh"), 0o755))
	w.own()
	script := `cd "$1" && shift && for f; do mkdir -p "$(dirname "$f")" && echo evil > "$f" || exit 1; done`
	args := append([]string{"/bin/sh", "-c", script, "sh", w.In("fresh")}, Protected...)
	if r := w.run(w.boxWith(append(w.declared(), "--rw", w.In("fresh")), args...)); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	for _, name := range Protected {
		if w.read(w.In("fresh/"+name)) != "evil\n" {
			t.Errorf("the control failed: %s is not there", name)
		}
		found := false
		for path := w.In("fresh/" + name); path != w.In("fresh") && !found; path = filepath.Dir(path) {
			found = w.recorded("protected_created", path)
		}
		if !found {
			t.Errorf("the journal does not have %s", name)
		}
	}
	if t.Failed() {
		t.Logf("%+v", w.journal())
	}
}

// TestW6LaterRepository makes a repository six directories down, with a hook.
// The journal has it.
func TestW6LaterRepository(t *testing.T) {
	w := newWorld(t, false)
	script := `mkdir -p 1/2/3/4/5/6/.git/hooks && cd 1/2/3/4/5/6/.git && echo ref: refs/heads/main > HEAD && echo evil > hooks/pre-commit`
	if r := w.run(w.box("/bin/sh", "-c", script)); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if !w.recorded("protected_created", w.In("project/1/2/3/4/5/6/.git/hooks")) {
		t.Errorf("the journal does not have it: %+v", w.journal())
	}
	campaign(t, "W-6/", 2)
}

// TestM13HardLinks writes into a file that has another name outside. That
// passes, and the journal says so.
func TestM13HardLinks(t *testing.T) {
	w := newWorld(t, false)
	w.must(os.Link(w.In("other/secret.txt"), w.In("project/shared.txt")))
	if r := w.run(w.box("/bin/sh", "-c", "echo more >> shared.txt")); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if !strings.Contains(w.read(w.In("other/secret.txt")), "more") {
		t.Error("the control failed: the other name shows nothing")
	}
	if !w.recorded("hardlink_exposed", w.In("project/shared.txt")) {
		t.Errorf("the journal does not have it: %+v", w.journal())
	}
}

// TestM14Symlinks leaves links for programs of the host to follow. In the box
// they lead nowhere; the journal has those that leave the project, and no other.
func TestM14Symlinks(t *testing.T) {
	w := newWorld(t, false)
	script := `ln -s "$HOME/.ssh/id_ed25519" readme.md; ln -s ../other/secret.txt up.md; ln -s main.go fine.go
		cat readme.md up.md 2>/dev/null && echo stolen; exit 0`
	if r := w.run(w.box("/bin/sh", "-c", script)); r.code != 0 || strings.Contains(r.stdout, "stolen") {
		t.Fatalf("%+v", r)
	}
	if w.read(w.In("project/readme.md")) != "private key" {
		t.Error("the control failed: the link does not lead to the key on the host")
	}
	for _, name := range []string{"readme.md", "up.md"} {
		if !w.recorded("symlink_leaves_tree", w.In("project/"+name)) {
			t.Errorf("the journal does not have %s: %+v", name, w.journal())
		}
	}
	if w.recorded("symlink_leaves_tree", w.In("project/fine.go")) {
		t.Error("the journal has a link that stays inside")
	}
}

// TestW8Servers runs two servers one after the other, and one beside the other.
// What one keeps in its home, in /tmp and in memory the other does not see.
func TestW8Servers(t *testing.T) {
	w := newWorld(t, false)
	write := `echo one > ~/state; echo one > /tmp/state; echo one > /dev/shm/state; echo up; cat >/dev/null`
	look := `ls ~/state /tmp/state /dev/shm/state 2>/dev/null; for p in /proc/[0-9]*; do tr '\0' ' ' < $p/cmdline; done | grep -c 'echo one'; exit 0`
	var beside ran
	w.held(w.boxWith(append(w.declared(), "--name", "first"), "/bin/sh", "-c", write), func(string) {
		beside = w.run(w.boxWith(append(w.declared(), "--name", "second"), "/bin/sh", "-c", look))
	})
	after := w.run(w.boxWith(append(w.declared(), "--name", "first"), "/bin/sh", "-c", look))
	for _, r := range []ran{beside, after} {
		// The shell that looks has the words it looks for in its own arguments.
		if r.code != 0 || strings.Contains(r.stdout, "state") || strings.TrimSpace(r.stdout) != "1" {
			t.Errorf("saw %+v", r)
		}
	}
}

// TestU4FIFOs leaves FIFOs of the host in declared directories. One in a
// writable directory works, and explain says so.
func TestU4FIFOs(t *testing.T) {
	w := newWorld(t, false)
	w.must(unix.Mkfifo(w.In("project/host.fifo"), 0o600))
	w.must(unix.Mkfifo(w.In("docs/host.fifo"), 0o600))
	w.own()
	explain := []string{needPrograms(t).launcher, "explain", "--name", "probe"}
	r := w.run(w.command(append(append(explain, w.declared()...), "--", "/bin/true")...))
	for _, name := range []string{"project/host.fifo", "docs/host.fifo"} {
		if r.code != 0 || !strings.Contains(r.stdout, name) {
			t.Errorf("no word of %s: %+v", name, r)
		}
	}
}
