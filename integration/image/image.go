// Package image makes OCI images for tests and examples: from directories and
// single files, without a daemon, a Containerfile or root. What it writes depends
// on the files alone, so that the same files are the same digest.
package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Recipe says what an image is made of.
type Recipe struct {
	// Ref is the name in the archive, such as "example.com/x:1"; "" for none.
	Ref string
	// Files are paths in the image, and the host's files or directories to copy
	// there. A symbolic link is followed if it is named here, and copied as it is
	// below a directory.
	Files map[string]string
	// Programs are host programs that are copied to their own paths, with the
	// libraries that they load, to the places that they are loaded from.
	Programs []string
	// Links are symbolic links: path in the image, and text.
	Links map[string]string
	// Dirs are empty directories.
	Dirs []string
	// Raw are files of the layer as they are, without content, for images that
	// nobody should make.
	Raw []*tar.Header
	// Blocks are written behind those as they are, for what no archive is written
	// with.
	Blocks []byte
	// Architecture is of the machines that it is for; "" is this one's.
	Architecture string

	Config imagespec.ImageConfig
}

// Write writes an archive of the image, an OCI image layout in a tar file.
func Write(w io.Writer, r Recipe) error {
	var layer bytes.Buffer
	plain := sha256.New()
	zip, err := gzip.NewWriterLevel(&layer, gzip.BestSpeed) // for tests
	if err != nil {
		return err
	}
	if err := r.layer(io.MultiWriter(zip, plain)); err != nil {
		return fmt.Errorf("pack image %s: %w", r.Ref, err)
	}
	if err := zip.Close(); err != nil {
		return err
	}
	a := archive{tw: tar.NewWriter(w)}
	made := time.Unix(0, 0).UTC()
	arch := r.Architecture
	if arch == "" {
		arch = runtime.GOARCH
	}
	layers := []imagespec.Descriptor{a.blob(imagespec.MediaTypeImageLayerGzip, layer.Bytes())}
	config := a.document(imagespec.MediaTypeImageConfig, imagespec.Image{
		Created: &made, Platform: imagespec.Platform{Architecture: arch, OS: "linux"}, Config: r.Config,
		RootFS: imagespec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.NewDigest(digest.SHA256, plain)}},
	})
	version := specs.Versioned{SchemaVersion: 2}
	manifest := a.document(imagespec.MediaTypeImageManifest, imagespec.Manifest{
		Versioned: version, MediaType: imagespec.MediaTypeImageManifest, Config: config, Layers: layers,
	})
	if r.Ref != "" {
		manifest.Annotations = map[string]string{"io.containerd.image.name": r.Ref, imagespec.AnnotationRefName: r.Ref}
	}
	a.json(imagespec.ImageIndexFile, imagespec.Index{Versioned: version, MediaType: imagespec.MediaTypeImageIndex, Manifests: []imagespec.Descriptor{manifest}})
	a.json(imagespec.ImageLayoutFile, imagespec.ImageLayout{Version: imagespec.ImageLayoutVersion})
	return errors.Join(a.err, a.tw.Close())
}

// archive is an image layout as it is written.
type archive struct {
	tw  *tar.Writer
	err error // the first
}

func (a *archive) file(name string, data []byte) {
	if a.err == nil {
		a.err = a.tw.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Size: int64(len(data)), Mode: 0o644})
	}
	if a.err == nil {
		_, a.err = a.tw.Write(data)
	}
}

func (a *archive) json(name string, v any) {
	data, err := json.Marshal(v)
	a.err = errors.Join(a.err, err)
	a.file(name, data)
}

func (a *archive) blob(mediaType string, data []byte) imagespec.Descriptor {
	d := digest.FromBytes(data)
	a.file(path.Join(imagespec.ImageBlobsDir, d.Algorithm().String(), d.Encoded()), data)
	return imagespec.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(data))}
}

func (a *archive) document(mediaType string, v any) imagespec.Descriptor {
	data, err := json.Marshal(v)
	a.err = errors.Join(a.err, err)
	return a.blob(mediaType, data)
}

// entry is one file of the layer.
type entry struct {
	from string // on the host, or "" for a link or a directory
	link string
	mode fs.FileMode
	size int64
}

