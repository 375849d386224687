// Package images remembers which image a server runs.
//
// A reference such as example.com/server:1 means what its registry says today. The
// first start of a server settles it: the digest is pinned, below the state
// directory, and holds until [Set] replaces it.
//
//	STATE/images/SERVER/0123456789abcdef.json    a [Pin]
//
// The digits stand for the reference, so that a server whose policy names another
// image gets that, and has its old pin back when the policy changes back.
package images

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
	"golang.org/x/sys/unix"
)

// Pin says what a reference means to one server.
type Pin struct {
	Server string    `json:"server"`
	Ref    string    `json:"ref"`    // in full
	Digest string    `json:"digest"` // "sha256:…"
	Pinned time.Time `json:"pinned"`
}

func top(state string) string { return filepath.Join(state, "images") }

func file(state, server, ref string) string {
	sum := sha256.Sum256([]byte(ref))
	return filepath.Join(top(state), server, hex.EncodeToString(sum[:8])+".json")
}

// Get returns the pin of a server for a reference, or nil.
func Get(state, server, ref string) (*Pin, error) {
	p, err := read(file(state, server, ref))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && (p.Ref != ref || p.Server != server) {
		err = errors.New("it is the pin of another image")
	}
	if err != nil {
		return nil, fmt.Errorf("read pin: %w; to pin anew, type: rm -r %s", err, filepath.Join(top(state), server))
	}
	return p, nil
}

func read(file string) (*Pin, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	p := new(Pin)
	if err := json.Unmarshal(data, p); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if p.Server == "" || p.Ref == "" || !strings.Contains(p.Digest, ":") {
		return nil, fmt.Errorf("%s: something is missing in it", file)
	}
	return p, nil
}

// List lists the pins of a server, or of all for "".
func List(state, server string) ([]*Pin, error) {
	if server == "" {
		server = "*"
	} else if strings.ContainsAny(server, "*?[\\/") {
		return nil, nil // no name of a server
	}
	files, err := filepath.Glob(filepath.Join(top(state), server, "*.json"))
	if err != nil {
		return nil, err
	}
	var list []*Pin
	for _, file := range files {
		p, err := read(file)
		if err != nil {
			return nil, fmt.Errorf("read pin: %w; to pin anew, type: rm %s", err, file)
		}
		list = append(list, p)
	}
	return list, nil
}

// Set pins a server, in the place of what it was pinned to for the same reference.
func Set(state string, p *Pin) error {
	at := file(state, p.Server, p.Ref)
	for _, dir := range []string{state, top(state), filepath.Dir(at)} {
		if err := dirs.Private(dir); err != nil {
			return err
		}
	}
	data, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(at), ".pin-*")
	if err != nil {
		return fmt.Errorf("pin: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(append(data, '\n'))
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("pin: %w", err)
	}
	return os.Rename(f.Name(), at)
}

// Lock has this process alone fetch and pin images, until the returned function is
// called. While another does, it calls waiting, once, and waits.
func Lock(ctx context.Context, state string, waiting func()) (unlock func(), err error) {
	for _, dir := range []string{state, top(state)} {
		if err := dirs.Private(dir); err != nil {
			return nil, err
		}
	}
	lock, err := os.OpenFile(filepath.Join(top(state), ".lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the images: %w", err)
	}
	for said := false; ; {
		switch err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err {
		case nil:
			return func() { lock.Close() }, nil
		case unix.EWOULDBLOCK, unix.EINTR:
		default:
			lock.Close()
			return nil, fmt.Errorf("lock the images: %w", err)
		}
		if !said {
			said = true
			waiting()
		}
		select {
		case <-ctx.Done():
			lock.Close()
			return nil, context.Cause(ctx)
		case <-time.After(100 * time.Millisecond):
		}
	}
}
