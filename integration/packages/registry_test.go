package packages

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/integration/setup"
)

// verdaccio is a registry that people run for their own packages.
type verdaccio struct {
	t    *testing.T
	u    *user
	dir  string
	host string // and port
}

// newVerdaccio starts one at the loopback interface, with a storage of its own.
// Everybody may read, but what begins with "@corp/" is for its users alone.
func newVerdaccio(t *testing.T, u *user) *verdaccio {
	t.Helper()
	program := filepath.Join(setup.Found(t, "MCPBOX_SERVERS", "../../build/servers", "scripts/test servers"), "registry/node_modules/verdaccio/bin/verdaccio")
	_, err := os.Stat(program)
	setup.Need(t, err == nil, "verdaccio: type `scripts/test servers`")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v := &verdaccio{t: t, u: u, host: l.Addr().String(), dir: u.dir("registry-" + fmt.Sprint(l.Addr().(*net.TCPAddr).Port))}
	config := `storage: storage
auth: { htpasswd: { file: ./htpasswd, max_users: 10 } }
packages:
  "@corp/*": { access: $authenticated, publish: $authenticated, unpublish: $authenticated }
  "**": { access: $all, publish: $authenticated, unpublish: $authenticated }
log: { type: stdout, level: warn }
`
	u.write(filepath.Join(v.dir, "config.yaml"), config)
	l.Close()
	cmd := u.command(v.dir, "node", program, "--config", "config.yaml", "--listen", v.host)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Kill()
		<-ended
	})
	for deadline := time.Now().Add(2 * time.Minute); ; {
		response, err := http.Get("http://" + v.host + "/-/ping")
		if err == nil {
			response.Body.Close()
			return v
		}
		select {
		case err := <-ended:
			t.Fatalf("verdaccio: %v\n%s", err, said.String())
		case <-time.After(100 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("verdaccio does not answer: %v", err)
		}
	}
}

// register makes a user of the registry, and returns the token that it gives.
func (v *verdaccio) register(name string) string {
	v.t.Helper()
	body := fmt.Sprintf(`{"name": %q, "password": "correct horse battery"}`, name)
	request, err := http.NewRequest(http.MethodPut, "http://"+v.host+"/-/user/org.couchdb.user:"+name, strings.NewReader(body))
	if err != nil {
		v.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		v.t.Fatal(err)
	}
	defer response.Body.Close()
	var answer struct{ Token string }
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Token == "" {
		v.t.Fatalf("%s: %v", response.Status, err)
	}
	return answer.Token
}

// npm runs npm as a user of the registry with this token.
func (v *verdaccio) npm(dir, token string, args ...string) {
	v.t.Helper()
	file := filepath.Join(v.dir, "npmrc")
	v.u.write(file, fmt.Sprintf("registry=http://%s/\n//%s/:_authToken=%s\n", v.host, v.host, token))
	cmd := v.u.command(dir, "npm", args...)
	cmd.Env = append(cmd.Env, "npm_config_userconfig="+file)
	if out, err := cmd.CombinedOutput(); err != nil {
		v.t.Fatalf("npm %q: %v\n%s", args, err, out)
	}
}

// publish publishes a server that says its version and a word.
func (v *verdaccio) publish(token, name, version, word string) {
	v.t.Helper()
	dir := v.u.dir("package")
	v.u.write(filepath.Join(dir, "package.json"), fmt.Sprintf(`{"name": %q, "version": %q, "bin": "server.js"}`, name, version))
	v.u.write(filepath.Join(dir, "server.js"), fmt.Sprintf("#!/usr/bin/env node\nconst { version } = require('./package.json')\n"+
		"console.log(JSON.stringify({ jsonrpc: '2.0', method: 'hello', params: { version, word: %q } }))\nprocess.stdin.resume()\n", word))
	v.npm(dir, token, "publish", "--loglevel=error")
}

