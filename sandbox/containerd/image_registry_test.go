package containerd

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/integration/image"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
)

// refused pulls what cannot be had, and returns why.
func refused(t *testing.T, c *Client, ref, digest string, credentials Credentials) string {
	t.Helper()
	im, err := c.Pull(t.Context(), ref, digest, credentials, nil)
	if err == nil {
		t.Fatalf("%s: pulled %v", ref, im)
	}
	if !errors.As(err, new(*RegistryError)) {
		t.Errorf("%s: %T: %v", ref, err, err)
	}
	t.Log(err)
	return err.Error()
}

// has reports what a text does not have of these.
func has(t *testing.T, text string, all ...string) {
	t.Helper()
	for _, s := range all {
		if !strings.Contains(text, s) {
			t.Errorf("no %q in %q", s, text)
		}
	}
}

// TestNoSuchImage: what a registry does not have is told apart, and what it has
// instead is named.
func TestNoSuchImage(t *testing.T) {
	c, r := dial(t), new(image.Registry)
	host := serve(t, r)
	for _, tag := range []string{"1.0", "1.1", "latest"} {
		push(t, r, "team/x:"+tag, tag)
	}
	has(t, refused(t, c, host+"/team/x:1.2", "", nil), host+" has team/x, but not with the tag 1.2; it has 1.0, 1.1, latest; ", "type, for example: mcpbox image pull "+host+"/team/x:1.0")
	has(t, refused(t, c, host+"/team/y:1", "", nil), host+" has no repository team/y; look at the name", "type: "+loginCommand(host), "mcpbox image pull "+host+"/team/y:1")
	gone := "sha256:" + strings.Repeat("0", 64)
	has(t, refused(t, c, host+"/team/x:1.0", gone, nil), host+" does not have, or not all of, "+host+"/team/x:1.0@"+gone)
	for i := range 20 {
		push(t, r, fmt.Sprint("team/x:2.", i), "many")
	}
	has(t, refused(t, c, host+"/team/x:3", "", nil), "and 15 more")
	// The control: what it has.
	if _, err := c.Pull(t.Context(), host+"/team/x:1.0", "", nil, nil); err != nil {
		t.Error(err)
	}
}

// TestTagsOfAnybody: a registry says nothing on the user's terminal, whatever it calls
// a tag, and however many there are.
func TestTagsOfAnybody(t *testing.T) {
	c := dial(t)
	for list, want := range map[string]string{
		`{"tags": ["\u001b[2J", "; rm -rf /", "good", "` + strings.Repeat("x", 200) + `"]}`:      "it has good; ",
		`{"tags": ["` + strings.Repeat(strings.Repeat("x", 100)+`", "`, maxTags/100) + `last"]}`: "has no image x:1; look at the name and the tag",
		`[]`:             "has no image x:1",
		`{"tags": null}`: "has no image x:1",
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if !strings.HasSuffix(req.URL.Path, "/tags/list") {
				http.NotFound(w, req)
				return
			}
			fmt.Fprint(w, list)
		}))
		has(t, refused(t, c, strings.TrimPrefix(s.URL, "http://")+"/x:1", "", nil), want)
		s.Close()
	}
}

