package containerd

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
)

// described is content as an image would name it.
func described(mediaType string, size int64, name string) imagespec.Descriptor {
	return imagespec.Descriptor{MediaType: mediaType, Digest: digest.FromString(name), Size: size}
}

// TestBounds: what an image's documents say that there is to fetch comes to an end in
// each way.
func TestBounds(t *testing.T) {
	const layer, manifest = imagespec.MediaTypeImageLayerGzip, imagespec.MediaTypeImageManifest
	for _, x := range []struct {
		name  string
		times int // that it is all right before it is too much
		size  int64
		kind  string
		want  string
	}{
		{"layers", maxLayers, 1, layer, "more than 256 layers"},
		{"bytes", 8, maxFetched / 8, layer, "more than 8 GiB to fetch"},
		{"more bytes than can be counted", 1, maxFetched, layer, "more than 8 GiB to fetch"},
		{"nothing", 0, 0, layer, "has 0 bytes"},
		{"less than nothing", 0, -1, manifest, "has -1 bytes"},
		{"a document", 0, maxDocument + 1, manifest, "of which 4194304 are read"},
		{"something else", 0, 1, "text/plain", `content of the type "text/plain"`},
	} {
		b := new(bounds)
		for i := range x.times {
			if _, err := b.Handle(t.Context(), described(x.kind, x.size, fmt.Sprint(i))); err != nil {
				t.Errorf("%s, number %d: %v", x.name, i, err)
			}
		}
		size := x.size
		if x.name == "more bytes than can be counted" {
			size = 1<<63 - 1
		}
		if _, err := b.Handle(t.Context(), described(x.kind, size, "last")); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v; want %s", x.name, err, x.want)
		}
	}
	if _, err := new(bounds).Handle(t.Context(), imagespec.Descriptor{MediaType: layer, Digest: "sha256:../../x", Size: 1}); err == nil {
		t.Error("a digest that is none")
	}
}

// archive of n files that are empty, of which the first is an index.
func empty(t *testing.T, n int) []byte {
	t.Helper()
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	for i := range n {
		name := imagespec.ImageIndexFile
		if i > 0 {
			name = fmt.Sprint("blobs/sha256/", i)
		}
		if err := tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestManyFiles: files take room, also where there is nothing in them.
func TestManyFiles(t *testing.T) {
	for _, x := range []struct {
		files int
		most  int64
		want  string
	}{
		{maxArchiveFiles, maxArchive, ""},
		{maxArchiveFiles + 1, maxArchive, "more than 4096 files"},
		{100, 10 << 10, "the archive has more than"},
	} {
		err := filter(&bounded{left: 64 << 20}, bytes.NewReader(empty(t, x.files)), x.most)
		if (err != nil) != (x.want != "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%d files in %d bytes: %v; want %q", x.files, x.most, err, x.want)
		}
	}
}

// TestManyBytes: an archive that is too large is not said to be cut off, wherever in it
// the bound is, nor is one cut off said to be too large.
func TestManyBytes(t *testing.T) {
	var out bytes.Buffer
	tw := tar.NewWriter(&out)
	for _, name := range []string{imagespec.ImageIndexFile, "blobs/sha256/0"} {
		if err := tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: 2048}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write(make([]byte, 2048)); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	const tooLarge, cutOff = "the archive has more than 0 MiB", "the archive is cut off"
	for _, x := range []struct {
		have int
		most int64
		want string
	}{
		{out.Len(), int64(out.Len()), ""},
		{out.Len(), 4700, tooLarge}, // in the second file
		{out.Len(), 2700, tooLarge}, // in its header
		{out.Len(), 2560, tooLarge}, // between the files
		{4700, maxArchive, cutOff},
		{2700, maxArchive, cutOff},
	} {
		err := filter(&bounded{left: 64 << 20}, bytes.NewReader(out.Bytes()[:x.have]), x.most)
		if (err != nil) != (x.want != "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%d bytes where there may be %d: %v; want %q", x.have, x.most, err, x.want)
		}
	}
}

// TestManyImages: one name is one image's, and an archive has no end of them.
func TestManyImages(t *testing.T) {
	c := dial(t)
	// Without a lease the blobs are garbage, which containerd first collects a
	// moment after it has started.
	ctx, done, err := c.c.WithLease(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer done(ctx)
	store := c.c.ContentStore()
	kept := func(data []byte) imagespec.Descriptor {
		t.Helper()
		d := imagespec.Descriptor{MediaType: imagespec.MediaTypeImageIndex, Digest: digest.FromBytes(data), Size: int64(len(data))}
		if err := content.WriteBlob(ctx, store, d.Digest.String(), bytes.NewReader(data), d); err != nil {
			t.Fatal(err)
		}
		return d
	}
	for _, x := range []struct {
		images int
		ref    string
		want   string
	}{
		{1, "example.com/x:1", ""}, {2, "example.com/x:1", "of which not all can have the name"}, {2, "", ""},
		{maxArchiveFiles + 1, "", "too many images"}, {0, "", "has no image"},
	} {
		var index imagespec.Index
		for i := range x.images {
			d := described(imagespec.MediaTypeImageManifest, 1, fmt.Sprint(i))
			d.Annotations = map[string]string{imagespec.AnnotationRefName: fmt.Sprint("example.com/x:", i)}
			index.Manifests = append(index.Manifests, d)
		}
		data, err := json.Marshal(index)
		if err != nil {
			t.Fatal(err)
		}
		list, err := named(ctx, store, kept(data), x.ref)
		if (err != nil) != (x.want != "") || err != nil && !strings.Contains(err.Error(), x.want) || err == nil && len(list) != x.images {
			t.Errorf("%d images: %d, %v; want %q", x.images, len(list), err, x.want)
		}
	}
	// What lies behind the end of a layer's archive is unpacked, too.
	data := append(empty(t, 1), make([]byte, 1<<20)...)
	if err := checkLayer(ctx, store, kept(data), &tally{1 << 19, 100}); !errors.Is(err, errUnpacked) {
		t.Errorf("behind the end: %v", err)
	}
	if err := checkLayer(ctx, store, kept(append(data, 0)), &tally{1 << 21, 100}); err != nil {
		t.Errorf("the control: %v", err)
	}
}
