package images

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const ref = "example.com/x:1"

func pin(server, ref, digest string) *Pin {
	return &Pin{Server: server, Ref: ref, Digest: digest, Pinned: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
}

// TestPins: a pin holds for its server and reference, until it is set anew.
func TestPins(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	if p, err := Get(state, "a", ref); p != nil || err != nil {
		t.Fatalf("before there is any: %v, %v", p, err)
	}
	for _, p := range []*Pin{pin("a", ref, "sha256:1"), pin("a", "example.com/y:1", "sha256:2"), pin("b", ref, "sha256:3"), pin("a", ref, "sha256:4")} {
		if err := Set(state, p); err != nil {
			t.Fatal(err)
		}
	}
	for _, x := range []struct{ server, ref, digest string }{{"a", ref, "sha256:4"}, {"a", "example.com/y:1", "sha256:2"}, {"b", ref, "sha256:3"}} {
		if p, err := Get(state, x.server, x.ref); err != nil || p == nil || p.Digest != x.digest {
			t.Errorf("%s, %s: %v, %v", x.server, x.ref, p, err)
		}
	}
	for server, want := range map[string]int{"": 3, "a": 2, "b": 1, "c": 0, "*": 0, "../images/a": 0, "[ab]": 0} {
		if list, err := List(state, server); err != nil || len(list) != want {
			t.Errorf("%q: %v, %v", server, list, err)
		}
	}
	if info, err := os.Stat(filepath.Join(state, "images", "a")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("others can read it: %v, %v", info.Mode(), err)
	}
	left, err := filepath.Glob(filepath.Join(state, "images", "*", ".pin-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left over: %v, %v", left, err)
	}
}

// TestBadPins: what cannot be read is no pin, and not taken for none: a start would
// pin anew, to whatever the tag means by now.
func TestBadPins(t *testing.T) {
	for name, content := range map[string]string{
		"no JSON":           `{`,
		"nothing":           `{}`,
		"another reference": `{"server":"a","ref":"example.com/other","digest":"sha256:1"}`,
		"another server":    `{"server":"b","ref":"example.com/x:1","digest":"sha256:1"}`,
		"no digest":         `{"server":"a","ref":"example.com/x:1","digest":"latest"}`,
	} {
		state := t.TempDir()
		if err := os.Chmod(state, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := Set(state, pin("a", ref, "sha256:1")); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file(state, "a", ref), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if p, err := Get(state, "a", ref); err == nil || !strings.Contains(err.Error(), "to pin anew, type: rm -r "+state) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

// TestLock: one at a time; who waits says so once, and gives up with its context.
func TestLock(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state")
	first, err := Lock(t.Context(), state, func() { t.Error("waits for nobody") })
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	if _, err := Lock(ctx, state, func() { cancel(gone) }); err != gone {
		t.Errorf("locked twice: %v", err)
	}
	waits := make(chan struct{})
	go func() {
		<-waits
		first()
	}()
	second, err := Lock(t.Context(), state, func() { close(waits) })
	if err != nil {
		t.Fatal(err)
	}
	second()
}
