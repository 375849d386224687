package quarantine

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/cmd/mcpbox/internal/dirs"
)

func TestQuarantine(t *testing.T) {
	state := filepath.Join(t.TempDir(), "state/mcpbox")
	if list, err := List(state); list != nil || err != nil {
		t.Errorf("%v, %v", list, err)
	}
	if err := errors.Join(Check(state, "fs"), Refuse(state, "fs")); err != nil {
		t.Error(err)
	}
	if missing := (*NotFoundError)(nil); !errors.As(Release(state, "fs"), &missing) || missing.Name != "fs" {
		t.Error("what is not there was released")
	}
	if _, err := os.Lstat(state); err == nil {
		t.Error("asking has made something")
	}
	at := time.Unix(1e9, 0).UTC()
	e := Entry{Name: "fs", Reason: "why", By: "me", Since: at}
	if err := errors.Join(Set(state, e), Set(state, Entry{Name: "a"})); err != nil {
		t.Fatal(err)
	}
	var refused *Error
	if err := Check(state, "fs"); !errors.As(err, &refused) || refused.Entry != e {
		t.Errorf("%+v", err)
	}
	if err := Check(state, "f"); err != nil {
		t.Error(err)
	}
	// Starts are counted, however many there are at once, and the count stays.
	var starts sync.WaitGroup
	for range 50 {
		starts.Go(func() {
			if err := Refuse(state, "fs"); !errors.As(err, new(*Error)) {
				t.Error(err)
			}
		})
	}
	starts.Wait()
	e.Reason = "another reason"
	if err := Set(state, e); err != nil {
		t.Fatal(err)
	}
	list, err := List(state)
	if err != nil || len(list) != 2 || list[0].Name != "a" || list[1].Refused != 50 || list[1].Last == nil || list[1].Reason != e.Reason {
		t.Errorf("%+v, %v", list, err)
	}
	if err := Release(state, "fs"); err != nil {
		t.Error(err)
	}
	if missing := (*NotFoundError)(nil); !errors.As(Release(state, "fs"), &missing) || !slices.Equal(missing.Others, []string{"a"}) {
		t.Errorf("%+v", missing)
	}
	if err := Check(state, "fs"); err != nil {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(state, "quarantine/.*")); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// What is there and cannot be understood refuses, as does a place where others
// could take a file away.
func TestFailsClosed(t *testing.T) {
	state := filepath.Join(t.TempDir(), "mcpbox")
	if err := Set(state, Entry{Name: "fs"}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(state, "quarantine/fs.json")
	for _, text := range []string{"", "{", "[]", `{"name":"other"}`, `{"name":"fs"} x`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := Refuse(state, "fs"); err == nil {
			t.Errorf("%q lets it start", text)
		}
	}
	if err := errors.Join(os.Remove(file), os.Symlink("/dev/null", file)); err != nil {
		t.Fatal(err)
	}
	if err := Refuse(state, "fs"); err == nil {
		t.Error("a link lets it start")
	}
	if err := os.Chmod(filepath.Dir(file), 0o777); err != nil {
		t.Fatal(err)
	}
	if private := (*dirs.NotPrivateError)(nil); !errors.As(Set(state, Entry{Name: "x"}), &private) {
		t.Error("it was put where others could take it away")
	}
	if err := Set(state, Entry{Name: "../x"}); err == nil {
		t.Error("it was put elsewhere")
	}
}
