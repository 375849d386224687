// Package snapshot copies what is known of a box into a directory, as evidence,
// and executes nothing of it.
//
//	DIR/manifest.json      what was taken when, what was left out, and the SHA-256 of every other file
//	DIR/run.json           which run it is, and how it was
//	DIR/description.json   what it may do: the policy in force; and what the filter carries
//	DIR/processes.json     its processes: command line, state, times, open files, names of variables
//	DIR/maps/PID           their memory maps
//	DIR/net/tcp …          the sockets of its network, as the kernel lists them
//	DIR/mountinfo          its mounts
//	DIR/tree.jsonl         what is in its home, /tmp and /dev/shm, one JSON object for each
//	DIR/tree/tmp/… …       the contents of the files there
//	DIR/journal/…          the run's journal
//
// What lies in the box is the server's: links are recorded and not followed, only
// regular files are opened, and what is copied is bounded in number and size,
// whatever they claim to be; manifest.json says what is beyond, and what this user may
// not see, or is the host's as well (see [See]). What is changed in
// staged directories is not in it. Names are written with every byte but letters, digits
// and ._-+,=@ as %XX, so that none of them steers a terminal or a shell; of a name
// that is too long then, there is the beginning and a digest. A copy has no
// permission to be executed.
package snapshot

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// File is one file of a snapshot.
type File struct {
	Path   string `json:"path"` // below the directory
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// Snapshot is a directory that is being written. It is used by one goroutine.
type Snapshot struct {
	dir   *os.File
	files []File
	left  []string // what was left out, and why
}

// Create makes the directory, which must not be there.
func Create(dir string) (*Snapshot, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	d, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, err
	}
	return &Snapshot{dir: d}, nil
}

// Path is where the directory is.
func (s *Snapshot) Path() string { return s.dir.Name() }

// LeaveOut writes down what is not in the snapshot, and why.
func (s *Snapshot) LeaveOut(format string, args ...any) {
	const most = 1000
	switch len(s.left) {
	default:
		text := fmt.Sprintf(format, args...)
		if n := len(text); n > most { // a path
			text = text[:most/2] + "..." + text[n-most/2:]
		}
		s.left = append(s.left, text)
	case most:
		s.left = append(s.left, "and more")
	case most + 1:
	}
}

// Left is what was left out.
func (s *Snapshot) Left() []string { return s.left }

// Size is how many files there are, and how large they are together.
func (s *Snapshot) Size() (files int, bytes int64) {
	for _, f := range s.files {
		bytes += f.Size
	}
	return len(s.files), bytes
}

// Dir makes a directory in the snapshot.
func (s *Snapshot) Dir(name string) error {
	return os.NewSyscallError("mkdirat", unix.Mkdirat(int(s.dir.Fd()), name, 0o700))
}

// JSON writes a value.
func (s *Snapshot) JSON(name string, v any) error {
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return err
	}
	return s.Copy(name, strings.NewReader(string(data)+"\n"), int64(len(data))+1)
}

// Copy writes what r has, most bytes of it at most. That there is more is written
// down as left out.
func (s *Snapshot) Copy(name string, r io.Reader, most int64) error {
	w, err := s.create(int(s.dir.Fd()), name, name)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, io.LimitReader(r, most))
	if n, _ := io.CopyN(io.Discard, r, 1); n > 0 {
		s.LeaveOut("%s: what comes after %d bytes", name, most)
	}
	if closing := w.Close(); err == nil {
		err = closing
	}
	return err
}

// writer is a file of the snapshot.
type writer struct {
	s    *Snapshot
	file *os.File
	sum  hash.Hash
	path string
	n    int64
}

// create makes the file name in an open directory; at is its path below the
// snapshot.
func (s *Snapshot) create(dir int, name, at string) (*writer, error) {
	fd, err := unix.Openat(dir, name, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "create", Path: at, Err: err}
	}
	return &writer{s: s, file: os.NewFile(uintptr(fd), at), sum: sha256.New(), path: at}, nil
}

func (w *writer) Write(data []byte) (int, error) {
	n, err := w.file.Write(data)
	w.sum.Write(data[:n])
	w.n += int64(n)
	return n, err
}

func (w *writer) digest() string { return hex.EncodeToString(w.sum.Sum(nil)) }

// Close ends the file, which is in the manifest from then on.
func (w *writer) Close() error {
	w.s.files = append(w.s.files, File{w.path, w.n, w.digest()})
	return w.file.Close()
}

// Finish writes the manifest, which says about, and returns its SHA-256. All of it
// is on the disk then.
func (s *Snapshot) Finish(about any) (string, error) {
	manifest := struct {
		About any      `json:"about"`
		Left  []string `json:"leftOut"`
		Files []File   `json:"files"`
	}{about, append([]string{}, s.left...), s.files}
	if err := s.JSON("manifest.json", manifest); err != nil {
		return "", err
	}
	if err := unix.Syncfs(int(s.dir.Fd())); err != nil {
		return "", os.NewSyscallError("syncfs", err)
	}
	return s.files[len(s.files)-1].SHA256, s.dir.Close()
}

const longestName = 200

// spell writes a path so that it is harmless.
func spell(p string) string {
	var b strings.Builder
	for i := range len(p) {
		switch c := p[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', strings.IndexByte("._-+,=@/", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// safe spells the name of a file, which it may also be.
func safe(name string) string {
	text := strings.ReplaceAll(spell(name), "/", "%2F")
	if len(text) <= longestName {
		return text
	}
	sum := sha256.Sum256([]byte(name))
	return text[:longestName/2] + "%~" + hex.EncodeToString(sum[:16])
}

// safePath is safe for each part of a path.
func safePath(p string) string {
	parts := strings.Split(strings.TrimPrefix(path.Clean(p), "/"), "/")
	for i, part := range parts {
		parts[i] = safe(part)
	}
	return strings.Join(parts, "/")
}
