package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/distribution/reference"
)

// lacks says what a registry does not have: a repository, or a tag of one, and then
// which tags that has.
func (r *registry) lacks(ctx context.Context, ref string) (reason, fix string) {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return "has no image " + ref, ""
	}
	repository := reference.Path(named)
	tag := ""
	if tagged, ok := named.(reference.Tagged); ok {
		tag = tagged.Tag()
	}
	tags, err := r.tags(ctx, named)
	if errors.Is(err, errNoRepository) {
		fix = "look at the name"
		if !r.knows() {
			fix += "; if only some may see it: " + r.logIn() + "; then type: mcpbox image pull " + ref
		}
		return "has no repository " + repository, fix
	}
	if err != nil || len(tags) == 0 || slices.Contains(tags, tag) {
		// One that is listed and is not there has been pushed in part.
		return "has no image " + repository + ":" + tag, "look at the name and the tag"
	}
	const most = 8
	slices.SortStableFunc(tags, func(a, b string) int { return alike(b, tag) - alike(a, tag) })
	list := strings.Join(tags[:min(most, len(tags))], ", ")
	if n := len(tags) - most; n > 0 {
		list += fmt.Sprintf(" and %d more", n)
	}
	return fmt.Sprintf("has %s, but not with the tag %s; it has %s", repository, tag, list),
		fmt.Sprintf("choose one, and type, for example: mcpbox image pull %s:%s", named.Name(), tags[0])
}

// alike is how many characters two tags begin with together.
func alike(a, b string) int {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return n
}

var errNoRepository = errors.New("there is no such repository")

const (
	tagsTimeout = 10 * time.Second
	maxTags     = 1 << 20 // bytes of the list
)

// tags asks for the tags of a repository, or for the first that the registry lists.
// What is none by its letters is left out.
func (r *registry) tags(ctx context.Context, named reference.Named) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, tagsTimeout)
	defer cancel()
	ctx = docker.WithScope(ctx, "repository:"+reference.Path(named)+":pull")
	resp, err := r.get(ctx, "/v2/"+reference.Path(named)+"/tags/list")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, errNoRepository
	default:
		return nil, errors.New(resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxTags))
	if err != nil {
		return nil, err
	}
	var list struct {
		Tags []string `json:"tags"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Tags, func(tag string) bool {
		_, err := reference.WithTag(reference.TrimNamed(named), tag)
		return err != nil
	}), nil
}

// get asks the registry, again with a token if it wants one.
func (r *registry) get(ctx context.Context, path string) (*http.Response, error) {
	scheme := "https"
	if r.hosts.plain {
		scheme = "http"
	}
	client := &http.Client{Transport: r.hosts}
	for challenged := false; ; challenged = true {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+r.host+path, nil)
		if err != nil {
			return nil, err
		}
		if err := r.auth.Authorize(ctx, req); err != nil {
			return nil, err
		}
		resp, err := client.Do(req)
		if err != nil || resp.StatusCode != http.StatusUnauthorized || challenged {
			return resp, err
		}
		resp.Body.Close()
		if err := r.auth.AddResponses(ctx, []*http.Response{resp}); err != nil {
			return nil, err
		}
	}
}
