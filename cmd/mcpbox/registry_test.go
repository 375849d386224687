package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

// registry is a registry of npm's kind that serves what a test wants it to, be
// it true or not.
type registry struct {
	server *httptest.Server

	mu       sync.Mutex // for what follows, see change
	token    string     // wanted from everybody, if set
	key      *ecdsa.PrivateKey
	packages map[string]*published
	requests []string // path and, where there was one, the authorization
	gate     func()   // before each tarball is sent
	git      string   // a directory of bare repositories, at /git/
}

// published is one package.
type published struct {
	latest   string
	versions map[string]*release
}

// release is one version of a package.
type release struct {
	manifest map[string]any
	tarball  []byte
	// integrity and signature are of the tarball that was published first.
	integrity, signature string
}

func newRegistry(t testing.TB) *registry {
	r := &registry{packages: map[string]*published{}}
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	return r
}

// change has f change what is served.
func (r *registry) change(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// url is the registry's address, as in npm's configuration.
func (r *registry) url() string { return r.server.URL + "/" }

// publish makes a version the latest. The manifest has what package.json has
// besides name and version.
func (r *registry) publish(name, version string, manifest map[string]any, files ...file) *release {
	full := map[string]any{"name": name, "version": version}
	maps.Copy(full, manifest)
	text, _ := json.Marshal(full)
	rel := &release{manifest: full, tarball: tarball(append([]file{{name: "package/package.json", content: string(text)}}, files...)...)}
	sum := sha512.Sum512(rel.tarball)
	rel.integrity = "sha512-" + base64.StdEncoding.EncodeToString(sum[:])
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.key != nil {
		rel.signature = sign(r.key, name+"@"+version+":"+rel.integrity)
	}
	if r.packages[name] == nil {
		r.packages[name] = &published{versions: map[string]*release{}}
	}
	r.packages[name].latest = version
	r.packages[name].versions[version] = rel
	return rel
}

// server publishes a program that greets and then waits for the end.
func (r *registry) publishServer(name, version string, manifest map[string]any) *release {
	all := map[string]any{"bin": "server.js"}
	maps.Copy(all, manifest)
	return r.publish(name, version, all, file{name: "package/server.js", mode: 0o755, content: greeter})
}

// greeter says which version it is, where it lies and what it can reach, and
// answers what a client asks.
const greeter = `#!/usr/bin/env node
const { version } = require('./package.json')
let on = {}
try { on = { dep: require('dep/package.json').version } } catch {}
const send = m => process.stdout.write(JSON.stringify({ jsonrpc: '2.0', ...m }) + '\n')
send({ method: 'hello', params: { version, args: process.argv.slice(2), ...on } })
require('readline').createInterface({ input: process.stdin }).on('line', line => {
  const { id, method } = JSON.parse(line)
  const result = method === 'initialize' ? { protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'greeter', version } }
    : method === 'tools/list' ? { tools: [{ name: 'greet', description: 'greets as ' + version, inputSchema: { type: 'object' } }] } : {}
  if (id !== undefined) send({ id, result })
})
`

// newKey has the registry sign what is published from now on.
func (r *registry) newKey() {
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	r.change(func() { r.key = key })
}

func sign(key *ecdsa.PrivateKey, text string) string {
	sum := sha256.Sum256([]byte(text))
	sig, _ := ecdsa.SignASN1(rand.Reader, key, sum[:])
	return base64.StdEncoding.EncodeToString(sig)
}

func (r *registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	path, _ := url.PathUnescape(strings.TrimPrefix(req.URL.EscapedPath(), "/"))
	r.mu.Lock()
	gate, git, token, key := r.gate, r.git, r.token, r.key
	r.requests = append(r.requests, strings.TrimSpace(path+" "+req.Header.Get("Authorization")))
	r.mu.Unlock()
	if rest, ok := strings.CutPrefix(path, "git/"); ok && git != "" {
		http.ServeFile(w, req, filepath.Join(git, filepath.Clean("/"+rest)))
		return
	}
	if token != "" && req.Header.Get("Authorization") != "Bearer "+token {
		http.Error(w, `{"error":"who are you?"}`, http.StatusUnauthorized)
		return
	}
	if path == "-/npm/v1/keys" && key != nil {
		public, _ := x509.MarshalPKIXPublicKey(key.Public())
		json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]any{
			"keyid": "SHA256:test", "keytype": "ecdsa-sha2-nistp256", "scheme": "ecdsa-sha2-nistp256", "key": base64.StdEncoding.EncodeToString(public), "expires": nil,
		}}})
		return
	}
	name, rest, _ := strings.Cut(path, "/-/")
	if rest != "" && gate != nil {
		gate()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	version := ""
	if i := strings.LastIndexByte(name, '/'); i > 0 && (name[0] != '@' || strings.Count(name, "/") == 2) {
		name, version = name[:i], name[i+1:]
	}
	p := r.packages[name]
	switch {
	case p == nil:
		http.Error(w, `{"error":"Not found"}`, http.StatusNotFound)
	case rest != "":
		version = strings.TrimSuffix(rest[strings.LastIndex(rest, "-v")+2:], ".tgz")
		if rel := p.versions[version]; rel != nil {
			w.Write(rel.tarball)
			return
		}
		http.NotFound(w, req)
	case version != "" && p.versions[version] != nil:
		json.NewEncoder(w).Encode(r.describe(name, version))
	default:
		all := map[string]any{}
		for version := range p.versions {
			all[version] = r.describe(name, version)
		}
		json.NewEncoder(w).Encode(map[string]any{"name": name, "dist-tags": map[string]string{"latest": p.latest}, "versions": all})
	}
}

// describe is a version as registries describe it.
func (r *registry) describe(name, version string) map[string]any {
	rel := r.packages[name].versions[version]
	dist := map[string]any{"integrity": rel.integrity, "tarball": fmt.Sprintf("%s/%s/-/x-v%s.tgz", r.server.URL, name, version)}
	if rel.signature != "" {
		dist["signatures"] = []any{map[string]string{"keyid": "SHA256:test", "sig": rel.signature}}
	}
	m := maps.Clone(rel.manifest)
	m["dist"] = dist
	if scripts, ok := m["scripts"].(map[string]string); ok && (scripts["install"]+scripts["preinstall"]+scripts["postinstall"]) != "" {
		m["hasInstallScript"] = true
	}
	return m
}

// asked lists the requests so far, and forgets them.
func (r *registry) asked() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := r.requests
	r.requests = nil
	return list
}

// tarballs counts the tarballs among requests.
func tarballs(requests []string) (n int) {
	return len(slices.DeleteFunc(slices.Clone(requests), func(s string) bool { return !strings.Contains(s, ".tgz") }))
}

// file is an entry of a tarball.
type file struct {
	name, content string
	mode          int64
	link          string // of a symbolic link
	kind          byte
}

func tarball(files ...file) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	w := tar.NewWriter(z)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: max(f.mode, 0o644), Size: int64(len(f.content)), Typeflag: tar.TypeReg, Linkname: f.link}
		if f.kind != 0 {
			h.Typeflag, h.Size = f.kind, 0
		}
		w.WriteHeader(h)
		if h.Size > 0 {
			w.Write([]byte(f.content))
		}
	}
	w.Close()
	z.Close()
	return b.Bytes()
}
