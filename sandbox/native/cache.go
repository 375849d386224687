package native

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	seccomp "github.com/seccomp/libseccomp-golang"
	"golang.org/x/sys/unix"
)

// CompileFilter makes the program of a filter (seccomp(2)), an array of struct
// sock_filter, for a backend that installs it itself. A directory for cacheDir is as in
// [Backend.CacheDir].
func CompileFilter(s *specs.LinuxSeccomp, cacheDir string) ([]byte, error) {
	return filterCache{cacheDir}.compile(s)
}

// filterCache keeps compiled programs in a directory that no box can write to,
// by a digest of all that goes into them. It is only a shortcut: what is not
// there, or not whole, is compiled.
type filterCache struct{ dir string }

func (c filterCache) compile(s *specs.LinuxSeccomp) ([]byte, error) {
	if c.dir == "" {
		return compileSeccomp(s)
	}
	major, minor, micro := seccomp.GetLibraryVersion()
	src, err := json.Marshal(s)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(fmt.Appendf(src, " libseccomp %d.%d.%d", major, minor, micro))
	name := filepath.Join(c.dir, hex.EncodeToString(sum[:])+".bpf")
	if program, ok := readCached(name); ok {
		return program, nil
	}
	program, err := compileSeccomp(s)
	if err == nil {
		writeCached(name, program)
	}
	return program, err
}

// readCached checks that nobody else can have written the file, and the digest
// that stands before the program: the one against other users and against a
// directory that was given away, the other against a disk that was full.
func readCached(name string) ([]byte, bool) {
	dir, err := os.Lstat(filepath.Dir(name))
	if err != nil || !private(dir) {
		return nil, false
	}
	f, err := os.OpenFile(name, os.O_RDONLY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, false
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !private(fi) || !fi.Mode().IsRegular() {
		return nil, false
	}
	data, err := io.ReadAll(io.LimitReader(f, maxCached))
	if err != nil || len(data) <= sha256.Size {
		return nil, false
	}
	sum := sha256.Sum256(data[sha256.Size:])
	return data[sha256.Size:], string(sum[:]) == string(data[:sha256.Size])
}

// maxCached is the longest program there can be, with its digest.
const maxCached = sha256.Size + 8*unix.BPF_MAXINSNS

// private reports whether a file is this user's, and nobody else may write it.
func private(fi os.FileInfo) bool {
	st, ok := fi.Sys().(*syscall.Stat_t)
	return ok && int(st.Uid) == os.Geteuid() && fi.Mode().Perm()&0o022 == 0
}

// writeCached may fail: the next run compiles again.
func writeCached(name string, program []byte) {
	if os.MkdirAll(filepath.Dir(name), 0o700) != nil {
		return
	}
	f, err := os.CreateTemp(filepath.Dir(name), "filter-*")
	if err != nil {
		return
	}
	defer os.Remove(f.Name())
	sum := sha256.Sum256(program)
	_, err = f.Write(append(sum[:], program...))
	if f.Close() == nil && err == nil {
		os.Rename(f.Name(), name)
	}
}
