package escape

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/integration/setup"
)

// TestM5PlantedLinks runs a server twice. What the first run leaves in its
// project, where everything is its choice, opens nothing to the second.
func TestM5PlantedLinks(t *testing.T) {
	needNode(t)
	w := newWorld(t, false)
	const read = "cd && cat other/secret.txt work/secret.txt .ssh/id_ed25519 .config/gcloud/credentials.db .netrc 2>/dev/null; exit 0"
	w.write("other/package.json", "{}", 0o644)
	w.write("work/tool", "#!/bin/sh\n"+read, 0o755)
	w.write("work/secret.txt", "work secret", 0o644)
	w.write("project/run.sh", "#!/bin/sh\n"+read, 0o755)
	w.write("project/server.js", `console.log(require("child_process").execSync("`+read+`").toString())`, 0o644)
	stolen := func(cmd *exec.Cmd) (list []string) {
		r := w.run(cmd)
		for _, secret := range []string{"other project", "work secret", "private key", "gcloud token", "netrc password"} {
			if strings.Contains(r.stdout, secret) {
				list = append(list, secret)
			}
		}
		return list
	}
	leave := func(script string) {
		t.Helper()
		if r := w.run(w.box("/bin/sh", "-c", script)); r.code != 0 {
			t.Fatalf("%+v", r)
		}
	}
	start := func(what string, line ...string) {
		t.Helper()
		if list := stolen(w.box(line...)); len(list) > 0 {
			t.Errorf("by way of %s it read %q", what, list)
		}
	}
	server := w.In("project/server.js")
	if list := stolen(w.command("node", server)); len(list) != 5 {
		t.Fatalf("the control read only %q", list)
	}
	start("nothing", "node", server)

	// Packages that are links, as "npm link" makes them.
	leave(`mkdir -p node_modules/@scope && for d in other work .ssh .config/gcloud .config; do
		ln -s "$HOME/$d" "node_modules/$(basename $d)"; ln -s "$HOME/$d" "node_modules/@scope/$(basename $d)"; done`)
	start("linked packages", "node", server)

	// An interpreter, and a virtual environment, of the box's choice.
	leave(`rm -r node_modules; printf '#!%s\n' "$HOME/work/tool" > run.sh`)
	start("an interpreter", w.In("project/run.sh"))
	leave(`mkdir -p venv/bin && ln -s "$HOME/work/tool" venv/bin/python3 && printf 'home = %s\n' "$HOME/work" > venv/pyvenv.cfg`)
	start("a virtual environment", w.In("project/venv/bin/python3"))
	leave(`printf '#!/usr/bin/env -S %s\n' "$HOME/work/tool" > run.sh`)
	start("an interpreter named to env", w.In("project/run.sh"))
}

// needNode ends the test where there is no Node outside of homes.
func needNode(t *testing.T) {
	t.Helper()
	for _, path := range []string{"/usr/bin/node", "/usr/local/bin/node"} {
		if _, err := os.Stat(path); err == nil {
			return
		}
	}
	setup.Need(t, false, "node in /usr/bin")
}

// TestM5NestedDeclarations moves directories above a nested declaration and a
// hidden file aside, to have something else there at the next start.
func TestM5NestedDeclarations(t *testing.T) {
	w := newWorld(t, false)
	w.write("project/deep/docs/readme", "docs", 0o644)
	w.write("project/low/.env", "hidden secret", 0o644)
	w.write(".config/mcpbox/servers/probe.toml", `[files]
write = ["~/project"]
read = ["~/project/deep/docs"]
hide = ["~/project/low/.env"]
`, 0o600)
	script := `mv deep deep2 && mkdir deep && ln -s "$HOME/.ssh" deep/docs; mv low low2 && mkdir low && echo fake > low/.env; cat low2/.env low/.env 2>/dev/null; exit 0`
	for _, cmd := range []string{script, `cat "$HOME/.ssh/id_ed25519" low2/.env low/.env 2>/dev/null; exit 0`} {
		if r := w.run(w.boxWith(nil, "/bin/sh", "-c", "cd ~/project;"+cmd)); r.code != 0 || r.stdout != "" {
			t.Errorf("%+v", r)
		}
	}
	if w.read(w.In("project/low/.env")) != "hidden secret" {
		t.Error("the hidden file was moved")
	}
	// The control: without a box they can be moved.
	if r := w.run(w.command("/bin/sh", "-c", script)); !strings.Contains(r.stdout, "hidden secret") {
		t.Errorf("the control failed: %+v", r)
	}
}

// TestW6Flood fills the project with so many files that nobody wants to look
// through them, for the protected names to be missed at the next start. Either
// they are protected all the same, or nothing starts.
func TestW6Flood(t *testing.T) {
	w := newWorld(t, false)
	flood := `i=0; while [ $i -lt 51000 ]; do : > "!$i"; i=$((i+1)); done`
	if r := w.run(w.box("/bin/sh", "-c", flood)); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	names := append([]string{".git/hooks/pre-commit", "a/b/c/d/e/f/.git/hooks/pre-commit"}, Protected...)
	script := `for f; do (echo pwned >> "$f") 2>/dev/null && echo "$f"; done; exit 0`
	r := w.run(w.box(append([]string{"/bin/sh", "-c", script, "sh"}, names...)...))
	if r.stdout != "" || r.code != 0 && r.code != 125 {
		t.Errorf("written: %+v", r)
	}
	t.Logf("exit %d: %s", r.code, r.stderr)
}