// layer writes the files as a tar, in the order of their names, all of root's and
// of one time.
func (r Recipe) layer(w io.Writer) error {
	all := map[string]entry{}
	for _, dir := range append([]string{"/tmp", "/proc", "/sys", "/dev", "/etc", "/root", "/home", "/var/tmp"}, r.Dirs...) {
		all[path.Clean(dir)] = entry{mode: fs.ModeDir | 0o755}
	}
	for at, text := range r.Links {
		all[path.Clean(at)] = entry{link: text, mode: fs.ModeSymlink}
	}
	for at, from := range r.Files {
		if err := collect(all, path.Clean(at), from); err != nil {
			return err
		}
	}
	for _, p := range r.Programs {
		needs, err := libraries(p)
		if err != nil {
			return err
		}
		for _, file := range append(needs, p) {
			if err := collect(all, file, file); err != nil {
				return err
			}
		}
	}
	for at := range all {
		for up := path.Dir(at); up != "/" && up != "."; up = path.Dir(up) {
			if _, ok := all[up]; !ok {
				all[up] = entry{mode: fs.ModeDir | 0o755}
			}
		}
	}
	tw := tar.NewWriter(w)
	names := make([]string, 0, len(all))
	for at := range all {
		names = append(names, at)
	}
	slices.Sort(names)
	for _, at := range names {
		if err := all[at].write(tw, strings.TrimPrefix(at, "/")); err != nil {
			return err
		}
	}
	for _, h := range r.Raw {
		if err := tw.WriteHeader(h); err != nil {
			return err
		}
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	if _, err := w.Write(r.Blocks); err != nil {
		return err
	}
	return tw.Close()
}

func (e entry) write(tw *tar.Writer, name string) error {
	h := &tar.Header{Name: name, Mode: int64(e.mode.Perm()), ModTime: time.Unix(0, 0), Size: e.size, Linkname: e.link, Typeflag: tar.TypeReg}
	switch {
	case e.mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, name+"/"
	case e.mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Mode = tar.TypeSymlink, 0o777
	}
	if err := tw.WriteHeader(h); err != nil || e.from == "" {
		return err
	}
	f, err := os.Open(e.from)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.CopyN(tw, f, e.size)
	return err
}

// collect adds a file or a directory with all that is in it.
func collect(all map[string]entry, at, from string) error {
	real, err := filepath.EvalSymlinks(from)
	if err != nil {
		return err
	}
	return filepath.WalkDir(real, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		to := path.Join(at, strings.TrimPrefix(p, real))
		switch {
		case d.IsDir():
			all[to] = entry{mode: fs.ModeDir | 0o755}
		case d.Type() == fs.ModeSymlink:
			text, err := os.Readlink(p)
			if err != nil {
				return err
			}
			all[to] = entry{link: text, mode: fs.ModeSymlink}
		case d.Type().IsRegular():
			mode := fs.FileMode(0o644)
			if info.Mode().Perm()&0o111 != 0 {
				mode = 0o755
			}
			all[to] = entry{from: p, size: info.Size(), mode: mode}
		}
		return nil
	})
}

// libraries lists the loader of a program and the libraries that it loads, each by
// the path that it is looked for at.
func libraries(program string) ([]string, error) {
	real, err := filepath.EvalSymlinks(program)
	if err != nil {
		return nil, err
	}
	var list []string
	seen := map[string]bool{}
	for todo := []string{real}; len(todo) > 0; todo = todo[1:] {
		f, err := elf.Open(todo[0])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", todo[0], err)
		}
		names, err := f.ImportedLibraries()
		if s := f.Section(".interp"); s != nil && err == nil {
			var loader []byte
			if loader, err = s.Data(); err == nil {
				names = append(names, string(bytes.TrimRight(loader, "\x00")))
			}
		}
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("%s: %w", todo[0], err)
		}
		for _, name := range names {
			if seen[name] {
				continue
			}
			seen[name] = true
			at, err := find(name, filepath.Dir(real))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", program, err)
			}
			list, todo = append(list, at), append(todo, at)
		}
	}
	return list, nil
}

// find looks for a library where Debian's loader does.
func find(name, beside string) (string, error) {
	if path.IsAbs(name) {
		return name, nil
	}
	triple := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[runtime.GOARCH]
	for _, dir := range []string{"/lib/" + triple, "/usr/lib/" + triple, "/lib64", "/usr/lib64", "/lib", "/usr/lib", beside, filepath.Join(beside, "..", "lib")} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return filepath.Join(dir, name), nil
		}
	}
	return "", fmt.Errorf("the library %s is not where it is looked for", name)
}
