package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/packages"
)

func TestInstallChangedTarball(t *testing.T) {
	once(t)
	t.Parallel()
	r := newRegistry(t)
	o := newOwner(t, r)
	evil := r.publish("greeter", "1.0.0", map[string]any{"bin": "server.js"}, file{name: "package/server.js", content: "#!/usr/bin/env node\nconsole.log(JSON.stringify({ jsonrpc: '2.0', method: 'evil' }))\n"})
	rel := r.publishServer("greeter", "1.0.0", nil)
	line := []string{"run", "--", "npx", "-y", "greeter"}
	o.must(line...)
	for _, c := range []struct {
		name   string
		change func()
	}{
		{"the tarball", func() { rel.tarball = evil.tarball }},
		{"its hash, too", func() { rel.integrity = evil.integrity }},
	} {
		r.change(c.change)
		if err := os.RemoveAll(filepath.Join(o.home, "cache")); err != nil {
			t.Fatal(err)
		}
		stdout, stderr, code := o.mcpbox(line...)
		if code != exitFailure || strings.Contains(stdout+stderr, "evil") || !strings.Contains(stderr, "EINTEGRITY") {
			t.Errorf("%s: code %d\n%s%s", c.name, code, stdout, stderr)
		}
		if list := o.entries(); len(list) != 0 {
			t.Errorf("%s: %v", c.name, list)
		}
	}
	// Without a pin there is nothing to compare it with: this is the control.
	if stdout, _, _ := o.mcpbox("run", "--raw", "--name", "new", "--", "npx", "-y", "greeter"); !strings.Contains(stdout, "evil") {
		t.Error("the changed package cannot be installed at all")
	}
}

func TestInstallScopeAndToken(t *testing.T) {
	once(t)
	t.Parallel()
	public, private := newRegistry(t), newRegistry(t)
	private.change(func() { private.token = "npm_secretsecretsecret" })
	o := newOwner(t, public)
	host := strings.TrimPrefix(private.server.URL, "http:")
	o.env = append(o.env, "CORP_TOKEN="+private.token)
	o.write(".npmrc", "registry="+public.url()+"\n@corp:registry="+private.url()+"\n"+host+"/:_authToken=${CORP_TOKEN}\n//elsewhere.example/:_authToken=other-secret-token\nignore-scripts=false\nscript-shell=/bin/false\n")
	public.publishServer("@corp/greeter", "99.0.0", nil)
	private.publishServer("@corp/greeter", "1.0.0", map[string]any{"dependencies": map[string]string{"dep": "1"}})
	public.publish("dep", "1.0.0", nil)

	stdout, _ := o.must("run", "--", "npx", "-y", "@corp/greeter")
	if greeted(t, stdout) != "1.0.0" {
		t.Errorf("from the wrong registry: %s", stdout)
	}
	for _, line := range public.asked() {
		if strings.Contains(line, "corp") || strings.Contains(line, "Bearer") {
			t.Errorf("the public registry was asked: %s", line)
		}
	}
	if n := tarballs(private.asked()); n != 1 {
		t.Errorf("%d tarballs from the private registry", n)
	}
	// Nothing that is kept has the token.
	for _, dir := range []string{"cache", "state", "config", "run"} {
		filepath.WalkDir(filepath.Join(o.home, dir), func(path string, d fs.DirEntry, err error) error {
			if data, err := os.ReadFile(path); err == nil && (bytes.Contains(data, []byte(private.token)) || bytes.Contains(data, []byte("other-secret"))) {
				t.Errorf("%s has the token", path)
			}
			return nil
		})
	}
	// A wrong one is refused, and not shown.
	o.env = append(o.env, "CORP_TOKEN=npm_wrongwrongwrong")
	_, stderr, code := o.mcpbox("run", "--name", "x", "--", "npx", "-y", "@corp/greeter")
	if code != exitFailure || strings.Contains(stderr, "wrongwrong") || !strings.Contains(stderr, "E401") {
		t.Errorf("code %d, %s", code, stderr)
	}
}

