package main

import (
	"encoding/pem"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// goGreeter is a program that says its version, with no more of the standard
// library than that takes: all of it is compiled for each installation.
func goGreeter(version string) string {
	return `package main

import (
	"example.org/dep"
	"syscall"
)

//go:generate sh -c "echo stolen > ` + "$HOME" + `/stolen"

func main() {
	syscall.Write(1, []byte("{\"jsonrpc\":\"2.0\",\"method\":\"hello\",\"params\":{\"version\":\"` + version + `\",\"dep\":\"" + dep.V + "\"}}\n"))
	for b := make([]byte, 1); ; {
		if n, _ := syscall.Read(0, b); n <= 0 {
			return
		}
	}
}
`
}

const goDep = "package dep\n\nconst V = "

func TestInstallGo(t *testing.T) {
	once(t)
	t.Parallel()
	m := newModules(t)
	o := newGoOwner(t, m)
	requires := func(version string) string {
		return "module example.org/greeter\n\ngo 1.21\n\nrequire example.org/dep " + version + "\n"
	}
	m.publish("example.org/dep", "v1.0.0", "dep.go", goDep+`"v1.0.0"`)
	m.publish("example.org/greeter", "v1.0.0", "go.mod", requires("v1.0.0"), "cmd/hello/main.go", goGreeter("v1.0.0"))
	line := []string{"run", "--", "go", "run", "example.org/greeter/cmd/hello@latest"}
	stdout, stderr := o.must(line...)
	if greeted(t, stdout) != "v1.0.0" || !strings.Contains(stdout, `"dep":"v1.0.0"`) {
		t.Error(stdout)
	}
	if !strings.Contains(stderr, "hello: installed example.org/greeter@v1.0.0 with 1 dependency") {
		t.Error(stderr)
	}
	if stdout, _ := o.must(append([]string{"explain"}, line[1:]...)...); !strings.Contains(stdout, "every module is what the checksum database sum.example says") {
		t.Error(stdout)
	}

	// "latest" moves; nothing is asked, and the same is run.
	m.publish("example.org/dep", "v1.1.0", "dep.go", goDep+`"v1.1.0"`)
	withC := strings.NewReplacer("import (", "// int one(void) { return 1; }\nimport \"C\"\n\nimport (", "main() {", "main() {\n\tif C.one() != 1 {\n\t\treturn\n\t}").Replace(goGreeter("v1.1.0"))
	m.publish("example.org/greeter", "v1.1.0", "go.mod", requires("v1.1.0"), "cmd/hello/main.go", withC)
	m.asked()
	stdout, stderr = o.must(line...)
	if asked := m.asked(); greeted(t, stdout) != "v1.0.0" || stderr != "" || len(asked) > 0 {
		t.Error(stdout, stderr, asked)
	}

	o.entries() // nothing is half there

	// The store is made again, with the same to the last bit.
	before := o.programs()
	if err := os.RemoveAll(filepath.Join(o.home, "cache")); err != nil {
		t.Fatal(err)
	}
	if stdout, _ = o.must(line...); greeted(t, stdout) != "v1.0.0" || o.programs() != before {
		t.Error(stdout, before, o.programs())
	}

	// Or not at all. What the database says is not asked here: the pin is enough.
	o.write("config/go/env", "GOPROXY="+m.server.URL+"\nGOSUMDB=off\n")
	m.publish("example.org/dep", "v1.0.0", "dep.go", goDep+`"evil"`)
	if err := os.RemoveAll(filepath.Join(o.home, "cache")); err != nil {
		t.Fatal(err)
	}
	if stdout, stderr, code := o.mcpbox(line...); code != exitFailure || strings.Contains(stdout, "evil") || !strings.Contains(stderr, "checksum mismatch") {
		t.Errorf("code %d\n%s%s", code, stdout, stderr)
	}
	if o.programs() != "" {
		t.Error(o.programs())
	}
	if list, _ := filepath.Glob(filepath.Join(o.home, "*/mcpbox/stolen")); len(list) > 0 || exists(filepath.Join(o.home, "stolen")) {
		t.Error("go generate was run")
	}

	// The new version has C in it, which is compiled only if the policy says so.
	if _, err := exec.LookPath("gcc"); err != nil {
		lack(t, "gcc is not in PATH")
	}
	_, stderr, code := o.mcpbox("update", "hello", "--yes")
	policyFile := filepath.Join(o.home, "config/mcpbox/servers/hello.toml")
	if want := `write [packages] scripts = ["cgo"] into ` + policyFile; code != 1 || !strings.Contains(stderr, want) {
		t.Errorf("code %d, %s\nwant %s", code, stderr, want)
	}
	o.write("config/mcpbox/servers/hello.toml", "[packages]\nscripts = [\"cgo\"]\n")
	stdout, _ = o.must("update", "hello", "--yes")
	for _, want := range []string{"hello: example.org/greeter v1.0.0 -> v1.1.0\n", "changed: example.org/dep v1.0.0 -> v1.1.0\n", "install script: cgo, which had none before; it was run in the box"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("%q is not in\n%s", want, stdout)
		}
	}
	if stdout, _ = o.must(line...); greeted(t, stdout) != "v1.1.0" || !strings.Contains(stdout, `"dep":"v1.1.0"`) {
		t.Error(stdout)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// programs are the programs in Go in the store, with their digests.
func (o *owner) programs() string {
	o.t.Helper()
	text := ""
	list, _ := filepath.Glob(filepath.Join(o.home, "cache/mcpbox/packages/go/*/bin/*"))
	for _, path := range list {
		digest, err := fileDigest(path)
		if err != nil {
			o.t.Fatal(err)
		}
		text += strings.TrimPrefix(path, o.home) + " " + digest + "\n"
	}
	return text
}

// What is refused before anything is built, and with which words.
func TestInstallGoRefuses(t *testing.T) {
	once(t)
	t.Parallel()
	const plain = "package main\n\nfunc main() {}\n"
	for _, c := range []struct {
		name     string
		settings []string
		files    []string
		change   func(*modules)
		want     string
	}{
		{"a version that is another than the database says", nil, []string{"main.go", plain}, func(m *modules) {
			m.sumsNow("example.org/evil", "v1.0.0")
			m.publish("example.org/evil", "v1.0.0", "main.go", plain+"// evil\n")
		}, "SECURITY ERROR"},
		{"a module of a repository", []string{"GOPROXY=direct"}, nil, nil, `GOPROXY is "direct", and modules are taken from a proxy only`},
		{"no proxy", []string{"GOPROXY=off"}, nil, nil, "to have Go ask the public one, type: go env -u GOPROXY"},
		{"a private module", []string{"GOPRIVATE=example.com,*.org/evil"}, nil, nil, `by "*.org/evil" in GONOPROXY or GOPRIVATE it is fetched from its repository`},
		{"a private dependency", []string{"GOPRIVATE=github.com/somebody"}, []string{
			"go.mod", "module example.org/evil\n\nrequire github.com/somebody/private v1.0.0\n",
			"main.go", "package main\n\nimport _ \"github.com/somebody/private\"\n\nfunc main() {}\n",
		}, nil, "modules are taken from the proxy only"},
		{"another toolchain", nil, []string{"go.mod", "module example.org/evil\n\ngo 1.999\n\ntoolchain go1.999.0\n", "main.go", plain}, nil, "install that version of Go: no other one is fetched"},
		{"a module that is replaced", nil, []string{"go.mod", "module example.org/evil\n\nreplace example.org/dep => ../../../etc\n", "main.go", plain}, nil, "replace"},
		{"a library", nil, []string{"lib.go", "package lib\n"}, nil, "example.org/evil"},
		{"nothing", nil, nil, nil, "404 Not Found"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := newModules(t)
			o := newGoOwner(t, m, c.settings...)
			o.write("config/mcpbox/servers/evil.toml", "[packages]\nscripts = [\"cgo\"]\n")
			if c.files != nil {
				m.publish("example.org/evil", "v1.0.0", c.files...)
			}
			if c.change != nil {
				c.change(m)
			}
			_, stderr, code := o.mcpbox("run", "--", "go", "run", "example.org/evil@latest")
			if code != exitFailure || !strings.Contains(stderr, "cannot install example.org/evil") || !strings.Contains(stderr, c.want) {
				t.Errorf("code %d, %s\nwant %s", code, stderr, c.want)
			}
			o.entries() // nothing is half there
			if o.programs() != "" {
				t.Error(o.programs())
			}
		})
	}
}

// sumsNow has the database know a version, as it is.
func (m *modules) sumsNow(path, version string) {
	m.t.Helper()
	cmd := exec.Command("go", "mod", "download", path+"@"+version)
	dir := m.t.TempDir()
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-modcacherw", "GOENV=off", "GOPATH="+dir, "GOMODCACHE="+dir+"/mod", "GOCACHE="+dir+"/cache", "GOPROXY="+m.server.URL, "GOSUMDB="+m.key, "GOTOOLCHAIN=local", "GONOSUMDB=", "GOPRIVATE=")
	if out, err := cmd.CombinedOutput(); err != nil {
		m.t.Fatalf("control: the version cannot be had before it was changed: %v\n%s", err, out)
	}
}

// What a box has left for a program is moved into the store, and thrown away where it
// is none. It is never a file of the host's that a link leads to.
func TestOnlyProgram(t *testing.T) {
	t.Parallel()
	work, host := t.TempDir(), t.TempDir()
	at := func(names ...string) string { return filepath.Join(append([]string{work}, names...)...) }
	for _, err := range []error{
		os.WriteFile(filepath.Join(host, "precious"), nil, 0o600), os.Symlink(host, at("bin")), os.Mkdir(at("link"), 0o700),
		os.Symlink(filepath.Join(host, "precious"), at("link", "x")), os.Mkdir(at("good"), 0o700), os.WriteFile(at("good", "x"), nil, 0o700), os.Mkdir(at("empty"), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"bin", "link", "empty", "none"} {
		if file, err := onlyProgram(at(name)); err == nil {
			t.Errorf("%s: %s", name, file)
		}
	}
	if file, err := onlyProgram(at("good")); err != nil || file != at("good", "x") {
		t.Error(file, err)
	}
}

// A proxy that wants to know who asks. What it is told stays between it and Go.
func TestInstallGoToken(t *testing.T) {
	once(t)
	t.Parallel()
	m := newModules(t)
	m.token = "s3cretpassword"
	m.server = httptest.NewTLSServer(m) // Go says no password otherwise
	t.Cleanup(m.server.Close)
	o := newGoOwner(t, m)
	o.write("ca.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: m.server.Certificate().Raw})))
	o.env = append(o.env, "SSL_CERT_FILE="+filepath.Join(o.home, "ca.pem"))
	o.write(".netrc", "machine elsewhere.example login ann password other-secret\nmachine "+m.server.Listener.Addr().String()+"\nlogin ann\npassword "+m.token+"\n")
	// It builds nothing: what goes wrong comes after it was let in.
	m.publish("example.org/lib", "v1.0.0", "lib.go", "package lib\n")
	_, stderr, code := o.mcpbox("run", "--", "go", "run", "example.org/lib@v1")
	if code != exitFailure || strings.Contains(stderr, "401") || !strings.Contains(stderr, "example.org/lib") {
		t.Errorf("code %d, %s", code, stderr)
	}
	out, _ := exec.Command("grep", "-rE", m.token+"|other-secret", filepath.Join(o.home, "state"), filepath.Join(o.home, "cache"), filepath.Join(o.home, "config")).Output()
	if len(out) > 0 {
		t.Errorf("%s", out)
	}
	o.write(".netrc", "machine "+m.server.Listener.Addr().String()+" login ann password wr0ngpassword\n")
	if _, stderr, code := o.mcpbox("run", "--", "go", "run", "example.org/lib@v1"); code != exitFailure || !strings.Contains(stderr, "401") || strings.Contains(stderr, "wr0ng") {
		t.Errorf("code %d, %s", code, stderr)
	}
}
