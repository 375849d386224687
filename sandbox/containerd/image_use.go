package containerd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/errdefs"
)

// Which server runs which image is known to its user alone. Users of one containerd
// remove each other's images, if they do not know of each other: so each leaves word in
// containerd of what his servers are pinned to, as a lease of this name and with these
// labels that holds nothing.
const (
	labelUser   = "dev.mcpbox.user"
	labelDigest = "dev.mcpbox.digest"
)

// wordID is the name of this user's word about an image. It is none of a run's.
func wordID(ref, digest string) string {
	sum := sha256.Sum256([]byte(recordName(ref, digest)))
	return fmt.Sprintf("pin-%d-%s", os.Getuid(), hex.EncodeToString(sum[:8]))
}

// Keep leaves word that this user has servers which are pinned to an image.
func (c *Client) Keep(ctx context.Context, ref, digest string) error {
	labels := map[string]string{labelUser: strconv.Itoa(os.Getuid()), labelRef: ref, labelDigest: digest}
	_, err := c.c.LeasesService().Create(namespaces.WithNamespace(ctx, Namespace), leases.WithID(wordID(ref, digest)), leases.WithLabels(labels))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("containerd: lease: %w", err)
	}
	return nil
}

// Forget takes the word of Keep back.
func (c *Client) Forget(ctx context.Context, ref, digest string) error {
	err := c.c.LeasesService().Delete(namespaces.WithNamespace(ctx, Namespace), leases.Lease{ID: wordID(ref, digest)})
	if !gone(err) {
		return fmt.Errorf("containerd: remove lease: %w", err)
	}
	return nil
}

// Others lists, by the name of an image, the other users whose servers are pinned to it or
// run it. It knows what they have said, and not who removed his
// servers without a word.
func (c *Client) Others(ctx context.Context) (map[string][]int, error) {
	ctx = namespaces.WithNamespace(ctx, Namespace)
	others := map[string][]int{}
	add := func(image string, labels map[string]string) {
		uid, err := strconv.Atoi(labels[labelUser])
		if err == nil && uid != os.Getuid() && !slices.Contains(others[image], uid) {
			others[image] = append(others[image], uid)
		}
	}
	words, err := c.c.LeasesService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("containerd: list leases: %w", err)
	}
	for _, w := range words {
		if ref, digest := w.Labels[labelRef], w.Labels[labelDigest]; ref != "" && digest != "" {
			add(recordName(ref, digest), w.Labels)
		}
	}
	running, err := c.c.ContainerService().List(ctx)
	if err != nil {
		return nil, fmt.Errorf("containerd: list containers: %w", err)
	}
	for _, r := range running {
		add(r.Image, r.Labels)
	}
	for image := range others {
		slices.Sort(others[image])
	}
	return others, nil
}
