package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/images/archive"
	"github.com/containerd/errdefs"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Import reads an archive of images, as "docker save" and "skopeo copy … oci-archive:"
// write them, and unpacks them. What an archive holds for other machines is left
// out. ref names the image, if the archive has one only; "" takes the names that
// the archive has for its images, and one without a name is an error.
func (c *Client) Import(ctx context.Context, r io.Reader, ref string) ([]*Image, error) {
	list, err := c.importArchive(ctx, r, ref)
	if err != nil {
		return nil, fmt.Errorf("import: %w", err)
	}
	return list, nil
}

func (c *Client) importArchive(ctx context.Context, r io.Reader, ref string) ([]*Image, error) {
	r, err := recognize(r)
	if err != nil {
		return nil, err
	}
	ctx, done, err := c.c.WithLease(ctx)
	if err != nil {
		return nil, err
	}
	defer done(context.WithoutCancel(ctx))
	store := c.c.ContentStore()
	if err := abortLeftovers(ctx, store); err != nil {
		return nil, err
	}
	clean, in := io.Pipe()
	go func() { in.CloseWithError(filter(in, r, maxArchive)) }()
	index, err := archive.ImportIndex(ctx, store, clean)
	clean.CloseWithError(errors.New("import has ended"))
	if err != nil {
		return nil, err
	}
	found, err := named(ctx, store, index, ref)
	if err != nil {
		return nil, err
	}
	var list []*Image
	left := newTally() // of all: as many as there are could have the same layers
	for _, f := range found {
		b := &bounds{store: store}
		if err := images.WalkNotEmpty(ctx, images.Handlers(images.HandlerFunc(b.Handle), children(c.c)), f.target); err != nil {
			return nil, fmt.Errorf("%s: %w", f.ref, err)
		}
		im, err := c.adopt(ctx, f.ref, "archive", f.target, left)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.ref, err)
		}
		list = append(list, im)
	}
	return list, nil
}

// abortLeftovers forgets what an import that was killed had begun to write.
// containerd would go on behind it, with other content.
func abortLeftovers(ctx context.Context, store content.Store) error {
	begun, err := store.ListStatuses(ctx)
	if err != nil {
		return err
	}
	for _, s := range begun {
		if strings.HasPrefix(s.Ref, "tar-") {
			if err := abort(ctx, store, s.Ref); err != nil {
				return err
			}
		}
	}
	return nil
}

// abort forgets one. containerd may not have noticed yet that whoever wrote it is
// gone, and then fails, as it finds new files in what it removes.
func abort(ctx context.Context, store content.Store, ref string) (err error) {
	for range 20 {
		if err = store.Abort(ctx, ref); err == nil || errdefs.IsNotFound(err) {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(50 * time.Millisecond):
		}
	}
	return err
}

// namedImage is one of an archive's images.
type namedImage struct {
	ref    string
	target imagespec.Descriptor
}

// named lists the images of an archive's index.
func named(ctx context.Context, store content.Store, index imagespec.Descriptor, ref string) ([]namedImage, error) {
	data, err := content.ReadBlob(ctx, store, index)
	if err != nil {
		return nil, err
	}
	var list imagespec.Index
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("its index is no JSON: %w", err)
	}
	if len(list.Manifests) == 0 {
		return nil, errors.New("the archive has no image")
	}
	if len(list.Manifests) > maxArchiveFiles {
		return nil, errors.New("the archive has too many images")
	}
	if ref != "" && len(list.Manifests) > 1 {
		return nil, fmt.Errorf("the archive has %d images, of which not all can have the name %s; leave the name out", len(list.Manifests), ref)
	}
	var found []namedImage
	for _, m := range list.Manifests {
		text := ref
		if text == "" {
			text = m.Annotations[images.AnnotationImageName]
		}
		if text == "" {
			text = m.Annotations[imagespec.AnnotationRefName]
		}
		if text == "" {
			return nil, errors.New("the archive has no name for its image; give it one: --ref REGISTRY/NAME:TAG")
		}
		full, digest, err := ParseReference(text)
		if err != nil {
			return nil, err
		}
		if digest != "" && digest != m.Digest.String() {
			return nil, fmt.Errorf("the archive names its image %s, and has %s", cut(text), m.Digest)
		}
		found = append(found, namedImage{full, m})
	}
	return found, nil
}
