package packages

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
)

// Pin says which entry a server runs for a request.
type Pin struct {
	Server    string    `json:"server"`
	Request   *Request  `json:"request"`
	Name      string    `json:"name"`
	Version   string    `json:"version"`
	Integrity string    `json:"integrity"`
	Entry     string    `json:"entry"`   // the program, relative to the entry's directory
	Scripts   []string  `json:"scripts"` // packages whose install scripts were run
	Pinned    time.Time `json:"pinned"`
	// Args are those of the last command line that was pinned, for a dry start.
	Args []string `json:"args,omitempty"`

	dir string // of the pin
}

// Dir is the entry's directory.
func (s *Store) PinDir(p *Pin) string {
	return filepath.Join(s.cache, string(p.Request.Kind), DirName(p.Name, p.Version, p.Integrity))
}

// Program is the path of the program that p runs.
func (s *Store) Program(p *Pin) string { return filepath.Join(s.PinDir(p), p.Entry) }

// Stored reports whether the entry is in the store.
func (s *Store) Stored(p *Pin) bool {
	_, err := os.Lstat(s.Program(p))
	return err == nil
}

// LockFile is the pin's copy of the entry's lock.
func (p *Pin) LockFile() string { return filepath.Join(p.dir, LockName) }

// LockName is the name of a lock's file: for npm, what npm calls NPMLockName.
const (
	LockName    = "lock.json"
	NPMLockName = "package-lock.json"
)

// Pin returns the pin of a server for a request, or nil.
func (s *Store) Pin(server string, r *Request) (*Pin, error) {
	p, err := readPin(filepath.Join(s.state, server, r.Key()))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err == nil && !p.Request.Equal(r) {
		err = errors.New("it is the pin of another request")
	}
	if err != nil {
		return nil, fmt.Errorf("read pin: %w; to pin anew, type: rm -r %s", err, filepath.Join(s.state, server))
	}
	return p, nil
}

func readPin(dir string) (*Pin, error) {
	file := filepath.Join(dir, "pin.json")
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p := &Pin{dir: dir}
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if p.Request == nil || len(p.Request.Packages) == 0 || p.Name == "" || p.Version == "" || !filepath.IsLocal(p.Entry) ||
		!strings.HasPrefix(p.Integrity, "sha256-") || filepath.Base(DirName(p.Name, p.Version, p.Integrity)) != DirName(p.Name, p.Version, p.Integrity) {
		return nil, fmt.Errorf("%s: something is missing in it", file)
	}
	return p, nil
}

// Pins lists the pins of a server, or of all for "".
func (s *Store) Pins(server string) ([]*Pin, error) {
	if server == "" {
		server = "*"
	}
	files, err := filepath.Glob(filepath.Join(s.state, server, "*", "pin.json"))
	if err != nil {
		return nil, err
	}
	var list []*Pin
	for _, file := range files {
		p, err := readPin(filepath.Dir(file))
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

// SetPin pins a server to an entry, in the place of what it was pinned to for
// the same request. lock is the content of the entry's lock.
func (s *Store) SetPin(p *Pin, lock []byte) error {
	p.dir = filepath.Join(s.state, p.Server, p.Request.Key())
	for _, dir := range []string{filepath.Dir(s.state), s.state, filepath.Dir(p.dir), p.dir} {
		if err := dirs.Private(dir); err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	// The lock first: a pin whose lock is a newer one makes no entry, and says so.
	if err := replace(p.LockFile(), lock); err != nil {
		return fmt.Errorf("pin: %w", err)
	}
	if err := replace(filepath.Join(p.dir, "pin.json"), append(data, '\n')); err != nil {
		return fmt.Errorf("pin: %w", err)
	}
	return nil
}

// replace writes a file beside and renames it.
func replace(path string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}
