package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	containerd "github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Progress is how far a pull is, in bytes. All is what is known to be fetched so
// far: it is 0 at first, and may grow. What containerd has already is in neither.
type Progress func(done, all int64)

// Credentials returns what to say to a registry, given its host and port, or two
// empty strings.
type Credentials func(host string) (user, secret string, err error)

// The times that a registry has.
const (
	resolveTimeout = 30 * time.Second // to say what a reference means
	stallTimeout   = 60 * time.Second // between two pieces of content
)

// parallel is how many pieces of content are fetched at a time.
const parallel = 3

// Pull fetches an image from its registry and unpacks it. With a digest it is
// exactly that image, whatever the reference's tag means today. Content that
// containerd has is not fetched again. progress is called once in a while, and may
// be nil; so may credentials. Only registries of this machine (localhost) are
// spoken to without TLS.
func (c *Client) Pull(ctx context.Context, ref, digest string, credentials Credentials, progress Progress) (*Image, error) {
	ref, named, err := ParseReference(ref)
	if err != nil {
		return nil, err
	}
	if digest == "" {
		digest = named
	}
	im, err := c.pull(ctx, ref, digest, credentials, progress)
	if err != nil {
		return nil, fmt.Errorf("pull %s: %w", ref, err)
	}
	return im, nil
}

func (c *Client) pull(ctx context.Context, ref, digest string, credentials Credentials, progress Progress) (*Image, error) {
	ctx, done, err := c.c.WithLease(ctx)
	if err != nil {
		return nil, err
	}
	defer done(context.WithoutCancel(ctx))
	r := newRegistry(registryOf(ref), credentials)
	name, target, err := resolve(ctx, r.resolver, ref, digest)
	if err != nil {
		return nil, r.explain(ctx, requested(ref, digest), err)
	}
	from, err := r.resolver.Fetcher(ctx, name)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	b := new(bounds)
	f := &fetcher{from: from, slots: make(chan struct{}, parallel)}
	stop := f.watch(cancel, func(done int64) {
		if progress != nil {
			progress(done, b.total())
		}
	})
	err = images.Dispatch(ctx, images.Handlers(images.HandlerFunc(b.Handle), remotes.FetchHandler(c.c.ContentStore(), f), children(c.c)), nil, target)
	stop()
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, r.explain(ctx, ref, cause) // and the next attempt goes on from here
		}
		b.forget(context.WithoutCancel(ctx), c.c.ContentStore())
		return nil, r.explain(ctx, recordName(ref, target.Digest.String()), err)
	}
	return c.adopt(ctx, ref, "registry", target, newTally())
}

// requested is a reference with the digest that was asked for, if there was one.
func requested(ref, digest string) string {
	if digest == "" {
		return ref
	}
	return recordName(ref, digest)
}

// resolverOf speaks to the one registry of h.
func resolverOf(h *hosts, credentials Credentials) (remotes.Resolver, docker.Authorizer) {
	authorizer := docker.NewDockerAuthorizer(docker.WithAuthCreds(credentials), docker.WithAuthClient(&http.Client{Transport: tokens{h}}))
	return docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(
		docker.WithClient(&http.Client{Transport: h}), docker.WithAuthorizer(authorizer), docker.WithPlainHTTP(docker.MatchLocalhost),
	)}), authorizer
}

// resolve asks what a reference means, or finds where a digest is to be had.
func resolve(ctx context.Context, r remotes.Resolver, ref, digest string) (string, imagespec.Descriptor, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, resolveTimeout, &silentError{"not answered", resolveTimeout})
	defer cancel()
	if digest != "" {
		ref = recordName(ref, digest)
	}
	name, target, err := r.Resolve(ctx, ref)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err == nil && digest != "" && target.Digest.String() != digest {
		err = fmt.Errorf("its registry answers with %s", target.Digest)
	}
	return name, target, err
}

// Resolve asks the registry for the digest that a reference means today.
func (c *Client) Resolve(ctx context.Context, ref string, credentials Credentials) (string, error) {
	ref, _, err := ParseReference(ref)
	if err != nil {
		return "", err
	}
	r := newRegistry(registryOf(ref), credentials)
	_, target, err := resolve(ctx, r.resolver, ref, "")
	if err != nil {
		return "", fmt.Errorf("ask what %s is: %w", ref, r.explain(ctx, ref, err))
	}
	return target.Digest.String(), nil
}

// children finds what a document of an image names, for this machine alone, and
// has containerd keep that as long as the document.
func children(c *containerd.Client) images.HandlerFunc {
	store := c.ContentStore()
	h := images.SetChildrenLabels(store, images.FilterPlatforms(images.ChildrenHandler(store), platform()))
	one := images.LimitManifests(h, platform(), 1)
	return func(ctx context.Context, d imagespec.Descriptor) ([]imagespec.Descriptor, error) {
		list, err := one(ctx, d)
		if errdefs.IsNotFound(err) {
			if unfit := fits(ctx, store, d); unfit != nil {
				err = unfit
			}
		}
		return list, err
	}
}

// fetcher bounds what a registry sends, and counts it.
type fetcher struct {
	from  remotes.Fetcher
	slots chan struct{} // one for each piece at a time
	read  atomic.Int64
}

// Fetch is a [remotes.Fetcher]. It gives one byte more than there should be, so
// that too much is an error rather than cut off.
func (f *fetcher) Fetch(ctx context.Context, d imagespec.Descriptor) (io.ReadCloser, error) {
	select {
	case f.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	free := sync.OnceFunc(func() { <-f.slots })
	rc, err := f.from.Fetch(ctx, d)
	if err != nil {
		free()
		return nil, err
	}
	return &counted{rc, d.Size + 1, &f.read, free}, nil
}

type counted struct {
	io.ReadCloser
	left int64
	read *atomic.Int64
	free func()
}

func (c *counted) Close() error {
	defer c.free()
	return c.ReadCloser.Close()
}

func (c *counted) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, errors.New("the registry sends more than it has said")
	}
	n, err := c.ReadCloser.Read(p[:min(int64(len(p)), c.left)])
	c.left -= int64(n)
	c.read.Add(int64(n))
	return n, err
}

// watch reports progress, and gives up on a registry that has gone silent.
func (f *fetcher) watch(cancel context.CancelCauseFunc, report func(int64)) (stop func()) {
	quit, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		last, since := int64(-1), time.Now()
		for {
			select {
			case <-quit:
				return
			case now := <-tick.C:
				n := f.read.Load()
				report(n)
				if n != last {
					last, since = n, now
				} else if now.Sub(since) > stallTimeout {
					cancel(&silentError{"sent nothing", stallTimeout})
					return
				}
			}
		}
	}()
	return func() {
		close(quit)
		<-ended
	}
}
