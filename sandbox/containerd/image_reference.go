package containerd

import (
	"fmt"

	"github.com/distribution/reference"
)

// ParseReference reads an image's reference as people write it, and returns it in
// full, with the digest that it names, if it does: "node" is
// docker.io/library/node:latest. What it returns means the same, read again.
func ParseReference(text string) (ref, digest string, err error) {
	named, err := reference.ParseNormalizedNamed(text)
	if err != nil {
		return "", "", fmt.Errorf("%q is no reference of an image: %w; write it as REGISTRY/NAME:TAG", text, err)
	}
	digested, ok := named.(reference.Digested)
	if !ok {
		return reference.TagNameOnly(named).String(), "", nil
	}
	return named.String(), digested.Digest().String(), nil
}

// registryOf is the host and port of the registry that a full reference names.
func registryOf(ref string) string {
	named, err := reference.ParseNormalizedNamed(ref)
	if err != nil {
		return ""
	}
	return reference.Domain(named)
}
