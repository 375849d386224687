package main

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mcpbox/mcpbox/netfilter"
)

// index is an index of Python packages (PEP 503).
type index struct {
	server *httptest.Server

	mu        sync.Mutex
	elsewhere string            // where it says that its files are
	files     map[string][]byte // by file name
	requests  []string
}

func newIndex(t *testing.T) *index {
	x := &index{files: map[string][]byte{}}
	x.server = httptest.NewServer(x)
	t.Cleanup(x.server.Close)
	return x
}

func (x *index) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.requests = append(x.requests, r.URL.Path)
	if user, password, _ := r.BasicAuth(); user != "ann" || password != "s3cret" {
		w.Header().Set("WWW-Authenticate", "Basic")
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	if name, ok := strings.CutPrefix(r.URL.Path, "/files/"); ok {
		w.Write(x.files[name])
		return
	}
	name := strings.Trim(strings.TrimPrefix(r.URL.Path, "/simple/"), "/")
	w.Header().Set("Content-Type", "text/html")
	found := false
	for file, data := range x.files {
		if dist, _, _ := strings.Cut(file, "-"); strings.ReplaceAll(dist, "_", "-") == name {
			found = true
			sum := sha256.Sum256(data)
			fmt.Fprintf(w, "<a href=\"%s/files/%s#sha256=%s\">%s</a>\n", x.elsewhere, file, hex.EncodeToString(sum[:]), file)
		}
	}
	if !found {
		http.NotFound(w, r)
	}
}

