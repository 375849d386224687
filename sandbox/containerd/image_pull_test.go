package containerd

import (
	"archive/tar"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mcpbox/mcpbox/integration/image"
	"github.com/opencontainers/go-digest"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
)

// serve starts a registry on the loopback interface, and returns its host and port.
func serve(t *testing.T, r *image.Registry) string {
	t.Helper()
	s := httptest.NewServer(r)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func push(t *testing.T, r *image.Registry, name, content string) string {
	t.Helper()
	digest, err := r.Push(name, packed(t, "", content))
	if err != nil {
		t.Fatal(err)
	}
	return digest
}

// TestPull: what a tag means is fetched, unpacked and kept; a tag that moves is
// another image, and a digest stays what it was.
func TestPull(t *testing.T) {
	c, ctx, r := dial(t), t.Context(), new(image.Registry)
	ref := serve(t, r) + "/team/x:1"
	one := push(t, r, "team/x:1", "one")
	if d, err := c.Resolve(ctx, ref, nil); err != nil || d != one {
		t.Fatalf("the tag means %s, %v", d, err)
	}
	im, err := c.Pull(ctx, ref, "", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if im.Ref != ref || im.Digest != one || im.Source != "registry" || im.Config.Entrypoint[0] != "/app/file" {
		t.Errorf("%+v", im)
	}
	two := push(t, r, "team/x:1", "two")
	if im, err := c.Image(ctx, ref, ""); err != nil || im.Digest != one {
		t.Errorf("what is here has changed: %v, %v", im, err)
	}
	if im, err := c.Pull(ctx, ref, "", nil, nil); err != nil || im.Digest != two {
		t.Errorf("pulled anew: %v, %v", im, err)
	}
	if err := c.Remove(ctx, im); err != nil {
		t.Fatal(err)
	}
	if im, err := c.Pull(ctx, ref, one, nil, nil); err != nil || im.Digest != one {
		t.Errorf("by its digest: %v, %v", im, err)
	}
	before := len(r.Requests())
	if _, err := c.Image(ctx, ref, two); err != nil || len(r.Requests()) != before {
		t.Errorf("an image that is here asks the registry: %v, %v", r.Requests()[before:], err)
	}
}

// TestHostileRegistry: each answer is refused with these words, and nothing is left.
func TestHostileRegistry(t *testing.T) {
	c, ctx := dial(t), t.Context()
	isLayer := func(data []byte) bool { return bytes.HasPrefix(data, []byte{0x1f, 0x8b}) }
	for i, x := range []struct {
		name, want string
		send       func(w http.ResponseWriter, req *http.Request, data []byte)
	}{
		{"another layer", "", func(w http.ResponseWriter, _ *http.Request, data []byte) {
			if isLayer(data) {
				data = bytes.Repeat([]byte("x"), len(data))
			}
			w.Write(data)
		}},
		{"a layer without an end", "expected size", func(w http.ResponseWriter, req *http.Request, data []byte) {
			w.Write(data)
			for isLayer(data) && req.Context().Err() == nil {
				if _, err := w.Write(data); err != nil {
					return
				}
			}
		}},
		{"another manifest", "", func(w http.ResponseWriter, req *http.Request, data []byte) {
			if strings.Contains(req.URL.Path, "/manifests/") {
				data = append([]byte(" "), data...)
			}
			w.Write(data)
		}},
		{"no layer", "does not have, or not all of, ", func(w http.ResponseWriter, req *http.Request, data []byte) {
			if isLayer(data) {
				http.NotFound(w, req)
				return
			}
			w.Write(data)
		}},
	} {
		t.Run(x.name, func(t *testing.T) {
			r := &image.Registry{Send: x.send}
			ref := serve(t, r) + "/x:1"
			push(t, r, "x:1", fmt.Sprint("content ", i))
			im, err := c.Pull(ctx, ref, "", nil, nil)
			if err == nil || !strings.Contains(err.Error(), x.want) {
				t.Errorf("%v, %v\nwant %s", im, err, x.want)
			}
			if left, err := c.Images(ctx); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
			// The control: the same registry, when it behaves.
			r.Send = nil
			if im, err := c.Pull(ctx, ref, "", nil, nil); err != nil {
				t.Error(err)
			} else if err := c.Remove(ctx, im); err != nil {
				t.Error(err)
			}
		})
	}
}

// remade is an archive of packed with another manifest.
func remade(t *testing.T, content string, change func(*imagespec.Manifest)) []byte {
	t.Helper()
	files := map[string][]byte{}
	var names []string
	for tr := tar.NewReader(bytes.NewReader(packed(t, "", content))); ; {
		h, err := tr.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name], _ = io.ReadAll(tr)
		names = append(names, h.Name)
	}
	var index imagespec.Index
	var m imagespec.Manifest
	if err := json.Unmarshal(files["index.json"], &index); err != nil {
		t.Fatal(err)
	}
	old := "blobs/sha256/" + index.Manifests[0].Digest.Encoded()
	if err := json.Unmarshal(files[old], &m); err != nil {
		t.Fatal(err)
	}
	change(&m)
	data, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	index.Manifests[0].Digest, index.Manifests[0].Size = digest.FromBytes(data), int64(len(data))
	name := "blobs/sha256/" + digest.FromBytes(data).Encoded()
	files[name], names[slices.Index(names, old)] = data, name
	if files["index.json"], err = json.Marshal(index); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	for _, name := range names {
		if err := tw.WriteHeader(&tar.Header{Name: name, Size: int64(len(files[name])), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		tw.Write(files[name])
	}
	tw.Close()
	return out.Bytes()
}

// TestContentElsewhere: an image cannot have this machine ask hosts for it that no
// person has named.
func TestContentElsewhere(t *testing.T) {
	c, r := dial(t), new(image.Registry)
	ref := serve(t, r) + "/x:1"
	asked := make(chan string, 10)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked <- req.URL.Path
		http.NotFound(w, req)
	}))
	defer elsewhere.Close()
	archive := remade(t, "x", func(m *imagespec.Manifest) { m.Layers[0].URLs = []string{elsewhere.URL + "/secret"} })
	if _, err := r.Push("x:1", archive); err != nil {
		t.Fatal(err)
	}
	if im, err := c.Pull(t.Context(), ref, "", nil, nil); err == nil || !strings.Contains(err.Error(), "at addresses of its own") {
		t.Errorf("%v, %v", im, err)
	}
	select {
	case path := <-asked:
		t.Errorf("asked for %s", path)
	default:
	}
	// The control: the same without an address.
	if _, err := r.Push("x:1", remade(t, "x", func(*imagespec.Manifest) {})); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Pull(t.Context(), ref, "", nil, nil); err != nil {
		t.Error(err)
	}
}

