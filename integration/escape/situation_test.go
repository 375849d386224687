package escape

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/integration/setup"
)

// situation is a column of the table.
type situation struct {
	name string
	bare bool
	root bool   // the launcher, or the bare probe, runs as root
	off  string // layers that the box lacks
}

var (
	bare       = situation{name: "bare", bare: true}
	situations = []situation{
		{name: "boxed"},
		{name: "root", root: true},
		{name: "seccomp off", off: "seccomp"},
		{name: "landlock off", off: "landlock"},
		{name: "userns2 off", off: "userns2"},
		{name: "all three off", off: "seccomp,landlock,userns2"},
	}
)

// play makes a world, runs attacks in it, and looks at what they left behind.
func (s situation) play(t *testing.T, ids ...string) map[string]Result {
	if s.root && os.Getuid() != 0 {
		setup.Need(t, false, "root")
	}
	w := newWorld(t, s.root)
	w.arm()
	w.listen()
	w.share()
	w.neighbour()
	before := w.fingerprint()

	line := []string{w.In("tools/probe"), "attacks", w.In("tools/scenario.json"), w.In("out/results")}
	var env []string
	w.Target = 1
	switch {
	case s.bare:
		w.Target = w.Victim
	case s.off == "":
		line = w.boxed(needPrograms(t).launcher, line...)
	default:
		lacking, err := buildLacking()
		w.must(err)
		line = w.boxed(lacking, line...)
		env = []string{"MCPBOX_LAYER_OFF=" + s.off}
	}
	results, err := w.attack(line, env, ids...)
	if err != nil {
		t.Errorf("run: %v", err)
	}
	damage, heard := changes(before, w.fingerprint()), w.log.all()
	if s.bare {
		// The control of what follows: without a box there is something to see.
		if len(ids) == 0 && (len(damage) < 20 || len(heard) < 20) {
			t.Errorf("bare attacks left too little behind: %q, %q", damage, heard)
		}
		return results
	}
	s.inspect(w, damage, heard)
	return results
}

// inspect looks for traces of the box on the host.
func (s situation) inspect(w *world, damage, heard []string) {
	t := w.t
	for _, d := range damage {
		t.Errorf("on the host: %s", d)
	}
	for _, h := range heard {
		// FIFOs in writable directories are allowed, and audited.
		if !s.audible(h) {
			t.Errorf("on the host: heard on %s", h)
		}
	}
	if !strings.Contains(s.off, "seccomp") {
		for _, path := range w.setID() {
			t.Errorf("on the host: set-id file %s", path)
		}
	}
	f := w.facts(w.In("out/facts"))
	if left := residents(t, f.Namespaces["pid"]); len(left) > 0 {
		t.Errorf("on the host: processes of the box are left: %v", left)
	}
	for _, r := range w.seen {
		for uid := range strings.FieldsSeq(r.uids) {
			if n, err := strconv.Atoi(uid); err != nil || n == 0 || !s.root && n != w.uid {
				t.Errorf("on the host: process %d of the box ran as %s", r.pid, r.uids)
			}
		}
	}
	if len(w.seen) < 2 {
		t.Errorf("on the host: saw only %v of the box", w.seen)
	}
	if info, err := os.Lstat(w.In("out/results")); err != nil || owner(info) != w.uid {
		t.Errorf("what the box wrote does not belong to user %d: %v", w.uid, err)
	}
	if err := os.WriteFile(w.In("out/after"), nil, 0o644); err != nil {
		t.Errorf("the host cannot write any more: %v", err)
	}
}

// audible reports whether the host may hear this in a situation: words into a
// FIFO of a writable directory, and whatever the missing filter kept quiet.
func (s situation) audible(word string) bool {
	switch {
	case strings.HasPrefix(word, "fifo ") && strings.Contains(word, "/project/"):
		return true
	case strings.Contains(s.off, "seccomp"):
		return strings.HasPrefix(word, "unix") && !strings.Contains(word, "@")
	default:
		return false
	}
}
