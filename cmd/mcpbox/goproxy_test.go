package main

import (
	"archive/zip"
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/mod/module"
	"golang.org/x/mod/sumdb"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/sumdb/note"
)

// modules is a proxy of Go modules with a checksum database, which serve what a
// test wants them to, be it true or not.
type modules struct {
	t      *testing.T
	server *httptest.Server
	key    string // of the database, as GOSUMDB has it
	db     http.Handler

	mu       sync.Mutex
	token    string                       // wanted as a password, if set
	files    map[string]map[string]string // of "module@version", by name
	latest   map[string]string            // by module
	requests []string
}

func newModules(t *testing.T) *modules {
	t.Helper()
	signer, key, err := note.GenerateKey(rand.Reader, "sum.example")
	if err != nil {
		t.Fatal(err)
	}
	m := &modules{t: t, key: key, files: map[string]map[string]string{}, latest: map[string]string{}}
	m.db = http.StripPrefix("/sumdb/sum.example", sumdb.NewServer(sumdb.NewTestServer(signer, m.sums)))
	m.server = httptest.NewServer(m)
	t.Cleanup(m.server.Close)
	return m
}

// publish makes a version of a module the latest. Files are pairs of name and
// content; without a go.mod there is a plain one.
func (m *modules) publish(path, version string, files ...string) {
	all := map[string]string{"go.mod": "module " + path + "\n\ngo 1.21\n"}
	for i := 0; i < len(files); i += 2 {
		all[files[i]] = files[i+1]
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.files[path+"@"+version], m.latest[path] = all, version
}

// sums are the lines of go.sum of a module, as the database keeps them from the
// first time that it is asked.
func (m *modules) sums(path, version string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	files := m.files[path+"@"+version]
	if files == nil {
		return nil, os.ErrNotExist
	}
	zipped, err := hashed(path, version, files)
	if err != nil {
		return nil, err
	}
	mod, err := dirhash.Hash1([]string{"go.mod"}, opener(files, ""))
	return fmt.Appendf(nil, "%s %s %s\n%[1]s %[2]s/go.mod %[4]s\n", path, version, zipped, mod), err
}

func hashed(path, version string, files map[string]string) (string, error) {
	prefix := path + "@" + version + "/"
	var names []string
	for name := range files {
		names = append(names, prefix+name)
	}
	return dirhash.Hash1(names, opener(files, prefix))
}

func opener(files map[string]string, prefix string) func(string) (io.ReadCloser, error) {
	return func(name string) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(files[strings.TrimPrefix(name, prefix)])), nil
	}
}

func (m *modules) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	_, password, _ := r.BasicAuth()
	known := m.token == "" || m.token == password
	m.requests = append(m.requests, r.URL.Path)
	m.mu.Unlock()
	if !known {
		http.Error(w, "who are you?", http.StatusUnauthorized)
		return
	}
	if strings.HasPrefix(r.URL.Path, "/sumdb/") {
		if strings.HasSuffix(r.URL.Path, "/supported") {
			return
		}
		m.db.ServeHTTP(w, r)
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	escaped, rest, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/@")
	path, err := module.UnescapePath(escaped)
	if !ok || err != nil || m.latest[path] == "" {
		http.NotFound(w, r)
		return
	}
	if rest == "latest" {
		rest = "v/" + m.latest[path] + ".info"
	}
	name := strings.TrimPrefix(rest, "v/")
	if name == "list" {
		for at := range m.files {
			if version, ok := strings.CutPrefix(at, path+"@"); ok {
				fmt.Fprintln(w, version)
			}
		}
		return
	}
	kind := filepath.Ext(name)
	version := strings.TrimSuffix(name, kind)
	files := m.files[path+"@"+version]
	switch {
	case files == nil:
		http.NotFound(w, r)
	case kind == ".info":
		json.NewEncoder(w).Encode(map[string]string{"Version": version, "Time": "2026-01-02T03:04:05Z"})
	case kind == ".mod":
		w.Write([]byte(files["go.mod"]))
	case kind == ".zip":
		var b bytes.Buffer
		z := zip.NewWriter(&b)
		for name, content := range files {
			f, _ := z.Create(path + "@" + version + "/" + name)
			f.Write([]byte(content))
		}
		z.Close()
		w.Write(b.Bytes())
	}
}

// asked lists the requests so far, and forgets them.
func (m *modules) asked() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	list := m.requests
	m.requests = nil
	return slices.Compact(list)
}

// newGoOwner is a user whose Go asks the test's proxy and database, with further
// lines of Go's configuration, which come first.
func newGoOwner(t *testing.T, m *modules, settings ...string) *owner {
	t.Helper()
	if _, err := exec.LookPath("go"); err != nil {
		lack(t, "go is not in PATH")
	}
	o := newBareOwner(t)
	o.write("config/go/env", strings.Join(append([]string{"GOPROXY=" + m.server.URL + ",direct", "GOSUMDB=" + m.key}, settings...), "\n")+"\n")
	return o
}