// TestDocuments: documents that lead to more documents come to an end.
func TestDocuments(t *testing.T) {
	b := new(bounds)
	for i := range maxDocuments + 1 {
		d := imagespec.Descriptor{MediaType: imagespec.MediaTypeImageIndex, Digest: digest.FromString(fmt.Sprint(i)), Size: 1}
		_, err := b.Handle(t.Context(), d)
		if (err != nil) != (i == maxDocuments) || err != nil && !strings.Contains(err.Error(), "documents") {
			t.Errorf("document %d: %v", i+1, err)
		}
	}
}

// TestCredentials: a registry is told what the user has for it, and no other
// registry is.
func TestCredentials(t *testing.T) {
	c, ctx := dial(t), t.Context()
	mine, other := &image.Registry{User: "ann", Password: "s3cret"}, &image.Registry{User: "ann", Password: "s3cret"}
	at, elsewhere := serve(t, mine), serve(t, other)
	push(t, mine, "x:1", "mine")
	push(t, other, "x:1", "other")
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	write := func(text string) {
		if err := os.WriteFile(filepath.Join(os.Getenv("DOCKER_CONFIG"), "config.json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pull := func(host string) error {
		_, err := c.Pull(ctx, host+"/x:1", "", DockerCredentials, nil)
		return err
	}
	if err := pull(at); err == nil {
		t.Error("pulled without a password")
	}
	write(fmt.Sprintf(`{"auths": {%q: {"auth": %q}}}`, at, base64.StdEncoding.EncodeToString([]byte("ann:s3cret"))))
	if err := pull(at); err != nil {
		t.Errorf("with the password: %v", err)
	}
	if err := pull(elsewhere); err == nil {
		t.Error("another registry has got the password")
	}
	// A program that keeps passwords.
	bin := t.TempDir()
	script := "#!/bin/sh\nread key; [ \"$key\" = " + elsewhere + " ] && echo '{\"Username\": \"ann\", \"Secret\": \"s3cret\"}' || { echo 'credentials not found in native keychain'; exit 1; }\n"
	if err := os.WriteFile(filepath.Join(bin, "docker-credential-test"), []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	write(fmt.Sprintf(`{"credHelpers": {%q: "test"}}`, elsewhere))
	if err := pull(elsewhere); err != nil {
		t.Errorf("with a program's password: %v", err)
	}
	write(`{"credsStore": "test"}`)
	if user, secret, err := DockerCredentials(at); user != "" || secret != "" || err != nil {
		t.Errorf("one that the program does not know: %q, %q, %v", user, secret, err)
	}
	for text, want := range map[string]string{
		`{"credsStore": "../../bin/sh"}`: "is no name of a program",
		`{`:                              "config.json",
		fmt.Sprintf(`{"auths": {%q: {"auth": "!"}}}`, at): "docker login " + at,
	} {
		write(text)
		if err := pull(at); err == nil || !strings.Contains(err.Error(), want) {
			// What containerd has already needs no fetching, but the tag is asked for.
			t.Errorf("%s: %v; want %s", text, err, want)
		}
	}
}
