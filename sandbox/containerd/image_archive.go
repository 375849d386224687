package containerd

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"slices"
	"strings"

	imagespec "github.com/opencontainers/image-spec/specs-go/v1"
)

// An archive has this many files and bytes at most.
const (
	maxArchiveFiles = 4096
	maxArchive      = maxFetched + 64<<20
)

// CompressedError is an archive that is compressed.
type CompressedError struct {
	Format  string // such as "gzip"
	Program string // that writes it uncompressed to its output, given a file, or its input
}

func (e *CompressedError) Error() string {
	return "it is compressed with " + e.Format + ", and has to be unpacked first, with " + e.Program
}

// EmptyError is an archive of no bytes.
type EmptyError struct{}

func (*EmptyError) Error() string { return "it is empty" }

// recognize refuses what is no tar archive by its first bytes.
func recognize(r io.Reader) (io.Reader, error) {
	in := bufio.NewReaderSize(r, 64<<10)
	head, err := in.Peek(512)
	if len(head) == 0 {
		if errors.Is(err, io.EOF) {
			return nil, &EmptyError{}
		}
		return nil, err
	}
	for _, c := range []struct{ magic, format, program string }{
		{"\x1f\x8b", "gzip", "gzip -dc"},
		{"\x28\xb5\x2f\xfd", "Zstandard", "zstd -dc"},
		{"\xfd7zXZ\x00", "xz", "xz -dc"},
		{"BZh", "bzip2", "bzip2 -dc"},
	} {
		if bytes.HasPrefix(head, []byte(c.magic)) {
			return nil, &CompressedError{c.format, c.program}
		}
	}
	if _, err := tar.NewReader(bytes.NewReader(head)).Next(); errors.Is(err, tar.ErrHeader) || len(head) < 512 {
		return nil, fmt.Errorf("it is no archive of an image: it begins with %q", head[:min(32, len(head))])
	}
	return in, nil
}

// filter copies an archive, of which containerd keeps every file, with the files
// that an archive of images has, and no more of them than most bytes.
func filter(to io.Writer, from io.Reader, most int64) error {
	rest := &io.LimitedReader{R: from, N: most + 1} // one more, so that none left is too many
	tr, tw := tar.NewReader(rest), tar.NewWriter(to)
	room := most // for what is kept: a file with holes has more than the archive
	tooLarge := fmt.Errorf("the archive has more than %d MiB", most>>20)
	var seen seen
	for n := 0; ; n++ {
		h, err := tr.Next()
		switch {
		case errors.Is(err, io.EOF):
			if err := seen.lack(); err != nil {
				return err
			}
			return tw.Close()
		case rest.N <= 0:
			return tooLarge
		case errors.Is(err, io.ErrUnexpectedEOF):
			return seen.cutOff()
		case err != nil:
			return fmt.Errorf("it is no archive of an image: %w", err)
		case n >= maxArchiveFiles:
			return fmt.Errorf("the archive has more than %d files", maxArchiveFiles)
		}
		name := path.Clean(h.Name)
		seen.add(name)
		if isContainers(name) {
			return fmt.Errorf("it has the files of a container (%q), as docker export writes them, and no image; to have that, type: docker save -o image.tar IMAGE; mcpbox image import image.tar", cut(h.Name))
		}
		if !filepath.IsLocal(name) || h.Typeflag == tar.TypeSymlink && !filepath.IsLocal(path.Join(path.Dir(name), h.Linkname)) {
			return fmt.Errorf("the archive has a file %q, which would lie outside", cut(h.Name))
		}
		switch h.Typeflag {
		case tar.TypeReg, tar.TypeSymlink: // docker save has links between layers that are the same
		case tar.TypeDir:
			continue
		default:
			return fmt.Errorf("the archive has %q, which is neither a file nor a directory", cut(h.Name))
		}
		if (path.Ext(name) == ".json" || name == imagespec.ImageLayoutFile) && h.Size > maxDocument {
			return fmt.Errorf("the archive has %q with %d bytes, of which %d are read at most", cut(h.Name), h.Size, maxDocument)
		}
		if h.Size > room {
			return fmt.Errorf("the archive has files of more than %d MiB", most>>20)
		}
		room -= h.Size
		if err := tw.WriteHeader(&tar.Header{Name: name, Typeflag: h.Typeflag, Linkname: h.Linkname, Size: h.Size, Mode: 0o644}); err != nil {
			return err
		}
		_, err = io.Copy(tw, tr)
		switch {
		case errors.Is(err, io.ErrUnexpectedEOF) && rest.N <= 0:
			return tooLarge
		case errors.Is(err, io.ErrUnexpectedEOF):
			return seen.cutOff()
		case err != nil:
			return err
		}
	}
}

// isContainers reports whether a file is one that systems have at their root, and
// archives of images do not.
func isContainers(name string) bool {
	top, _, _ := strings.Cut(name, "/")
	return slices.Contains([]string{".dockerenv", "bin", "dev", "etc", "lib", "proc", "sbin", "sys", "usr"}, top)
}

// seen is what there was in an archive, in a few words.
type seen struct {
	files       int
	first, last string
	image       bool   // it has an index
	below       string // a directory that has one
}

func (s *seen) add(name string) {
	s.last = cut(name)
	if s.files++; s.files == 1 {
		s.first = s.last
	}
	if dir, file := path.Split(name); file == imagespec.ImageIndexFile || file == "manifest.json" {
		if dir == "" {
			s.image = true
		} else {
			s.below = cut(dir)
		}
	}
}

// lack is what an archive lacks that was read to its end.
func (s *seen) lack() error {
	switch {
	case s.image:
		return nil
	case s.files == 0:
		return errors.New("the archive has no files")
	case s.below != "":
		return fmt.Errorf("the archive has its image in a directory, %q; pack what is in that, and not itself, for example: tar -C DIRECTORY -cf - . | mcpbox image import -", s.below)
	}
	return fmt.Errorf("the archive has no image: of %d files, such as %q, none is index.json or manifest.json; it is of something else, or cut off", s.files, s.first)
}

// cutOff is an archive that ends within a file.
func (s *seen) cutOff() error {
	if s.files == 0 {
		return errors.New("the archive is cut off, before its first file; fetch or write it anew")
	}
	return fmt.Errorf("the archive is cut off, at %q; fetch or write it anew", s.last)
}
