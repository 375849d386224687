package containerd

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/mcpbox/mcpbox/integration/ctr"
	"github.com/mcpbox/mcpbox/integration/image"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
)

// dial connects to a containerd that ends with the test.
func dial(t *testing.T) *Client {
	t.Helper()
	c, err := Dial(t.Context(), ctr.Start(t).Address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// packed is an archive of an image with one file of this content.
func packed(t *testing.T, ref, content string) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := image.Write(&out, image.Recipe{
		Ref: ref, Files: map[string]string{"/app/file": file}, Config: imagespec.ImageConfig{Entrypoint: []string{"/app/file"}, Env: []string{"A=b"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestImages: what is imported is listed, found by reference and digest, does not
// take the place of what had its name before, and is removed.
func TestImages(t *testing.T) {
	c, ctx := dial(t), t.Context()
	const ref = "example.com/team/x:1"
	if _, err := c.Image(ctx, ref, ""); !errors.As(err, new(*NotFoundError)) {
		t.Fatalf("before there is any: %v", err)
	}
	var digests []string
	for _, content := range []string{"one", "two"} {
		list, err := c.Import(ctx, bytes.NewReader(packed(t, ref, content)), "")
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		if im := list[0]; im.Ref != ref || im.Source != "archive" || !slices.Equal(im.Config.Entrypoint, []string{"/app/file"}) {
			t.Errorf("%+v", im)
		}
		digests = append(digests, list[0].Digest)
	}
	if digests[0] == digests[1] {
		t.Fatal("two contents with one digest")
	}
	for i, d := range digests {
		if im, err := c.Image(ctx, ref, d); err != nil || im.Digest != d {
			t.Errorf("image %d: %v, %v", i, im, err)
		}
	}
	im, err := c.Image(ctx, ref, "")
	if err != nil || im.Digest != digests[1] {
		t.Errorf("the newest is %v, %v", im, err)
	}
	if _, err := c.c.SnapshotService(Snapshotter).Stat(ctx, im.ChainID); err != nil {
		t.Errorf("not unpacked: %v", err)
	}
	if err := c.Remove(ctx, im); err != nil {
		t.Fatal(err)
	}
	if err := c.Remove(ctx, im); !errors.As(err, new(*NotFoundError)) {
		t.Errorf("removed twice: %v", err)
	}
	list, err := c.Images(ctx)
	if err != nil || len(list) != 1 || list[0].Digest != digests[0] {
		t.Errorf("left: %v, %v", list, err)
	}
	// Imported again, it is the same, and newest.
	again, err := c.Import(ctx, bytes.NewReader(packed(t, ref, "two")), "")
	if err != nil || again[0].Digest != digests[1] {
		t.Errorf("the same files are not the same image: %v", err)
	}
}

// TestHostileArchives: each is refused with these words, and nothing is left of it.
func TestHostileArchives(t *testing.T) {
	c, ctx := dial(t), t.Context()
	// Each has content of its own: what containerd has by the right digest, from the
	// one before, would do for another's that is missing.
	contents := 0
	fresh := func() []byte {
		contents++
		return packed(t, "example.com/x:1", fmt.Sprint("content ", contents))
	}
	good := fresh()
	change := func(f func(h *tar.Header, data []byte) []byte) []byte {
		var out bytes.Buffer
		good := fresh()
		tw, tr := tar.NewWriter(&out), tar.NewReader(bytes.NewReader(good))
		for {
			h, err := tr.Next()
			if err == io.EOF {
				break
			}
			data, _ := io.ReadAll(tr)
			data = f(h, data)
			h.Size = int64(len(data))
			if err := tw.WriteHeader(h); err != nil {
				t.Fatal(err)
			}
			tw.Write(data)
		}
		tw.Close()
		return out.Bytes()
	}
	layer := func(files ...*tar.Header) []byte { // an image with this layer
		var out bytes.Buffer
		if err := image.Write(&out, image.Recipe{Ref: "example.com/x:1", Raw: files}); err != nil {
			t.Fatal(err)
		}
		return out.Bytes()
	}
	for _, c2 := range []struct {
		name, want string
		data       []byte
	}{
		{"nothing", "import: it is empty", nil},
		{"no archive", `it is no archive of an image: it begins with "texttext`, []byte(strings.Repeat("text", 1000))},
		{"a short text", `it is no archive of an image: it begins with "not found\n"`, []byte("not found\n")},
		{"compressed", "it is compressed with gzip, and has to be unpacked first, with gzip -dc", []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + strings.Repeat("x", 1000))},
		{"compressed otherwise", "it is compressed with Zstandard", []byte("\x28\xb5\x2f\xfd" + strings.Repeat("x", 1000))},
		{"an archive of nothing", "the archive has no files", make([]byte, 10240)},
		{"an archive of something else", `of 1 files, such as "README", none is index.json or manifest.json`, tarOf(t, "README")},
		{"an archive of a container", `it has the files of a container ("etc/passwd"), as docker export writes them`, tarOf(t, "etc/passwd", "dev/null")},
		{"an image in a directory", `the archive has its image in a directory, "image/"`, tarOf(t, "image/oci-layout", "image/index.json")},
		{"half an archive", "or cut off", good[:len(good)/2]},
		{"an archive that ends in a file", "the archive is cut off, at \"blobs/sha256/", good[:len(good)/2-500]},
		{"a blob that is another", "not found", change(func(h *tar.Header, data []byte) []byte {
			if strings.HasPrefix(h.Name, "blobs/") && bytes.HasPrefix(data, []byte("{\"created\"")) {
				return append([]byte("{ "), data[1:]...)
			}
			return data
		})},
		{"a size that is another", "it says that sha256:", change(func(h *tar.Header, data []byte) []byte {
			if h.Name == "index.json" {
				return bytes.Replace(data, []byte(`"size":`), []byte(`"size":1`), 1)
			}
			return data
		})},
		{"a type that is another", "it is no image that can be run", change(func(h *tar.Header, data []byte) []byte {
			if h.Name == "index.json" {
				return bytes.ReplaceAll(data, []byte("application/vnd.oci.image.manifest.v1+json"), []byte("application/octet-stream"))
			}
			return data
		})},
		{"a path that leads out", "which would lie outside", change(func(h *tar.Header, data []byte) []byte {
			if h.Name == "oci-layout" {
				h.Name = "../../../../tmp/mcpbox-was-here"
			}
			return data
		})},
		{"a link that leads out", "which would lie outside", change(func(h *tar.Header, data []byte) []byte {
			if h.Name == "oci-layout" {
				h.Typeflag, h.Linkname, data = tar.TypeSymlink, "../../etc/passwd", nil
			}
			return data
		})},
		{"a device", "neither a file nor a directory", change(func(h *tar.Header, data []byte) []byte {
			if h.Name == "oci-layout" {
				h.Typeflag, data = tar.TypeBlock, nil
			}
			return data
		})},
		{"a huge document", "are read at most", change(func(h *tar.Header, data []byte) []byte {
			if h.Name == "index.json" {
				return append(data, bytes.Repeat([]byte(" "), maxDocument)...)
			}
			return data
		})},
		{"a file of a layer that leads out", "which would lie outside", layer(&tar.Header{Name: "a/../../etc/x", Typeflag: tar.TypeReg})},
		{"a link of a layer that leads out", "which lies outside", layer(&tar.Header{Name: "x", Linkname: "../../etc/shadow", Typeflag: tar.TypeLink})},
	} {
		t.Run(c2.name, func(t *testing.T) {
			list, err := c.Import(ctx, bytes.NewReader(c2.data), "")
			if err == nil || !strings.Contains(err.Error(), c2.want) {
				t.Errorf("%v, %v\nwant %s", list, err, c2.want)
			}
			if left, err := c.Images(ctx); err != nil || len(left) > 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		})
	}
	// The control: what all of these were made of.
	if _, err := c.Import(ctx, bytes.NewReader(good), ""); err != nil {
		t.Errorf("the image without a change: %v", err)
	}
}

// tarOf is an archive of files with these names.
func tarOf(t *testing.T, names ...string) []byte {
	t.Helper()
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	for _, name := range names {
		if err := tw.WriteHeader(&tar.Header{Name: name, Size: 4, Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(tw, "text")
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestImportNames: who names an image, and what is no name.
func TestImportNames(t *testing.T) {
	c, ctx := dial(t), t.Context()
	for _, x := range []struct{ in, flag, want, err string }{
		{"", "", "", "give it one: --ref"},
		{"", "x", "docker.io/library/x:latest", ""},
		{"example.com/a:1", "", "example.com/a:1", ""},
		{"example.com/a:1", "example.com/b:2", "example.com/b:2", ""},
		{"Not A Name", "", "", "is no reference of an image"},
		{"example.com/a:1", "example.com/a@sha256:" + strings.Repeat("0", 64), "", "the archive names its image"},
	} {
		list, err := c.Import(ctx, bytes.NewReader(packed(t, x.in, "x")), x.flag)
		switch {
		case x.err != "" && (err == nil || !strings.Contains(err.Error(), x.err)):
			t.Errorf("%q, %q: %v; want %s", x.in, x.flag, err, x.err)
		case x.err == "" && (err != nil || list[0].Ref != x.want):
			t.Errorf("%q, %q: %v, %v", x.in, x.flag, list, err)
		}
	}
}

// TestImportOverLeftovers: an import that was killed halfway does not spoil the next.
func TestImportOverLeftovers(t *testing.T) {
	c := dial(t)
	archive := packed(t, "example.com/x:1", "x")
	// What a killed one leaves: content begun under the name that the next uses.
	w, err := c.c.ContentStore().Writer(t.Context(), content.WithRef("tar-index.json"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("something else")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Import(t.Context(), bytes.NewReader(archive), ""); err != nil {
		t.Error(err)
	}
}

// TestDialNowhere says what to do.
func TestDialNowhere(t *testing.T) {
	_, err := Dial(context.Background(), filepath.Join(t.TempDir(), "none.sock"))
	if err == nil || !strings.Contains(err.Error(), "there is no socket") || !strings.Contains(err.Error(), "it, type: sudo ") {
		t.Error(err)
	}
}

func TestParseReference(t *testing.T) {
	sum := "sha256:" + strings.Repeat("ab", 32)
	for _, x := range []struct{ text, ref, digest string }{
		{"node", "docker.io/library/node:latest", ""},
		{"mcp/fs:1", "docker.io/mcp/fs:1", ""},
		{"example.com:5000/a/b", "example.com:5000/a/b:latest", ""},
		{"localhost/x@" + sum, "localhost/x@" + sum, sum},
		{"localhost/x:2@" + sum, "localhost/x:2@" + sum, sum},
	} {
		ref, digest, err := ParseReference(x.text)
		if err != nil || ref != x.ref || digest != x.digest {
			t.Errorf("%s: %s %s %v", x.text, ref, digest, err)
		}
		// What it returns is a reference, too, and the same.
		if again, _, err := ParseReference(ref); err != nil || again != ref {
			t.Errorf("%s: read again it is %s, %v", ref, again, err)
		}
	}
	for _, text := range []string{"", "A", "a b", "http://example.com/x", "x@sha256:12", "../x", strings.Repeat("a/", 200) + "x"} {
		if ref, _, err := ParseReference(text); err == nil {
			t.Errorf("%q is %s", text, ref)
		}
	}
}
