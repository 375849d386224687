package containerd

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
)

// An image may be this large, which is several times what those in use are.
// containerd itself has no bounds: a few kilobytes can unpack to a full disk.
const (
	maxDocument  = 4 << 20   // an index, a manifest, a configuration: it is read into memory
	maxDocuments = 16        // of which an image has three, or one more for each index in an index
	maxLayers    = 256       // overlayfs takes 500
	maxFetched   = 8 << 30   // all layers, compressed
	maxUnpacked  = 16 << 30  // all layers' files, of all images of an archive
	maxFiles     = 1_000_000 // files and directories in all of those layers
)

// bounds are what an image's documents say that there is to fetch. It looks at
// each part before it is fetched or read.
type bounds struct {
	// store has the content already, whose size is compared with what is said
	// of it; nil if it is to be fetched.
	store content.Store

	mu        sync.Mutex
	seen      []imagespec.Descriptor
	documents int
	layers    int
	bytes     int64
}

// Handle is an [images.Handler].
func (b *bounds) Handle(ctx context.Context, d imagespec.Descriptor) ([]imagespec.Descriptor, error) {
	if err := d.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("it names content by %q: %w", cut(d.Digest.String()), err)
	}
	if d.Size <= 0 {
		return nil, fmt.Errorf("it says that %s has %d bytes", d.Digest, d.Size)
	}
	if len(d.URLs) > 0 {
		// containerd would fetch it from there, whatever hosts of ours that are.
		return nil, fmt.Errorf("it has content at addresses of its own, such as %q, which are not asked", cut(d.URLs[0]))
	}
	if b.store != nil {
		if info, err := b.store.Info(ctx, d.Digest); err == nil && info.Size != d.Size {
			return nil, fmt.Errorf("it says that %s has %d bytes, which are %d", d.Digest, d.Size, info.Size)
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.seen = append(b.seen, d)
	switch {
	case images.IsLayerType(d.MediaType):
		b.layers++
		b.bytes += d.Size
		if b.layers > maxLayers {
			return nil, fmt.Errorf("it has more than %d layers", maxLayers)
		}
		if b.bytes > maxFetched || b.bytes < 0 {
			return nil, fmt.Errorf("it has more than %d GiB to fetch", maxFetched>>30)
		}
	case images.IsManifestType(d.MediaType), images.IsIndexType(d.MediaType), images.IsConfigType(d.MediaType):
		if b.documents++; b.documents > maxDocuments {
			return nil, fmt.Errorf("it has more than %d documents, of which one leads to the next", maxDocuments)
		}
		if d.Size > maxDocument {
			return nil, fmt.Errorf("it has a document of %d bytes, of which %d are read at most", d.Size, maxDocument)
		}
	default:
		return nil, fmt.Errorf("it is no image that can be run: it has content of the type %q", cut(d.MediaType))
	}
	return nil, nil
}

// forget has containerd drop what it has got of content that turned out to be
// another, which it would otherwise complete the next time, and find it wrong again.
func (b *bounds) forget(ctx context.Context, store content.Store) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range b.seen {
		_ = store.Abort(ctx, remotes.MakeRefKey(ctx, d)) // of which most have been completed
	}
}

// total is how much there is to fetch, as far as is known.
func (b *bounds) total() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.bytes
}

// tally is what may still be unpacked.
type tally struct {
	bytes int64 // of archives, and of files: one with holes has more than its archive
	files int
}

func newTally() *tally { return &tally{maxUnpacked, maxFiles} }

var errUnpacked = fmt.Errorf("unpacked, there are more than %d GiB", maxUnpacked>>30)

// checkLayers reads through all layers, before containerd unpacks them. That takes
// a second for each 200 MB, once for each image.
func checkLayers(ctx context.Context, store content.Store, target imagespec.Descriptor, left *tally) error {
	m, err := images.Manifest(ctx, store, target, platform())
	if err != nil {
		return err
	}
	for i, l := range m.Layers {
		if err := checkLayer(ctx, store, l, left); err != nil {
			return fmt.Errorf("layer %d: %w", i+1, err)
		}
	}
	return nil
}

func checkLayer(ctx context.Context, store content.Store, l imagespec.Descriptor, left *tally) error {
	ra, err := store.ReaderAt(ctx, l)
	if err != nil {
		return err
	}
	defer ra.Close()
	plain, err := compression.DecompressStream(content.NewReader(ra))
	if err != nil {
		return err
	}
	defer plain.Close()
	rest := &io.LimitedReader{R: plain, N: left.bytes + 1}
	size, err := checkTar(ctx, tar.NewReader(rest), left)
	if err == nil {
		_, err = io.Copy(io.Discard, rest) // what lies behind the end is read, too
	}
	if left.bytes -= max(size, left.bytes+1-rest.N); left.bytes < 0 {
		return errUnpacked
	}
	return err
}

// checkTar looks at the names of one layer, and at how large its files say that they
// are, which it returns together.
func checkTar(ctx context.Context, tr *tar.Reader, left *tally) (size int64, err error) {
	before := ""
	for ctx.Err() == nil {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return size, nil
		}
		if err != nil {
			return size, fmt.Errorf("it is no archive: %w", err)
		}
		if h.Size > left.bytes-size {
			return size, errUnpacked
		}
		size += h.Size
		if left.files -= newNames(before, h.Name); left.files < 0 {
			return size, fmt.Errorf("there are more than %d files", maxFiles)
		}
		before = h.Name
		if climbs(h.Name) {
			return size, fmt.Errorf("it has a file %q, which would lie outside", cut(h.Name))
		}
		if h.Typeflag == tar.TypeLink && climbs(h.Linkname) {
			return size, fmt.Errorf("it has a link %q to %q, which lies outside", cut(h.Name), cut(h.Linkname))
		}
	}
	return size, context.Cause(ctx)
}

// newNames is how many files and directories a name may stand for that the name
// before it did not: directories that lead to a file are made, listed or not. It is
// at least one.
func newNames(before, name string) int {
	before, name = path.Clean(before)+"/", path.Clean(name)+"/"
	same := 0
	for i := 0; i < len(name) && i < len(before) && name[i] == before[i]; i++ {
		if name[i] == '/' {
			same = i + 1
		}
	}
	return max(1, strings.Count(name[same:], "/"))
}

// climbs reports whether a name leads up. containerd resolves it below the image's
// root anyway; no image in its right mind has one.
func climbs(name string) bool {
	return slices.Contains(strings.Split(name, "/"), "..") || strings.HasPrefix(path.Clean(name), "..")
}

// cut bounds what an image says of itself in an error.
func cut(s string) string {
	const most = 100
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
