package containerd

import (
	"context"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
)

// platform is the one image of many that this machine runs.
func platform() platforms.MatchComparer { return platforms.Only(platforms.DefaultSpec()) }

// fits refuses an image that says that it is for other machines than this one.
func fits(ctx context.Context, store content.Store, target imagespec.Descriptor) error {
	list, err := images.Platforms(ctx, store, target)
	if err != nil || len(list) == 0 {
		return nil // it does not say
	}
	const most = 8
	var names []string
	for _, p := range list {
		if p.Architecture == "" || platform().Match(p) {
			return nil
		}
		if len(names) < most {
			names = append(names, cut(platforms.Format(p)))
		}
	}
	return fmt.Errorf("it is not for this machine, %s, but for %s", platforms.Format(platforms.DefaultSpec()), strings.Join(names, ", "))
}
