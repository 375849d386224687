package containerd

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/mcpbox/mcpbox/integration/image"
)

// TestBombs: an image that unpacks to more than there may be is found before it is
// unpacked, by its bytes and by its files.
func TestBombs(t *testing.T) {
	c, ctx := dial(t), t.Context()
	list, err := c.Import(ctx, bytes.NewReader(packed(t, "example.com/x:1", strings.Repeat("0", 1<<20))), "")
	if err != nil {
		t.Fatal(err)
	}
	records, err := c.records(ctx, list[0].Ref)
	if err != nil {
		t.Fatal(err)
	}
	store := c.c.ContentStore()
	m, err := images.Manifest(ctx, store, records[0].Target, platform())
	if err != nil {
		t.Fatal(err)
	}
	if m.Layers[0].Size > 64<<10 {
		t.Fatalf("the layer has %d bytes, and is no bomb", m.Layers[0].Size)
	}
	for _, x := range []struct {
		bytes int64
		files int
		want  string
	}{
		{2 << 20, 100, ""},
		{1 << 20, 100, "unpacked, there are more than"},
		{2 << 20, 3, "there are more than"},
	} {
		err := checkLayer(ctx, store, m.Layers[0], &tally{x.bytes, x.files})
		if (err != nil) != (x.want != "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%v; want %q", err, x.want)
		}
	}
	// All images of an archive together are bounded.
	left := &tally{2 << 20, 100}
	if err := checkLayers(ctx, store, records[0].Target, left); err != nil {
		t.Error(err)
	}
	if err := checkLayers(ctx, store, records[0].Target, left); err != errUnpacked && !errors.Is(err, errUnpacked) {
		t.Errorf("the same once more: %v", err)
	}
}

// sparse is a file of an archive that is all hole: size bytes in three blocks.
func sparse(name string, size int64) []byte {
	block := func(kind byte, size int) []byte {
		b := make([]byte, 512)
		copy(b, name)
		copy(b[100:], fmt.Sprintf("0000644\x000000000\x000000000\x00%011o\x0000000000000\x00        %c", size, kind))
		copy(b[257:], "ustar\x0000")
		sum := 0
		for _, c := range b {
			sum += int(c)
		}
		copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
		return b
	}
	var records string
	for _, r := range []string{"size=" + fmt.Sprint(size), "map=0,0", "numblocks=1"} {
		r = " GNU.sparse." + r + "\n"
		records += fmt.Sprint(len(r)+2) + r
	}
	text := make([]byte, 512)
	copy(text, records)
	return slices.Concat(block(tar.TypeXHeader, len(records)), text, block(tar.TypeReg, 0))
}

// TestHoles: a file with holes, which is as large as it says once it is unpacked or
// kept, and takes no room in an archive, counts for what it is.
func TestHoles(t *testing.T) {
	const huge = 1 << 40
	// The control: tar reads it, and has that much to give.
	if h, err := tar.NewReader(bytes.NewReader(sparse("x", huge))).Next(); err != nil || h.Size != huge {
		t.Fatalf("%+v, %v", h, err)
	}
	c := dial(t)
	var out bytes.Buffer
	if err := image.Write(&out, image.Recipe{Ref: "example.com/x:1", Blocks: sparse("x", huge)}); err != nil {
		t.Fatal(err)
	}
	stop, cancel := context.WithTimeout(t.Context(), 10*time.Second) // before the disk is full
	defer cancel()
	if list, err := c.Import(stop, &out, ""); err == nil || !strings.Contains(err.Error(), "unpacked, there are more than") {
		t.Errorf("in a layer: %v, %v", list, err)
	}
	for _, x := range []struct {
		archive []byte
		most    int64
	}{
		{sparse("x", huge), maxArchive},
		{slices.Concat(sparse("a", 1<<20), sparse("b", 1<<20), sparse("c", 1)), 2 << 20},
	} {
		if err := filter(&bounded{left: 4 << 20}, bytes.NewReader(x.archive), x.most); err == nil || !strings.Contains(err.Error(), "the archive has files of more than") {
			t.Errorf("in the archive: %v", err)
		}
	}
}

// bounded takes so many bytes and forgets them.
type bounded struct{ left int }

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errors.New("it is written out")
	}
	return len(p), nil
}

// TestNewNames: directories that an archive does not list are made, too.
func TestNewNames(t *testing.T) {
	for _, x := range []struct {
		before, name string
		want         int
	}{
		{"", "a", 1}, {"", "a/b/c", 3}, {"a/", "a/b", 1}, {"a/b/c", "a/b/d", 1}, {"a/b/c", "./a/x/y/", 2}, {"ab/c", "a/c", 2},
		{"a/b", "a", 1}, {"a", "a", 1}, {"a/b", "", 1}, {"", "/" + strings.Repeat("d/", 2000), 2001},
	} {
		if n := newNames(x.before, x.name); n < x.want || n > x.want+1 {
			t.Errorf("%q after %q: %d, not %d", cut(x.name), x.before, n, x.want)
		}
	}
	var archive bytes.Buffer
	tw := tar.NewWriter(&archive)
	for i := range 10 {
		if err := tw.WriteHeader(&tar.Header{Name: fmt.Sprint(i, strings.Repeat("/d", 1000)), Typeflag: tar.TypeDir}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := checkTar(t.Context(), tar.NewReader(&archive), &tally{maxUnpacked, 5000}); err == nil || !strings.Contains(err.Error(), "more than") {
		t.Errorf("ten names of 10000 directories: %v", err)
	}
}