// TestRegistryWantsLogin: who is not let in is told what to type; who has been told a
// password, that it was refused. The password is in no error, whatever the registry
// says.
func TestRegistryWantsLogin(t *testing.T) {
	c, r := dial(t), &image.Registry{User: "ann", Password: "s3cret"}
	host := serve(t, r)
	push(t, r, "x:1", "x")
	as := func(password string) Credentials {
		return func(string) (string, string, error) { return "ann", password, nil }
	}
	has(t, refused(t, c, host+"/x:1", "", nil), host+" asks for a login", "look at the name; to log in, type: "+loginCommand(host)+"; then type: mcpbox image pull "+host+"/x:1")
	wrong := refused(t, c, host+"/x:1", "", as("wr0ng"))
	has(t, wrong, host+" refuses the login that is kept for it", "to log in, anew or as another user, type: "+loginCommand(host))
	encoded := base64.StdEncoding.EncodeToString([]byte("ann:wr0ng"))
	if strings.Contains(wrong, "wr0ng") || strings.Contains(wrong, encoded) {
		t.Errorf("the password is told: %s", wrong)
	}
	if _, err := c.Pull(t.Context(), host+"/x:1", "", as("s3cret"), nil); err != nil {
		t.Errorf("the control: %v", err)
	}

	for _, x := range []struct {
		status     int
		says, want string
	}{
		{http.StatusForbidden, "not from this address", `forbids it ("not from this address")`},
		{http.StatusForbidden, "ann may not, with wr0ng", "forbids it; "},
		{http.StatusForbidden, "ann may not, with " + encoded, "forbids it; "},
		{http.StatusTooManyRequests, "slow down", "was asked too often from here; wait, or, as it may allow more to whoever is logged in: to log in"},
		{http.StatusForbidden, `it is\u001b[2J over`, `forbids it ("it is\x1b[2J over")`},
		{http.StatusBadGateway, "it is down", `answers "502 Bad Gateway", which is its own trouble as a rule; to see what it answers, type: curl -I `},
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			if _, _, ok := req.BasicAuth(); !ok {
				w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			w.WriteHeader(x.status)
			fmt.Fprintf(w, `{"errors": [{"code": "DENIED", "message": "%s"}]}`, x.says)
		}))
		host := strings.TrimPrefix(s.URL, "http://")
		has(t, refused(t, c, host+"/x:1", "", as("wr0ng")), host+" "+x.want)
		s.Close()
	}
}

// TestLoginCommand: what is there is named, so that its login is found.
func TestLoginCommand(t *testing.T) {
	bin := t.TempDir()
	t.Setenv("PATH", bin)
	for _, x := range []struct{ there, want string }{
		{"", "docker login example.com"},
		{"podman", "podman login --authfile ~/.docker/config.json example.com"},
		{"docker", "docker login example.com"},
	} {
		if x.there != "" {
			if err := os.WriteFile(filepath.Join(bin, x.there), []byte("#!/bin/true\n"), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		if got := loginCommand("example.com"); got != x.want {
			t.Errorf("with %q: %s", x.there, got)
		}
	}
}

// TestRegistryIsNotReached: what has come between is said.
func TestRegistryIsNotReached(t *testing.T) {
	c := dial(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := l.Addr().String()
	l.Close()
	has(t, refused(t, c, nobody+"/x:1", "", nil), nobody+" cannot be reached: nobody listens there (connection refused)",
		"type: curl -I http://"+nobody+"/v2/; then type: mcpbox image pull "+nobody+"/x:1")
	has(t, refused(t, c, "registry.invalid/x:1", "", nil), "registry.invalid cannot be reached: ", "registry.invalid", "type: mcpbox image pull registry.invalid/x:1")

	// One that sends us on, with a secret in the address.
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "http://"+nobody+"/blob?signature=s3cret", http.StatusTemporaryRedirect)
	}))
	defer s.Close()
	host := strings.TrimPrefix(s.URL, "http://")
	sent := refused(t, c, host+"/x:1", "", nil)
	if _, err := c.Pull(t.Context(), host+"/x:1", "", nil, nil); !strings.Contains(fmt.Sprint(errors.Unwrap(errors.Unwrap(err))), "s3cret") {
		t.Error("there is no secret to keep: the test proves nothing")
	}
	has(t, sent, host+" sends us to "+nobody+", which cannot be reached: nobody listens there")
	if strings.Contains(sent, "s3cret") {
		t.Errorf("the secret is told: %s", sent)
	}
}