// publish makes a wheel (PEP 427) of a module, with a program of the same name
// that calls its function main.
func (x *index) publish(name, version, requires, module string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	under := strings.ReplaceAll(name, "-", "_")
	info := under + "-" + version + ".dist-info/"
	meta := fmt.Sprintf("Metadata-Version: 2.1\nName: %s\nVersion: %s\n", name, version)
	if requires != "" {
		meta += "Requires-Dist: " + requires + "\n"
	}
	var b, record bytes.Buffer
	z := zip.NewWriter(&b)
	for _, f := range [][2]string{
		{under + ".py", module}, {info + "METADATA", meta},
		{info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"},
		{info + "entry_points.txt", fmt.Sprintf("[console_scripts]\n%s = %s:main\n", name, under)},
	} {
		w, _ := z.Create(f[0])
		w.Write([]byte(f[1]))
		sum := sha256.Sum256([]byte(f[1]))
		fmt.Fprintf(&record, "%s,sha256=%s,%d\n", f[0], base64.RawURLEncoding.EncodeToString(sum[:]), len(f[1]))
	}
	w, _ := z.Create(info + "RECORD")
	fmt.Fprintf(&record, "%sRECORD,,\n", info)
	w.Write(record.Bytes())
	z.Close()
	x.files[fmt.Sprintf("%s-%s-py3-none-any.whl", under, version)] = b.Bytes()
}

// pyGreeter is greeter in Python.
const pyGreeter = `
import json, sys
from importlib.metadata import version
def main():
    import dep
    print(json.dumps({"jsonrpc": "2.0", "method": "hello", "params": {"version": version("py-greeter"), "dep": dep.V, "args": sys.argv[1:], "prefix": sys.prefix}}), flush=True)
    sys.stdin.read()
`

func newPythonOwner(t *testing.T, x *index) *owner {
	t.Helper()
	o := newOwner(t, newRegistry(t))
	// The system's Python: tests of an ordinary user cannot see root's others.
	if err := exec.Command("/usr/bin/python3", "-m", "pip", "--version").Run(); err != nil {
		lack(t, "/usr/bin/python3 has no pip")
	}
	o.env = append(o.env, "PATH="+filepath.Dir(lookPath(t, "mcpbox"))+":/usr/bin:/bin")
	o.write(".config/pip/pip.conf", "[global]\nindex-url = "+strings.Replace(x.server.URL, "http://", "http://ann:s3cret@", 1)+"/simple/\n")
	o.env = append(o.env, "PIP_CONFIG_FILE="+filepath.Join(o.home, ".config/pip/pip.conf"))
	return o
}

func lookPath(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func TestInstallPython(t *testing.T) {
	t.Parallel()
	x := newIndex(t)
	o := newPythonOwner(t, x)
	x.publish("dep", "1.0", "", "V = '1.0'\ndef main(): print('dep')\n")
	x.publish("py-greeter", "1.0", "dep>=1", pyGreeter)
	line := []string{"run", "--", "uvx", "py-greeter", "a b"}
	stdout, stderr := o.must(line...)
	if greeted(t, stdout) != "1.0" || !strings.Contains(stdout, `"dep": "1.0", "args": ["a b"]`) || !strings.Contains(stdout, "/cache/mcpbox/packages/pypi/py-greeter@1.0-") {
		t.Error(stdout)
	}
	if !strings.Contains(stderr, "py-greeter: installed py-greeter@1.0 with 1 dependency") || strings.Contains(stderr, "s3cret") {
		t.Error(stderr)
	}
	// A newer one comes; nobody is asked.
	x.publish("dep", "1.1", "", "V = '1.1'\n")
	x.publish("py-greeter", "2.0", "dep>=1", pyGreeter)
	x.mu.Lock()
	x.requests = nil
	x.mu.Unlock()
	stdout, stderr = o.must(line...)
	x.mu.Lock()
	if greeted(t, stdout) != "1.0" || stderr != "" || len(x.requests) > 0 {
		t.Error(stdout, stderr, x.requests)
	}
	x.mu.Unlock()
	// The store is made again, with the same.
	if err := os.RemoveAll(filepath.Join(o.home, "cache")); err != nil {
		t.Fatal(err)
	}
	if stdout, _ := o.must(line...); greeted(t, stdout) != "1.0" || !strings.Contains(stdout, `"dep": "1.0"`) {
		t.Error(stdout)
	}
	// Other forms of the line.
	for _, other := range [][]string{
		{"uv", "tool", "run", "--from", "py-greeter==1.0", "py-greeter"},
		{"uv", "run", "--with", "py-greeter", "--with", "dep==1.1", "py-greeter"},
		{"pipx", "run", "--spec", "py-greeter", "py-greeter"},
		{"uvx", "--from", "py-greeter", "python", "-c", "import py_greeter; py_greeter.main()"},
	} {
		stdout, _ := o.must(append([]string{"run", "--name", "other", "--"}, other...)...)
		if want := map[bool]string{true: "1.0", false: "2.0"}[slices.Contains(other, "py-greeter==1.0")]; greeted(t, stdout) != want {
			t.Errorf("%q: %s", other, stdout)
		}
	}
	stdout, _ = o.must("packages")
	if !strings.Contains(stdout, "pypi") || strings.Count(stdout, "\n") < 4 {
		t.Error(stdout)
	}
	// A wheel that has another content now.
	x.publish("dep", "1.0", "", "V = 'evil'\n")
	if err := os.RemoveAll(filepath.Join(o.home, "cache")); err != nil {
		t.Fatal(err)
	}
	if stdout, stderr, code := o.mcpbox(line...); code != exitFailure || strings.Contains(stdout, "evil") || !strings.Contains(stderr, "DO NOT MATCH") {
		t.Errorf("code %d\n%s%s", code, stdout, stderr)
	}
	// And no password anywhere.
	out, _ := exec.Command("grep", "-r", "s3cret", filepath.Join(o.home, "state"), filepath.Join(o.home, "cache"), filepath.Join(o.home, "config")).Output()
	if len(out) > 0 {
		t.Errorf("%s", out)
	}
}

// What comes as source runs its own code to be built: it is not installed.
func TestInstallPythonSource(t *testing.T) {
	once(t)
	t.Parallel()
	x := newIndex(t)
	o := newPythonOwner(t, x)
	mark := filepath.Join(o.home, "mark")
	x.mu.Lock()
	x.files["sourced-1.0.tar.gz"] = tarball(
		file{name: "sourced-1.0/setup.py", content: "import setuptools\nopen('" + mark + "','w').close()\nsetuptools.setup(name='sourced', version='1.0', py_modules=['sourced'])\n"},
		file{name: "sourced-1.0/sourced.py", content: "def main(): pass\n"},
		file{name: "sourced-1.0/PKG-INFO", content: "Metadata-Version: 1.0\nName: sourced\nVersion: 1.0\n"},
	)
	x.mu.Unlock()
	// Control: pip alone runs it.
	pip := exec.Command("/usr/bin/python3", "-m", "pip", "download", "--no-deps", "--no-build-isolation", "sourced")
	pip.Dir, pip.Env = t.TempDir(), o.env
	out, _ := pip.CombinedOutput()
	if err := os.Remove(mark); err != nil {
		t.Errorf("pip does not run setup.py either: %s", out)
	}
	_, stderr, code := o.mcpbox("run", "--", "uvx", "sourced")
	if code != exitFailure || !strings.Contains(stderr, "only wheels are installed") {
		t.Errorf("code %d, %s", code, stderr)
	}
	if _, err := os.Lstat(mark); err == nil {
		t.Error("it ran")
	}
}

// Nor is what a wheel's metadata name by address, which --only-binary does not
// concern.
func TestInstallPythonAddress(t *testing.T) {
	once(t)
	t.Parallel()
	x := newIndex(t)
	o := newPythonOwner(t, x)
	x.mu.Lock()
	x.files["direct.tar.gz"] = tarball(
		file{name: "direct-1.0/pyproject.toml", content: "[build-system]\nrequires = []\nbuild-backend = 'backend'\nbackend-path = ['.']\n"},
		file{name: "direct-1.0/backend.py", content: "import urllib.request\nurllib.request.urlopen('" + x.server.URL + "/stolen')\n"},
	)
	x.mu.Unlock()
	stolen := func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		defer func() { x.requests = nil }()
		return slices.Contains(x.requests, "/stolen")
	}
	x.publish("archive", "1.0", "direct @ "+x.server.URL+"/files/direct.tar.gz", pyGreeter)
	x.publish("repository", "1.0", "direct @ git+"+x.server.URL+"/files/direct.git", pyGreeter)
	// Control: pip alone runs it.
	pip := exec.Command("/usr/bin/python3", "-m", "pip", "download", "--only-binary", ":all:", "archive")
	pip.Dir, pip.Env = t.TempDir(), o.env
	if out, _ := pip.CombinedOutput(); !stolen() {
		t.Errorf("pip does not build it either: %s", out)
	}
	for _, name := range []string{"archive", "repository"} {
		_, stderr, code := o.mcpbox("run", "--", "uvx", name)
		if code != exitFailure || !strings.Contains(stderr, "only wheels are installed") {
			t.Errorf("%s: code %d, %s", name, code, stderr)
		}
		if stolen() {
			t.Errorf("%s: it ran", name)
		}
	}
}

// Only names, for TLS, can be where an index keeps its files.
func TestFileHosts(t *testing.T) {
	var refused []netfilter.Event
	for _, rule := range []string{"files.example.org:443", "10.0.0.5:443", "127.0.0.1:8080", "files.example.org:80", "tcp://db.example.org:443", "", "metadata.example.org:443"} {
		refused = append(refused, netfilter.Event{Kind: netfilter.Refused, Allow: rule})
	}
	var got []string
	for _, r := range fileHosts(refused) {
		got = append(got, r.String())
	}
	if want := "files.example.org:443 metadata.example.org:443"; strings.Join(got, " ") != want {
		t.Errorf("%q, want %s", got, want)
	}
}

// An index that sends pip to a service of this machine.
func TestInstallPythonElsewhere(t *testing.T) {
	once(t)
	t.Parallel()
	other := newIndex(t)
	x := newIndex(t)
	o := newPythonOwner(t, x)
	x.publish("py-greeter", "1.0", "", pyGreeter)
	x.mu.Lock()
	x.elsewhere = other.server.URL
	x.mu.Unlock()
	_, stderr, code := o.mcpbox("run", "--", "uvx", "py-greeter")
	rule := strings.TrimPrefix(other.server.URL, "http://")
	if code != exitFailure || !strings.Contains(stderr, `write [packages] allow = ["`+rule+`"]`) {
		t.Errorf("code %d, %s", code, stderr)
	}
	other.mu.Lock()
	defer other.mu.Unlock()
	if len(other.requests) > 0 {
		t.Errorf("it was asked: %q", other.requests)
	}
}
