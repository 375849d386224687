package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// quarantined asserts that a command was refused for the quarantine of a server.
func quarantined(t *testing.T, what, stderr string, code int) {
	t.Helper()
	if code == 0 || !strings.Contains(stderr, "is in quarantine since") {
		t.Errorf("%s: code %d, %s", what, code, stderr)
	}
}

// Of a server in quarantine nothing is fetched, installed or started.
func TestInstallQuarantined(t *testing.T) {
	once(t)
	t.Parallel()
	r := newRegistry(t)
	o := newOwner(t, r)
	r.publishServer("greeter", "1.0.0", nil)
	o.must("quarantine", "new")
	line := []string{"--", "npx", "-y", "greeter"}
	_, stderr, code := o.mcpbox(append([]string{"run", "--name", "new"}, line...)...)
	quarantined(t, "run", stderr, code)
	_, stderr, code = o.mcpbox("add", "new", "--from", "npx -y greeter")
	quarantined(t, "add", stderr, code)
	if asked := r.asked(); len(asked) > 0 || len(o.entries()) > 0 {
		t.Errorf("the registry was asked: %q", asked)
	}
	o.must(append([]string{"run", "--name", "old"}, line...)...)
	o.must("quarantine", "old")
	r.publishServer("greeter", "2.0.0", nil)
	r.asked()
	_, stderr, code = o.mcpbox("update", "old", "--yes")
	quarantined(t, "update", stderr, code)
	if asked := r.asked(); len(asked) > 0 || len(o.entries()) != 1 {
		t.Errorf("the registry was asked: %q", asked)
	}
}

// One that is put there meanwhile ends what goes on: npm, an install script, a
// dry start. Each would take longer than the test waits.
func TestInstallQuarantinedMeanwhile(t *testing.T) {
	t.Parallel()
	const patience = 15 * time.Second
	r := newRegistry(t)
	o := newOwner(t, r)
	forever := file{name: "package/forever.js", content: "require('fs').writeFileSync('started', ''); setInterval(() => {}, 1000)\n"}
	r.publish("native", "1.0.0", map[string]any{"scripts": map[string]string{"install": "node forever.js"}}, forever)
	r.publishServer("built", "1.0.0", map[string]any{"dependencies": map[string]string{"native": "1"}})
	r.publishServer("greeter", "1.0.0", nil)
	o.write("config/mcpbox/servers/script.toml", "[packages]\nscripts = [\"native\"]\n")
	o.must("add", "dry", "--from", "npx -y greeter")
	fetching, over := make(chan struct{}, 10), make(chan struct{})
	defer close(over)

	for _, c := range []struct {
		name, from string
		prepare    func()
		reached    func() bool // it is as far as is to be seen
	}{
		{"script", "npx -y built", func() {}, func() bool {
			found, _ := filepath.Glob(filepath.Join(o.home, "cache/mcpbox/packages/.installing/*/root/node_modules/native/started"))
			return len(found) > 0
		}},
		{"dry", "", func() {
			r.publish("greeter", "2.0.0", map[string]any{"bin": "server.js"}, file{name: "package/server.js", mode: 0o755, content: "#!/usr/bin/env node\nsetInterval(() => {}, 1000)\n"})
		}, func() bool {
			found, _ := filepath.Glob(filepath.Join(o.home, "cache/mcpbox/packages/npm/greeter@2*"))
			return len(found) > 0
		}},
		{"fetch", "npx -y greeter@1.0.0", func() {
			r.change(func() { r.gate = func() { fetching <- struct{}{}; <-over } })
		}, func() bool { return len(fetching) > 0 }},
	} {
		c.prepare()
		cmd := o.command("add", c.name, "--from", c.from)
		if c.from == "" {
			cmd = o.command("update", c.name)
		}
		ended := make(chan bool)
		var stderr string
		var code int
		go func() {
			defer close(ended)
			_, stderr, code = o.run(cmd)
		}()
		for began := time.Now(); !c.reached(); time.Sleep(20 * time.Millisecond) {
			if time.Since(began) > time.Minute {
				t.Fatalf("%s: it does not come that far", c.name)
			}
		}
		o.must("quarantine", c.name)
		select {
		case <-ended:
			quarantined(t, c.name, stderr, code)
		case <-time.After(patience):
			t.Errorf("%s: it goes on", c.name)
			cmd.Process.Signal(os.Interrupt)
			<-ended
		}
	}
}
