package packages

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"golang.org/x/sys/unix"
)

// Store is the packages of one user, and who is pinned to them.
type Store struct {
	cache string // CACHE/packages
	state string // STATE/packages
}

// Open names the store below mcpbox's own directories. It touches no file.
func Open(d dirs.Dirs) *Store {
	return &Store{filepath.Join(d.Cache, "packages"), filepath.Join(d.State, "packages")}
}

// Dir is where entries are.
func (s *Store) Dir() string { return s.cache }

// Entry is a package in the store, with what it needs.
type Entry struct {
	Kind    Kind     `json:"kind"`
	Name    string   `json:"name"`
	Version string   `json:"version"`
	Request *Request `json:"request"` // what was asked for

	// Integrity is "sha256-" and the digest of the lock: of every package with
	// its own integrity, and of the scripts that were run.
	Integrity string `json:"integrity"`
	// Tarball is the registry's own integrity of the package itself.
	Tarball string `json:"tarball"`
	// Origin is where the packages came from; Asked, in the order of its
	// configuration, which registries their client was told of.
	Origin       []string   `json:"origin"`
	Asked        []string   `json:"asked,omitempty"`
	Installed    time.Time  `json:"installed"`
	Dependencies int        `json:"dependencies"`
	Bytes        int64      `json:"bytes"`
	Signatures   Signatures `json:"signatures"`
	// Scripts names the packages that have install scripts; Ran those whose
	// scripts were run.
	Scripts []string `json:"scripts,omitempty"`
	Ran     []string `json:"scriptsRun,omitempty"`

	Dir string `json:"-"`
}

// Signatures is what became of the registry's signatures.
type Signatures struct {
	State    string `json:"state"` // one of the constants below
	Verified int    `json:"verified,omitempty"`
	Detail   string `json:"detail,omitempty"`
	// Missing names packages that have none, though their registry publishes keys.
	Missing []string `json:"missing,omitempty"`
}

const (
	Signed       = "verified" // every package has a good signature, or is in Go's checksum database
	PartlySigned = "partly"   // none has a bad one, but some have none
	Unsigned     = "unsigned" // the registry publishes no keys
)

// LockFile is the entry's lock.
func (e *Entry) LockFile() string { return filepath.Join(e.Dir, LockName) }

// entryFile is the entry's description, in its directory.
const entryFile = "mcpbox.json"

// DirName is the name of an entry's directory.
func DirName(name, version, integrity string) string {
	_, digest, _ := strings.Cut(integrity, "-")
	return strings.ReplaceAll(name, "/", "+") + "@" + version + "-" + digest[:min(16, len(digest))]
}

// Read reads the entry of a directory name.
func (s *Store) Read(kind Kind, name string) (*Entry, error) {
	dir := filepath.Join(s.cache, string(kind), name)
	data, err := os.ReadFile(filepath.Join(dir, entryFile))
	if err != nil {
		return nil, err
	}
	e := &Entry{Dir: dir}
	if err := json.Unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(dir, entryFile), err)
	}
	return e, nil
}

// List lists the entries, by kind and name.
func (s *Store) List() ([]*Entry, error) {
	var list []*Entry
	kinds, err := os.ReadDir(s.cache)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, kind := range kinds {
		if strings.HasPrefix(kind.Name(), ".") {
			continue
		}
		names, err := os.ReadDir(filepath.Join(s.cache, kind.Name()))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			e, err := s.Read(Kind(kind.Name()), name.Name())
			if err != nil {
				return nil, err
			}
			list = append(list, e)
		}
	}
	return list, nil
}

// Staging is a directory in which one package is being installed. It belongs to
// this process alone until Close, and goes with it.
type Staging struct {
	Dir    string
	Waited bool // for another process that was installing the same
	lock   *os.File
	store  *Store
}

// installing is where packages are before they are entries.
const installing = ".installing"

