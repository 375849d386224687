package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestInstalledOnce(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	o := newOwner(t, r)
	r.publish("dep", "1.0.0", nil)
	r.publishServer("@s/greeter", "1.0.0", map[string]any{"dependencies": map[string]string{"dep": "^1.0.0"}})
	line := []string{"run", "--", "npx", "-y", "@s/greeter", "a b", ""}

	if _, stderr, code := o.mcpbox("explain", "--", "npx", "-y", "@s/greeter"); code != exitNotFound || !strings.Contains(stderr, "type: mcpbox add greeter --from 'npx -y @s/greeter'") {
		t.Errorf("explain before: code %d, %s", code, stderr)
	}
	stdout, stderr := o.must(line...)
	if greeted(t, stdout) != "1.0.0" || !strings.Contains(stdout, `"args":["a b",""],"dep":"1.0.0"`) {
		t.Error(stdout)
	}
	if !strings.Contains(stderr, "greeter: installed @s/greeter@1.0.0 with 1 dependency") {
		t.Error(stderr)
	}
	if len(o.entries()) != 1 {
		t.Error(o.entries())
	}

	if stdout, _ := o.must("logs", "greeter"); !strings.Contains(stdout, "package npm:@s/greeter@1.0.0 sha256-") {
		t.Error(stdout)
	}

	// The tag moves, also that of the dependency; nothing is asked any more.
	r.publish("dep", "1.0.1", nil)
	r.publishServer("@s/greeter", "1.1.0", nil)
	r.asked()
	stdout, stderr = o.must(line...)
	if greeted(t, stdout) != "1.0.0" || stderr != "" {
		t.Error(stdout, stderr)
	}
	if asked := r.asked(); len(asked) > 0 {
		t.Errorf("a later run asks the registry: %q", asked)
	}

	// Another name is another server, and gets what is newest.
	stdout, _ = o.must("run", "--name", "other", "--", "npm", "exec", "-y", "--", "@s/greeter")
	if greeted(t, stdout) != "1.1.0" || len(o.entries()) != 2 {
		t.Error(stdout, o.entries())
	}

	// A cache may be emptied: the pin brings the same back.
	if err := os.RemoveAll(filepath.Join(o.home, "cache")); err != nil {
		t.Fatal(err)
	}
	stdout, _ = o.must(line...)
	if greeted(t, stdout) != "1.0.0" || !strings.Contains(stdout, `"dep":"1.0.0"`) {
		t.Error(stdout)
	}

	// A part of the store may be deleted, too.
	if err := os.RemoveAll(filepath.Join(o.home, "cache/mcpbox/packages/npm", o.entries()[0], "node_modules")); err != nil {
		t.Fatal(err)
	}
	if stdout, _ = o.must(line...); greeted(t, stdout) != "1.0.0" {
		t.Error(stdout)
	}
	if stdout, stderr = o.must(line...); greeted(t, stdout) != "1.0.0" || stderr != "" {
		t.Error(stdout, stderr)
	}

	// The registry goes. What is pinned and stored does not need it.
	r.server.Close()
	if stdout, stderr = o.must(line...); greeted(t, stdout) != "1.0.0" || stderr != "" {
		t.Error(stdout, stderr)
	}
	began := time.Now()
	if _, stderr, code := o.mcpbox("run", "--", "npx", "-y", "elsewhere"); code != exitFailure || !strings.Contains(stderr, "cannot install elsewhere") {
		t.Errorf("registry down: code %d, %s", code, stderr)
	}
	if took := time.Since(began); took > 60*time.Second {
		t.Errorf("a registry that is down is noticed after %s", took)
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	o := newOwner(t, r)
	r.publish("dep", "1.0.0", nil)
	r.publish("gone", "1.0.0", nil)
	r.publishServer("greeter", "1.0.0", map[string]any{"dependencies": map[string]string{"dep": "1", "gone": "1"}})
	line := []string{"run", "--", "npx", "-y", "greeter"}
	o.must(line...)
	if stdout, _ := o.must("update", "greeter"); !strings.Contains(stdout, "greeter@1.0.0 is what greeter still means") {
		t.Error(stdout)
	}
	r.publish("dep", "1.1.0", map[string]any{"scripts": map[string]string{"install": "true"}})
	r.publishServer("greeter", "2.0.0", map[string]any{"dependencies": map[string]string{"dep": "1", "extra": "1"}})
	r.publish("extra", "1.0.0", nil)

	stdout, stderr, code := o.mcpbox("update", "greeter")
	for _, want := range []string{
		"greeter: greeter 1.0.0 -> 2.0.0\n", "changed: dep 1.0.0 -> 1.1.0\n", "added:   extra 1.0.0\n", "removed: gone 1.0.0\n",
		"install script: dep, which had none before; not run\n", "signatures: unsigned", "tool changed: greet\n",
	} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	if code != 1 || !strings.Contains(stderr, "nothing was changed; to change it, type: mcpbox update greeter --yes") {
		t.Errorf("without a terminal: code %d, %s", code, stderr)
	}
	if stdout, _ := o.must(line...); greeted(t, stdout) != "1.0.0" {
		t.Errorf("changed without a yes: %s", stdout)
	}
	o.must("update", "greeter", "--yes")
	if stdout, _ := o.must(line...); greeted(t, stdout) != "2.0.0" {
		t.Error(stdout)
	}
	// The old one goes when asked to.
	if stdout, _ := o.must("packages", "--prune"); !strings.HasPrefix(stdout, "removed greeter@1.0.0, ") {
		t.Error(stdout)
	}
	if list := o.entries(); len(list) != 1 || !strings.HasPrefix(list[0], "greeter@2.0.0-") {
		t.Error(list)
	}
	if stdout, _ := o.must(line...); greeted(t, stdout) != "2.0.0" {
		t.Error(stdout)
	}
	if _, stderr, code := o.mcpbox("update", "nobody"); code != 1 || !strings.Contains(stderr, "mcpbox add nobody") {
		t.Errorf("code %d, %s", code, stderr)
	}
}

func TestAdd(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	o := newOwner(t, r)
	r.publishServer("greeter", "1.0.0", nil)
	if err := os.Mkdir(filepath.Join(o.home, "work"), 0o700); err != nil {
		t.Fatal(err)
	}
	stdout, _ := o.must("add", "hello", "--from", `npx -y greeter "~/work" 'a b'`)
	if !strings.Contains(stdout, `"args": ["run", "--name", "hello", "--", "npx", "-y", "greeter", "`+o.home+`/work", "a b"]`) {
		t.Error(stdout)
	}
	file := filepath.Join(o.home, "config/mcpbox/servers/hello.toml")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), `# write = ["`+o.home+`/work"]`) {
		t.Errorf("%s", text)
	}
	o.must("check", file)
	r.asked()
	if stdout, stderr := o.must("run", "--name", "hello", "--", "npx", "-y", "greeter"); greeted(t, stdout) != "1.0.0" || stderr != "" || len(r.asked()) > 0 {
		t.Errorf("not installed by add: %s%s", stdout, stderr)
	}
	stdout, _ = o.must("explain", "--name", "hello", "--", "npx", "-y", "greeter")
	if !strings.HasPrefix(stdout, "package      npm greeter@1.0.0, with what it depends on: sha256-") || !strings.Contains(stdout, "unsigned: the registry publishes no keys") {
		t.Error(stdout)
	}
	// What a person has written stays.
	o.write("config/mcpbox/servers/greeter.toml", "# mine\n")
	o.must("add", "greeter")
	if text, _ := os.ReadFile(filepath.Join(o.home, "config/mcpbox/servers/greeter.toml")); string(text) != "# mine\n" {
		t.Errorf("%s", text)
	}
	if _, stderr, code := o.mcpbox("add", "x", "--from", "node server.js"); code != 1 || !strings.Contains(stderr, "node installs nothing; to run it, type: mcpbox run -- node server.js") {
		t.Errorf("code %d, %s", code, stderr)
	}
}

// Who adds a server is told what it will miss: a directory that its command line
// names, and its policy does not.
func TestAddNamesDirectory(t *testing.T) {
	once(t)
	t.Parallel()
	r := newRegistry(t)
	o := newOwner(t, r)
	r.publishServer("greeter", "1.0.0", nil)
	o.write("project/file", "")
	dir := filepath.Join(o.home, "project")
	o.write("config/mcpbox/servers/declared.toml", "[files]\nwrite = ["+tomlString(dir)+"]\n")
	for name, told := range map[string]bool{"new": true, "declared": false} {
		stdout, stderr, code := o.mcpbox("add", name, "--from", "npx -y greeter "+dir+" /no/such/directory")
		want := "Its command line names " + dir + ", which is not in its box yet"
		if code != 0 || strings.Contains(stdout, want) != told || strings.Contains(stdout, "yet") != told {
			t.Errorf("%s: code %d, %s%s", name, code, stdout, stderr)
		}
	}
}
