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
	maxDocument = 4 << 20   // an index, a manifest, a configuration: it is read into memory
	maxLayers   = 256       // overlayfs takes 500
	maxFetched  = 8 << 30   // all layers, compressed
	maxUnpacked = 16 << 30  // all layers' files
	maxFiles    = 1_000_000 // names in all layers
)

// bounds are what an image's documents say that there is to fetch. It looks at
// each part before it is fetched or read.
type bounds struct {
	// store has the content already, whose size is compared with what is said
	// of it; nil if it is to be fetched.
	store content.Store

	mu     sync.Mutex
	seen   []imagespec.Descriptor
	layers int
	bytes  int64
}

// Handle is an [images.Handler].
func (b *bounds) Handle(ctx context.Context, d imagespec.Descriptor) ([]imagespec.Descriptor, error) {
	if err := d.Digest.Validate(); err != nil {
		return nil, fmt.Errorf("it names content by %q: %w", cut(d.Digest.String()), err)
	}
	if d.Size <= 0 {
		return nil, fmt.Errorf("it says that %s has %d bytes", d.Digest, d.Size)
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

// checkLayers reads through all layers, before containerd unpacks them. That takes
// a second for each 200 MB, once for each image.
func checkLayers(ctx context.Context, store content.Store, target imagespec.Descriptor) error {
	m, err := images.Manifest(ctx, store, target, platform())
	if err != nil {
		return err
	}
	bytes, files := int64(maxUnpacked), maxFiles
	for i, l := range m.Layers {
		if err := checkLayer(ctx, store, l, &bytes, &files); err != nil {
			return fmt.Errorf("layer %d: %w", i+1, err)
		}
	}
	return nil
}

func checkLayer(ctx context.Context, store content.Store, l imagespec.Descriptor, bytes *int64, files *int) error {
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
	rest := &io.LimitedReader{R: plain, N: *bytes}
	err = checkTar(ctx, tar.NewReader(rest), files)
	if err == nil {
		_, err = io.Copy(io.Discard, rest) // what lies behind the end is read, too
	}
	if *bytes = rest.N; *bytes <= 0 {
		return fmt.Errorf("unpacked, the image has more than %d GiB", maxUnpacked>>30)
	}
	return err
}

// checkTar looks at the names of one layer.
func checkTar(ctx context.Context, tr *tar.Reader, files *int) error {
	for ctx.Err() == nil {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("it is no archive: %w", err)
		}
		if *files--; *files < 0 {
			return fmt.Errorf("the image has more than %d files", maxFiles)
		}
		if climbs(h.Name) {
			return fmt.Errorf("it has a file %q, which would lie outside", cut(h.Name))
		}
		if h.Typeflag == tar.TypeLink && climbs(h.Linkname) {
			return fmt.Errorf("it has a link %q to %q, which lies outside", cut(h.Name), cut(h.Linkname))
		}
	}
	return context.Cause(ctx)
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