// TestTLSOfRegistry: what is wrong with a certificate, and where there is no TLS.
func TestTLSOfRegistry(t *testing.T) {
	plain := httptest.NewServer(new(image.Registry))
	defer plain.Close()
	secure := httptest.NewUnstartedServer(new(image.Registry))
	secure.Config.ErrorLog = nil
	secure.StartTLS()
	defer secure.Close()
	for address, want := range map[string]string{
		plain.Listener.Addr().String():  " does not speak TLS, without which only registries of this machine (localhost) are asked",
		secure.Listener.Addr().String(): " has a certificate of an authority that this machine does not know",
	} {
		r := newRegistry(address, nil)
		r.hosts.plain = false
		resp, err := r.get(t.Context(), "/v2/")
		if err == nil {
			resp.Body.Close()
			t.Fatal("reached")
		}
		has(t, r.explain(t.Context(), address+"/x:1", err).Error(), address+want)
	}
}

// TestProxyIsNotReached: a password of the proxy's is not told.
func TestProxyIsNotReached(t *testing.T) {
	// Go reads the variable once for each process.
	out := again(t, "TestPullByProxy", "MCPBOX_TEST_PULL=registry.example/x:1", "HTTPS_PROXY=http://ann:s3cret@127.0.0.1:1")
	has(t, out, "registry.example cannot be reached by way of the proxy 127.0.0.1:1: the proxy does not answer (connection refused)")
	if strings.Contains(out, "s3cret") {
		t.Errorf("the password is told: %s", out)
	}
}

// again runs another test, in a process of its own.
func again(t *testing.T, test string, env ...string) string {
	t.Helper()
	cmd := exec.Command("/proc/self/exe", "-test.run=^"+test+"$", "-test.v")
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v: %s", test, err, out)
	}
	return string(out)
}

// TestPullByProxy is run by TestProxyIsNotReached.
func TestPullByProxy(t *testing.T) {
	ref := os.Getenv("MCPBOX_TEST_PULL")
	if ref == "" {
		t.Skip("TestProxyIsNotReached runs it")
	}
	r := newRegistry(registryOf(ref), nil)
	_, _, err := resolve(t.Context(), r.resolver, ref, "")
	fmt.Println(r.explain(t.Context(), ref, err))
}

// TestOtherMachines: an image that is not for this machine says for which it is.
func TestOtherMachines(t *testing.T) {
	c, r := dial(t), new(image.Registry)
	host := serve(t, r)
	refused := func(how string, err error) {
		t.Helper()
		if err == nil || !strings.Contains(err.Error(), "it is not for this machine, linux/"+runtime.GOARCH+", but for linux/s390x") {
			t.Errorf("%s: %v", how, err)
		}
	}
	for _, arch := range []string{"s390x", runtime.GOARCH} {
		var archive bytes.Buffer
		file := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(file, []byte(arch), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := image.Write(&archive, image.Recipe{Files: map[string]string{"/file": file}, Architecture: arch}); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Push("x:1", archive.Bytes()); err != nil {
			t.Fatal(err)
		}
		_, pulled := c.Pull(t.Context(), host+"/x:1", "", nil, nil)
		_, imported := c.Import(t.Context(), &archive, "example.com/x:1")
		if arch == runtime.GOARCH {
			if pulled != nil || imported != nil {
				t.Errorf("the control: %v, %v", pulled, imported)
			}
			continue
		}
		refused("pulled", pulled)
		refused("imported", imported)
	}

	index, err := json.Marshal(imagespec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: imagespec.MediaTypeImageIndex,
		Manifests: []imagespec.Descriptor{{
			MediaType: imagespec.MediaTypeImageManifest, Digest: digest.FromString("x"), Size: 1,
			Platform: &imagespec.Platform{OS: "linux", Architecture: "s390x"},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", imagespec.MediaTypeImageIndex)
		w.Write(index)
	}))
	defer s.Close()
	_, err = c.Pull(t.Context(), strings.TrimPrefix(s.URL, "http://")+"/x:1", "", nil, nil)
	refused("an index", err)
}
