package image

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"

	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Registry serves images from memory, by the part of the OCI Distribution
// Specification 1.1 that a pull needs, and lists tags. It is an [http.Handler].
type Registry struct {
	// User and Password are asked for (RFC 7617), if set.
	User, Password string
	// Send replaces the content of a blob or manifest as it is sent, if set.
	Send func(w http.ResponseWriter, r *http.Request, content []byte)

	mu       sync.Mutex
	content  map[string][]byte // by digest
	types    map[string]string // of manifests, by digest
	tags     map[string]string // "name:tag" to digest
	requests []string
}

// Push has NAME:TAG mean the image of an archive that [Write] wrote, and returns its
// digest.
func (r *Registry) Push(nameAndTag string, archive []byte) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.content == nil {
		r.content, r.types, r.tags = map[string][]byte{}, map[string]string{}, map[string]string{}
	}
	var index imagespec.Index
	for tr := tar.NewReader(bytes.NewReader(archive)); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
		data, err := io.ReadAll(tr)
		if err != nil {
			return "", err
		}
		if h.Name == imagespec.ImageIndexFile {
			if err := json.Unmarshal(data, &index); err != nil {
				return "", err
			}
		}
		if hex, ok := strings.CutPrefix(h.Name, "blobs/sha256/"); ok {
			r.content["sha256:"+hex] = data
		}
	}
	if len(index.Manifests) != 1 {
		return "", fmt.Errorf("the archive has %d images", len(index.Manifests))
	}
	m := index.Manifests[0]
	r.types[m.Digest.String()] = m.MediaType
	r.tags[nameAndTag] = m.Digest.String()
	return m.Digest.String(), nil
}

// Requests lists what was asked for, such as "GET /v2/x/manifests/1".
func (r *Registry) Requests() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.requests...)
}

// ServeHTTP answers a request.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if user, password, _ := req.BasicAuth(); r.User != "" && (user != r.User || password != r.Password) {
		w.Header().Set("WWW-Authenticate", `Basic realm="registry"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	r.mu.Lock()
	r.requests = append(r.requests, req.Method+" "+req.URL.Path)
	if name, ok := strings.CutSuffix(strings.TrimPrefix(req.URL.Path, "/v2/"), "/tags/list"); ok {
		list := r.tagsOf(name)
		r.mu.Unlock()
		if len(list) == 0 {
			http.NotFound(w, req)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(map[string]any{"name": name, "tags": list})
		return
	}
	dir, last := path.Split(strings.TrimPrefix(req.URL.Path, "/v2/"))
	name, kind := path.Split(strings.TrimSuffix(dir, "/"))
	digest := last
	if kind == "manifests" && !strings.HasPrefix(last, "sha256:") {
		digest = r.tags[strings.TrimSuffix(name, "/")+":"+last]
	}
	data, ok := r.content[digest]
	mediaType := r.types[digest]
	r.mu.Unlock()
	if !ok {
		http.NotFound(w, req)
		return
	}
	if mediaType == "" {
		mediaType = "application/octet-stream"
	}
	w.Header().Set("Content-Type", mediaType)
	w.Header().Set("Docker-Content-Digest", digest)
	if req.Method == http.MethodHead {
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		return
	}
	if r.Send != nil {
		r.Send(w, req, data)
		return
	}
	w.Header().Set("Content-Length", fmt.Sprint(len(data)))
	w.Write(data)
}

// tagsOf lists the tags of a repository, in order. It is called with r.mu.
func (r *Registry) tagsOf(name string) (list []string) {
	for nameAndTag := range r.tags {
		if tag, ok := strings.CutPrefix(nameAndTag, name+":"); ok {
			list = append(list, tag)
		}
	}
	slices.Sort(list)
	return list
}