func TestInstallScripts(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	var mu sync.Mutex
	called := 0
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			called++
			mu.Unlock()
			c.Close()
		}
	}()
	calls := func() int {
		mu.Lock()
		defer mu.Unlock()
		defer func() { called = 0 }()
		return called
	}
	r := newRegistry(t)
	o := newOwner(t, r)
	o.write(".ssh/id_ed25519", "PRIVATE KEY")
	r.publish("native", "1.0.0", map[string]any{"scripts": map[string]string{"install": "node steal.js"}}, file{name: "package/steal.js", content: `
const fs = require('fs'), net = require('net')
let key = 'none'
try { key = fs.readFileSync('` + o.home + `/.ssh/id_ed25519', 'utf8') } catch {}
const done = (net) => { fs.writeFileSync('built.json', JSON.stringify({ key, net, env: process.env })); process.exit() }
try { fs.writeFileSync('` + o.home + `/dropped', 'x') } catch {}
net.connect({ host: '127.0.0.1', port: ` + l.Addr().String()[len("127.0.0.1:"):] + ` }, () => done('connected')).on('error', e => done(e.code))
`})
	r.publishServer("greeter", "1.0.0", map[string]any{"dependencies": map[string]string{"native": "1"}})
	built := func(dir string) string {
		found, _ := filepath.Glob(filepath.Join(dir, "node_modules/native/built.json"))
		if len(found) != 1 {
			return ""
		}
		data, _ := os.ReadFile(found[0])
		return string(data)
	}

	// Control: npm alone runs it, and it gets everything.
	plain := filepath.Join(o.home, "plain")
	o.write("plain/package.json", `{"allowScripts": {"native": true}}`) // which newer versions of npm want
	npm := exec.Command("npm", "install", "greeter")
	npm.Dir, npm.Env = plain, o.env
	if out, err := npm.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if s := built(plain); !strings.Contains(s, "PRIVATE KEY") || calls() != 1 {
		t.Fatalf("the script does not steal outside of a box: %s", s)
	}
	if err := os.Remove(filepath.Join(o.home, "dropped")); err != nil {
		t.Fatal(err)
	}

	// By default it is not run, and named.
	_, stderr := o.must("run", "--", "npx", "-y", "greeter")
	policyFile := filepath.Join(o.home, "config/mcpbox/servers/greeter.toml")
	if want := `native: install scripts were not run; if the server does not work without, write [packages] scripts = ["native"] into ` + policyFile; !strings.Contains(stderr, want) {
		t.Errorf("%s\nwant %s", stderr, want)
	}
	store := filepath.Join(o.home, "cache/mcpbox/packages/npm")
	if s := built(filepath.Join(store, o.entries()[0])); s != "" || calls() != 0 {
		t.Errorf("the script was run: %s", s)
	}

	// Allowed, it runs in the box.
	o.write("config/mcpbox/servers/allowed.toml", "[packages]\nscripts = [\"native\"]\n")
	o.must("run", "--name", "allowed", "--", "npx", "-y", "greeter")
	var s string
	for _, e := range o.entries() {
		s += built(filepath.Join(store, e))
	}
	if !strings.Contains(s, `"key":"none"`) || strings.Contains(s, `"net":"connected"`) || calls() != 0 {
		t.Errorf("the script got out: %s", s)
	}
	if s == "" || len(o.entries()) != 2 {
		t.Errorf("the script was not run: %v", o.entries())
	}
	if _, err := os.Lstat(filepath.Join(o.home, "dropped")); err == nil {
		t.Error("the script wrote into the home directory")
	}
}

func TestInstallTarballs(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	o := newOwner(t, r)
	outside := filepath.Join(o.home, "outside")
	if err := os.Mkdir(outside, 0o777); err != nil {
		t.Fatal(err)
	}
	evil := []file{
		{name: "package/../../../../../../../../../../.." + outside + "/up", content: "x"},
		{name: outside + "/absolute", content: "x"},
		{name: "package/link", link: outside, kind: tar.TypeSymlink},
		{name: "package/link/through", content: "x"},
		{name: "package/passwd", link: "/etc/passwd", kind: tar.TypeSymlink},
		{name: "package/hard", link: "/etc/passwd", kind: tar.TypeLink},
		{name: "package/fifo", kind: tar.TypeFifo},
	}
	// Control: that is what a program makes of it that believes every entry.
	var stdin = tarball(evil...)
	control := exec.Command("tar", "-xzPf", "-", "--exclude=package/hard")
	control.Stdin, control.Dir = bytes.NewReader(stdin), t.TempDir()
	control.Run()
	for _, name := range []string{"absolute", "through"} {
		if err := os.Remove(filepath.Join(outside, name)); err != nil {
			t.Errorf("the tarball does not get out of a directory: %v", err)
		}
	}
	os.Remove(filepath.Join(outside, "up"))

	deps := map[string]string{}
	for i, f := range evil {
		name := fmt.Sprintf("evil-%d", i)
		deps[name] = "1"
		r.publish(name, "1.0.0", nil, f, file{name: "package/set-uid", mode: 0o4755, content: "x"})
	}
	r.publish("evil-link", "1.0.0", nil, evil[2], evil[3])
	deps["evil-link"] = "1"
	r.publishServer("greeter", "1.0.0", map[string]any{"dependencies": deps})
	stdout, stderr := o.must("run", "--", "npx", "-y", "greeter")
	if greeted(t, stdout) != "1.0.0" {
		t.Error(stdout, stderr)
	}
	if list, _ := os.ReadDir(outside); len(list) > 0 {
		t.Errorf("files outside of the store: %v", list)
	}
	for _, e := range o.entries() {
		root := filepath.Join(o.home, "cache/mcpbox/packages/npm", e)
		filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if d.Type()&fs.ModeSymlink != 0 && !strings.Contains(path, "/.bin/") || d.Type()&(fs.ModeNamedPipe|fs.ModeDevice) != 0 {
				t.Errorf("%s is in the store", path)
			}
			if info, err := d.Info(); err == nil && info.Mode()&fs.ModeSetuid != 0 {
				t.Errorf("%s is set-uid", path)
			}
			return nil
		})
	}
}

