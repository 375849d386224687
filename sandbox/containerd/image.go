package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/image-spec/identity"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Image is an image that is unpacked, ready for a box.
type Image struct {
	Ref    string // the reference, as [ParseReference] writes it
	Digest string // what it means, such as "sha256:…"
	// ChainID names the snapshot of its files.
	ChainID string
	// Config is what it says of itself, and not trusted.
	Config imagespec.ImageConfig

	Created time.Time // in this containerd
	Size    int64     // of its content, as fetched
	Source  string    // "registry", or "archive"
}

// NotFoundError says that an image is not there.
type NotFoundError struct {
	Ref, Digest string
}

func (e *NotFoundError) Error() string {
	if e.Digest != "" {
		return fmt.Sprintf("there is no image %s with the digest %s", e.Ref, e.Digest)
	}
	return "there is no image " + e.Ref
}

// The labels of an image's record.
const (
	labelRef    = "dev.mcpbox.ref"
	labelSource = "dev.mcpbox.source"
)

// recordName is the name of an image's record. A reference may have the digest
// already.
func recordName(ref, digest string) string {
	if strings.HasSuffix(ref, "@"+digest) {
		return ref
	}
	return ref + "@" + digest
}

// Name is REFERENCE@DIGEST, by which containerd knows the image.
func (im *Image) Name() string { return recordName(im.Ref, im.Digest) }

// Image finds an image that is there: the one with this digest or, if digest is
// "", the newest of this reference. If there is none, the error is a
// [*NotFoundError]. An image whose files are gone is unpacked again.
func (c *Client) Image(ctx context.Context, ref, digest string) (*Image, error) {
	ref, named, err := ParseReference(ref)
	if err != nil {
		return nil, err
	}
	if digest == "" {
		digest = named
	}
	records, err := c.records(ctx, ref)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(records, func(r images.Image) bool { return digest == "" || r.Target.Digest.String() == digest })
	if i < 0 {
		return nil, &NotFoundError{ref, digest}
	}
	im, err := c.describe(ctx, records[i])
	if errdefs.IsNotFound(err) {
		return nil, &NotFoundError{ref, digest}
	}
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", ref, err)
	}
	if _, err := c.c.SnapshotService(Snapshotter).Stat(ctx, im.ChainID); errdefs.IsNotFound(err) {
		err = c.unpack(ctx, records[i], newTally())
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", ref, err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("image %s: %w", ref, err)
	}
	return im, nil
}

// Images lists all images, those of one reference together, the newest first.
func (c *Client) Images(ctx context.Context) ([]*Image, error) {
	records, err := c.records(ctx, "")
	if err != nil {
		return nil, err
	}
	var list []*Image
	for _, r := range records {
		im, err := c.describe(ctx, r)
		if errdefs.IsNotFound(err) {
			continue // removed meanwhile, or in part by somebody else
		}
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", r.Name, err)
		}
		list = append(list, im)
	}
	return list, nil
}

// Remove removes an image. Boxes that run it keep its files until they end.
func (c *Client) Remove(ctx context.Context, im *Image) error {
	err := c.c.ImageService().Delete(ctx, recordName(im.Ref, im.Digest), images.SynchronousDelete())
	if errdefs.IsNotFound(err) {
		return &NotFoundError{im.Ref, im.Digest}
	}
	return err
}

// records are those that this package has written, of one reference or of all.
func (c *Client) records(ctx context.Context, ref string) ([]images.Image, error) {
	all, err := c.c.ImageService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("list images: %w", err)
	}
	all = slices.DeleteFunc(all, func(r images.Image) bool {
		of := r.Labels[labelRef]
		return of == "" || r.Name != recordName(of, r.Target.Digest.String()) || ref != "" && of != ref
	})
	slices.SortFunc(all, func(a, b images.Image) int {
		if a.Labels[labelRef] != b.Labels[labelRef] {
			if a.Labels[labelRef] < b.Labels[labelRef] {
				return -1
			}
			return 1
		}
		return b.UpdatedAt.Compare(a.UpdatedAt)
	})
	return all, nil
}

// describe reads what a record leads to.
func (c *Client) describe(ctx context.Context, r images.Image) (*Image, error) {
	store := c.c.ContentStore()
	m, err := images.Manifest(ctx, store, r.Target, platform())
	if err != nil {
		return nil, err
	}
	config, err := readConfig(ctx, store, m.Config)
	if err != nil {
		return nil, err
	}
	im := &Image{
		Ref: r.Labels[labelRef], Digest: r.Target.Digest.String(), ChainID: identity.ChainID(config.RootFS.DiffIDs).String(),
		Config: config.Config, Created: r.UpdatedAt, Source: r.Labels[labelSource],
	}
	for _, l := range m.Layers {
		im.Size += l.Size
	}
	return im, nil
}

func readConfig(ctx context.Context, store content.Store, desc imagespec.Descriptor) (*imagespec.Image, error) {
	data, err := content.ReadBlob(ctx, store, desc)
	if err != nil {
		return nil, err
	}
	config := new(imagespec.Image)
	if err := json.Unmarshal(data, config); err != nil {
		return nil, fmt.Errorf("its configuration is no JSON: %w", err)
	}
	if config.OS != "" && config.OS != "linux" {
		return nil, fmt.Errorf("it is for %s, and not for Linux", config.OS)
	}
	if len(config.RootFS.DiffIDs) == 0 {
		return nil, errors.New("it has no files")
	}
	return config, nil
}

// adopt makes an image of content that is there: checked, unpacked, recorded. The
// caller's lease keeps the content meanwhile.
func (c *Client) adopt(ctx context.Context, ref, source string, target imagespec.Descriptor, left *tally) (*Image, error) {
	r := images.Image{
		Name: recordName(ref, target.Digest.String()), Target: imagespec.Descriptor{MediaType: target.MediaType, Digest: target.Digest, Size: target.Size},
		Labels: map[string]string{labelRef: ref, labelSource: source},
	}
	if err := fits(ctx, c.c.ContentStore(), target); err != nil {
		return nil, err
	}
	im, err := c.describe(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := c.unpack(ctx, r, left); err != nil {
		return nil, err
	}
	saved, err := c.c.ImageService().Create(ctx, r)
	if errdefs.IsAlreadyExists(err) {
		saved, err = c.c.ImageService().Update(ctx, r)
	}
	if err != nil {
		return nil, fmt.Errorf("record it: %w", err)
	}
	im.Created = saved.UpdatedAt
	return im, nil
}

// unpack makes the image's files, unless they are there.
func (c *Client) unpack(ctx context.Context, r images.Image, left *tally) error {
	image := containerd.NewImageWithPlatform(c.c, r, platform())
	if there, err := image.IsUnpacked(ctx, Snapshotter); err == nil && there {
		return nil
	}
	if err := checkLayers(ctx, c.c.ContentStore(), r.Target, left); err != nil {
		return err
	}
	if err := image.Unpack(ctx, Snapshotter); err != nil {
		return fmt.Errorf("unpack: %w", err)
	}
	return nil
}