// TestVerdaccio is what an own registry beside a public one is for, and what may
// happen there.
func TestVerdaccio(t *testing.T) {
	t.Parallel()
	box := setup.Found(t, "MCPBOX_BIN", "../../bin/mcpbox", "make build")
	uid := os.Geteuid()
	if uid == 0 {
		uid = 23456
	}
	u := newUser(t, uid)
	public, private := newVerdaccio(t, u), newVerdaccio(t, u)
	mallory, ann := public.register("mallory"), private.register("ann")
	npmrc := fmt.Sprintf("registry=http://%s/\n@corp:registry=http://%s/\n", public.host, private.host)
	u.write(filepath.Join(u.home, ".npmrc"), npmrc+fmt.Sprintf("//%s/:_authToken=%s\n", private.host, ann))
	start := func(name string) []string {
		return []string{box, "run", "--name", name, "--", "npx", "-y", "@corp/greeter"}
	}

	// Dependency confusion: a stranger has a newer one of that name.
	private.publish(ann, "@corp/greeter", "1.0.0", "good")
	public.publish(mallory, "@corp/greeter", "99.0.0", "evil")
	word, stderr := u.hear(start("first"), false)
	if word != "1.0.0 good" || !strings.Contains(stderr, "installed @corp/greeter@1.0.0") {
		t.Fatalf("%s\n%s", word, stderr)
	}
	// The token is nowhere that servers or journals are.
	filepath.WalkDir(u.home, func(path string, d fs.DirEntry, err error) error {
		if data, err := os.ReadFile(path); err == nil && strings.Contains(path, "mcpbox/") && bytes.Contains(data, []byte(ann)) {
			t.Errorf("%s has the token", path)
		}
		return nil
	})

	// The tag moves. What is pinned runs, where there is no registry at all.
	private.publish(ann, "@corp/greeter", "1.1.0", "newer")
	if word, stderr = u.hear(start("first"), true); word != "1.0.0 good" || stderr != "" {
		t.Errorf("%s\n%s", word, stderr)
	}
	out, err := u.command(u.home, box, "update", "first").CombinedOutput()
	if err == nil || !strings.Contains(string(out), "first: @corp/greeter 1.0.0 -> 1.1.0\n") || !strings.Contains(string(out), "nothing was changed") {
		t.Errorf("update: %v, %s", err, out)
	}

	// The same version becomes another tarball.
	private.npm(u.home, ann, "unpublish", "--force", "@corp/greeter@1.0.0")
	private.npm(u.home, ann, "unpublish", "--force", "@corp/greeter@1.1.0")
	private.publish(ann, "@corp/greeter", "1.0.0", "evil")
	if err := os.RemoveAll(filepath.Join(u.home, ".cache/mcpbox")); err != nil {
		t.Fatal(err)
	}
	if word, stderr = u.hear(start("first"), false); word != "" || !strings.Contains(stderr, "EINTEGRITY") {
		t.Errorf("%s\n%s", word, stderr)
	}
	// Control: who has no pin yet gets it.
	if word, stderr = u.hear(start("second"), false); word != "1.0.0 evil" {
		t.Errorf("%s\n%s", word, stderr)
	}

	// Without the token there is nothing, and nothing from elsewhere either.
	u.write(filepath.Join(u.home, ".npmrc"), npmrc)
	if word, stderr = u.hear(start("third"), false); word != "" || !strings.Contains(stderr, "E401") {
		t.Errorf("%s\n%s", word, stderr)
	}
}

// hear runs a server until it has said its version and word, or has ended.
func (u *user) hear(argv []string, alone bool) (word, stderr string) {
	u.t.Helper()
	ctx, cancel := context.WithTimeout(u.t.Context(), 5*time.Minute)
	defer cancel()
	cmd := u.command(u.work, argv[0], argv[1:]...)
	if alone {
		u.alone(cmd)
	}
	var errOut bytes.Buffer
	cmd.Stderr = &errOut
	stdin, err := cmd.StdinPipe()
	if err != nil {
		u.t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		u.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		u.t.Fatal(err)
	}
	defer context.AfterFunc(ctx, func() { cmd.Process.Signal(syscall.SIGTERM) })()
	line, _ := bufio.NewReader(stdout).ReadString('\n')
	stdin.Close()
	cmd.Wait()
	var said struct {
		Params struct{ Version, Word string }
	}
	if err := json.Unmarshal([]byte(line), &said); err != nil {
		return "", errOut.String()
	}
	return said.Params.Version + " " + said.Params.Word, errOut.String()
}