func TestInstallSignatures(t *testing.T) {
	once(t)
	t.Parallel()
	r := newRegistry(t)
	r.newKey()
	o := newOwner(t, r)
	r.publish("dep", "1.0.0", nil)
	r.publishServer("signed", "1.0.0", map[string]any{"dependencies": map[string]string{"dep": "1"}})
	forged, unsigned := r.publishServer("forged", "1.0.0", nil), r.publishServer("unsigned", "1.0.0", nil)
	r.change(func() { forged.signature, unsigned.signature = sign(r.key, "forged@1.0.0:sha512-other"), "" })
	state := func(name string) string {
		stdout, _ := o.must("packages", "--json")
		var list []struct {
			Name       string
			Signatures packages.Signatures
		}
		if err := json.Unmarshal([]byte(stdout), &list); err != nil {
			t.Fatal(err)
		}
		for _, e := range list {
			if e.Name == name {
				return e.Signatures.State
			}
		}
		return "not there"
	}
	o.must("run", "--", "npx", "-y", "signed")
	if s := state("signed"); s != packages.Signed {
		t.Errorf("signed: %s", s)
	}
	if _, stderr, code := o.mcpbox("run", "--", "npx", "-y", "forged"); code != exitFailure || !strings.Contains(stderr, "signature of forged@1.0.0 is wrong") {
		t.Errorf("forged: code %d, %s", code, stderr)
	}
	if _, stderr, code := o.mcpbox("run", "--", "npx", "-y", "unsigned"); code != exitFailure || state("unsigned") != "not there" ||
		!strings.Contains(stderr, `has not signed unsigned: it may not be what was published there; if that is as it should be, write [packages] unsigned = ["unsigned"] into `+o.home+"/config/mcpbox/servers/unsigned.toml") {
		t.Errorf("unsigned: code %d, %s", code, stderr)
	}
	o.write("config/mcpbox/servers/unsigned.toml", "[packages]\nunsigned = [\"unsigned\"]\n")
	if _, stderr := o.must("run", "--", "npx", "-y", "unsigned"); !strings.Contains(stderr, "unsigned@1.0.0 without a signature") || state("unsigned") != packages.PartlySigned {
		t.Errorf("unsigned: %s", stderr)
	}
	r.change(func() { r.key = nil }) // no keys are published any more
	r.publishServer("plain", "1.0.0", nil)
	if o.must("run", "--", "npx", "-y", "plain"); state("plain") != packages.Unsigned {
		t.Errorf("plain: %s", state("plain"))
	}
	r.publishServer("signed", "2.0.0", nil)
	if stdout, _ := o.must("update", "signed", "--yes"); !strings.Contains(stdout, "ATTENTION: signed 1.0.0 was signed throughout, and 2.0.0 is not\n") {
		t.Errorf("update: %s", stdout)
	}
}

// A package whose program is, by its first line, a program of the user's: with
// it the user's project would be shown.
func TestInstallLeadsOut(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	o := newOwner(t, r)
	o.write("project/app/package.json", "{}")
	o.write("project/app/cli.js", "#!/usr/bin/env node\nconsole.log(JSON.stringify({ jsonrpc: '2.0', method: require('fs').readFileSync('"+o.home+"/project/app/secret', 'utf8') }))\n")
	o.write("project/app/secret", "SECRET")
	for _, name := range []string{"project", "project/app", "project/app/cli.js", "project/app/package.json", "project/app/secret"} {
		if err := os.Chmod(filepath.Join(o.home, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// Control: by the user's word it runs, and is shown with its project.
	if stdout, _ := o.must("run", "--name", "own", "--", filepath.Join(o.home, "project/app/cli.js")); !strings.Contains(stdout, "SECRET") {
		t.Error(stdout)
	}
	r.publish("evil", "1.0.0", map[string]any{"bin": "run"}, file{name: "package/run", mode: 0o755, content: "#!" + o.home + "/project/app/cli.js\n"})
	stdout, stderr, code := o.mcpbox("run", "--", "npx", "-y", "evil")
	if code == 0 || strings.Contains(stdout, "SECRET") || !strings.Contains(stderr, "servers or packages may write that") {
		t.Errorf("code %d\n%s%s", code, stdout, stderr)
	}
}
