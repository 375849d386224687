package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
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

// A registry that gives a published version another content.
// A scope that belongs to a private registry is asked for there alone, and the
// token stays between the two.
// An install script that steals and calls home.
// Tarballs with entries that want to be elsewhere.
// Two at once wait for one installation; a killed one leaves nothing.
func TestInstallTogether(t *testing.T) {
	t.Parallel()
	r := newRegistry(t)
	o := newOwner(t, r)
	r.publishServer("greeter", "1.0.0", nil)
	entered, open := make(chan struct{}, 100), make(chan struct{})
	r.change(func() { r.gate = func() { entered <- struct{}{}; <-open } })
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
	t.Parallel()
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
	once(t)
	r := newRegistry(t)
	o := newOwner(t, r)
	r.publishServer("greeter", "1.0.0", map[string]any{"dependencies": map[string]string{"huge": "1"}})
	r.publish("huge", "1.0.0", nil, file{name: "package/data", content: strings.Repeat(strings.Repeat("\x00", 1<<16)+random(200), 1<<8)})
	if n := len(r.packages["huge"].versions["1.0.0"].tarball); n > 1<<18 {
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
		console: console{in: null, out: null, err: null}, dirs: own, host: host, store: packages.Open(own), server: "greeter", policyFile: "x.toml",
		request: &packages.Request{Kind: packages.NPM, Packages: []packages.Spec{{Name: "greeter"}}, Runner: "npx"}, limit: 8 << 20,
	}
	_, err = in.install(context.Background())
	if err == nil || !strings.Contains(err.Error(), "more than 8 MiB") {
		t.Errorf("8 MiB: %v", err)
	}
	if list := o.entries(); len(list) > 0 {
		t.Error(list)
	}
	in.limit = 32 << 20
	if _, err := in.install(context.Background()); err != nil {
		t.Errorf("32 MiB: %v", err)
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
	t.Parallel()
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

// Who waits for another's installation does not take what it would not have made:
// from another registry, or with scripts that its own policy does not name.
func TestInstallNotTogether(t *testing.T) {
	once(t)
	t.Parallel()
	r, other := newRegistry(t), newRegistry(t)
	o := newOwner(t, r)
	r.publish("native", "1.0.0", map[string]any{"scripts": map[string]string{"install": "true"}})
	r.publishServer("greeter", "1.0.0", map[string]any{"dependencies": map[string]string{"native": "1"}})
	other.publishServer("greeter", "9.0.0", nil)
	o.write("config/mcpbox/servers/first.toml", "[packages]\nscripts = [\"native\"]\n")
	entered, open := make(chan struct{}, 100), make(chan struct{})
	r.change(func() { r.gate = func() { entered <- struct{}{}; <-open } })
	var running sync.WaitGroup
	start := func(name, version string, env ...string) {
		cmd := o.command("run", "--name", name, "--", "npx", "-y", "greeter")
		cmd.Env = append(cmd.Env, env...)
		running.Go(func() {
			stdout, stderr, code := o.run(cmd)
			if code != 0 || !strings.Contains(stdout, `"version":"`+version+`"`) {
				t.Errorf("%s: code %d\n%s%s", name, code, stdout, stderr)
			}
		})
	}
	start("first", "1.0.0")
	<-entered
	start("plain", "1.0.0")
	start("elsewhere", "9.0.0", "npm_config_registry="+other.url())
	time.Sleep(time.Second) // they find the lock; if not, they do so later
	close(open)
	running.Wait()
	ran := map[string]bool{}
	pins, err := filepath.Glob(filepath.Join(o.home, "state/mcpbox/packages/*/*/pin.json"))
	if err != nil || len(pins) != 3 {
		t.Fatal(pins, err)
	}
	for _, pin := range pins {
		data, err := os.ReadFile(pin)
		if err != nil {
			t.Fatal(err)
		}
		ran[filepath.Base(filepath.Dir(filepath.Dir(pin)))] = strings.Contains(string(data), `"native"`)
	}
	if !ran["first"] || ran["plain"] || ran["elsewhere"] {
		t.Errorf("whose scripts were run: %v", ran)
	}
}