// Stage makes a staging directory for what key identifies. While another process
// has one for the same key it calls waiting, once, and waits.
func (s *Store) Stage(ctx context.Context, key string, waiting func()) (*Staging, error) {
	top := filepath.Dir(s.cache)
	for _, dir := range []string{top, s.cache, filepath.Join(s.cache, installing)} {
		if err := dirs.Private(dir); err != nil {
			return nil, err
		}
	}
	st := &Staging{Dir: filepath.Join(s.cache, installing, key), store: s}
	for {
		lock, err := os.OpenFile(st.Dir+".lock", os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			return nil, fmt.Errorf("lock the package store: %w", err)
		}
		held := false
		for !held {
			err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB)
			if held = err == nil; held {
				break
			}
			if err != unix.EWOULDBLOCK && err != unix.EINTR {
				lock.Close()
				return nil, fmt.Errorf("lock the package store: %w", err)
			}
			if !st.Waited {
				st.Waited = true
				waiting()
			}
			select {
			case <-ctx.Done():
				lock.Close()
				return nil, context.Cause(ctx)
			case <-time.After(100 * time.Millisecond):
			}
		}
		// Whoever held it before has removed the file.
		if sameFile(lock, st.Dir+".lock") {
			st.lock = lock
			break
		}
		lock.Close()
	}
	if err := removeAll(st.Dir); err != nil { // of one that was killed
		st.Close()
		return nil, err
	}
	if err := os.Mkdir(st.Dir, 0o700); err != nil {
		st.Close()
		return nil, err
	}
	return st, nil
}

func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Lstat(path)
	return err == nil && os.SameFile(a, b)
}

// Close removes what is left of the staging directory.
func (st *Staging) Close() error {
	err := removeAll(st.Dir)
	if rm := os.Remove(st.lock.Name()); err == nil {
		err = rm
	}
	return errors.Join(err, st.lock.Close())
}

// Publish makes dir, a directory within the staging directory, the entry e, whose
// program is the file bin. If the store has it already, that one stays, unless
// somebody has deleted a part of it. The version is the registry's word, and
// becomes a part of a path: what is none is refused.
func (st *Staging) Publish(dir string, e *Entry, bin string) error {
	if base := DirName(e.Name, e.Version, e.Integrity); e.Version == "" || len(base) > 255 || filepath.Base(base) != base ||
		strings.Trim(e.Version, "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.+-_!~") != "" {
		return fmt.Errorf("the registry says that the version of %q is %q, which is no version", e.Name, e.Version)
	}
	data, err := json.MarshalIndent(e, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, entryFile), append(data, '\n'), 0o600); err != nil {
		return err
	}
	if err := sync(dir); err != nil {
		return err
	}
	kind := filepath.Join(st.store.cache, string(e.Kind))
	if err := dirs.Private(kind); err != nil {
		return err
	}
	e.Dir = filepath.Join(kind, DirName(e.Name, e.Version, e.Integrity))
	err = os.Rename(dir, e.Dir)
	if errors.Is(err, os.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
		old, readErr := st.store.Read(e.Kind, filepath.Base(e.Dir))
		if _, err := os.Lstat(filepath.Join(e.Dir, bin)); readErr == nil && err == nil && old.Integrity == e.Integrity {
			*e = *old
			return nil
		}
		if err := os.Rename(e.Dir, filepath.Join(st.Dir, "broken")); err != nil {
			return err
		}
		return os.Rename(dir, e.Dir)
	}
	return err
}

// sync has the file system of dir write everything down: an entry that is there
// is complete, also after a power failure.
func sync(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Syncfs(int(f.Fd())); err != nil {
		return &os.PathError{Op: "syncfs", Path: dir, Err: err}
	}
	return nil
}

// Sweep removes what killed installations have left.
func (s *Store) Sweep() {
	top := filepath.Join(s.cache, installing)
	list, err := os.ReadDir(top)
	if err != nil {
		return
	}
	seen := map[string]bool{}
	for _, e := range list {
		key := strings.TrimSuffix(e.Name(), ".lock")
		if seen[key] {
			continue
		}
		seen[key] = true
		lock, err := os.OpenFile(filepath.Join(top, key+".lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if err != nil {
			continue
		}
		if unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && sameFile(lock, lock.Name()) {
			(&Staging{Dir: filepath.Join(top, key), lock: lock, store: s}).Close()
		}
		lock.Close()
	}
}

// Remove deletes an entry. It leaves its place first, so that nobody finds half
// of it.
func (s *Store) Remove(ctx context.Context, e *Entry) error {
	st, err := s.Stage(ctx, "remove-"+filepath.Base(e.Dir), func() {})
	if err != nil {
		return err
	}
	defer st.Close()
	return os.Rename(e.Dir, filepath.Join(st.Dir, "entry"))
}

// Newest returns the latest entry that answers a request, or nil.
func (s *Store) Newest(r *Request) *Entry {
	list, err := s.List()
	if err != nil {
		return nil
	}
	list = slices.DeleteFunc(list, func(e *Entry) bool { return e.Request == nil || !e.Request.Equal(r) })
	if len(list) == 0 {
		return nil
	}
	return slices.MaxFunc(list, func(a, b *Entry) int { return a.Installed.Compare(b.Installed) })
}
