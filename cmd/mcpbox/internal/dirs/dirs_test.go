package dirs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestResolve(t *testing.T) {
	home := Dirs{
		Config: "/home/u/.config/mcpbox", State: "/home/u/.local/state/mcpbox",
		Cache: "/home/u/.cache/mcpbox", Runtime: "/tmp/mcpbox-1000",
	}
	with := func(change func(*Dirs)) Dirs { d := home; change(&d); return d }
	for _, c := range []struct {
		name string
		env  map[string]string
		want Dirs
	}{
		{"defaults", nil, home},
		{"all set", map[string]string{"XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "/k", "XDG_RUNTIME_DIR": "/run/user/1000"},
			Dirs{"/c/mcpbox", "/s/mcpbox", "/k/mcpbox", "/run/user/1000/mcpbox"}},
		{"relative values are ignored", map[string]string{"XDG_CONFIG_HOME": "c", "XDG_STATE_HOME": "./s", "XDG_CACHE_HOME": "../k", "XDG_RUNTIME_DIR": "run", "TMPDIR": "tmp"}, home},
		{"empty values are ignored", map[string]string{"XDG_STATE_HOME": "", "XDG_RUNTIME_DIR": ""}, home},
		{"values are cleaned", map[string]string{"XDG_STATE_HOME": "/s//x/../y/"}, with(func(d *Dirs) { d.State = "/s/y/mcpbox" })},
		{"TMPDIR", map[string]string{"TMPDIR": "/scratch"}, with(func(d *Dirs) { d.Runtime = "/scratch/mcpbox-1000" })},
		{"XDG_RUNTIME_DIR before TMPDIR", map[string]string{"TMPDIR": "/scratch", "XDG_RUNTIME_DIR": "/r"}, with(func(d *Dirs) { d.Runtime = "/r/mcpbox" })},
	} {
		got, err := Resolve(func(name string) string { return c.env[name] }, "/home/u", 1000)
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v; want %+v", c.name, got, err, c.want)
		}
		if len(got.All()) != 4 {
			t.Errorf("%s: All lists %q", c.name, got.All())
		}
	}
	for _, home := range []string{"", "u", "./u"} {
		_, err := Resolve(func(string) string { return "" }, home, 1000)
		if err == nil || !strings.Contains(err.Error(), "set HOME") {
			t.Errorf("home %q: error %v", home, err)
		}
	}
	all := map[string]string{"XDG_CONFIG_HOME": "/c", "XDG_STATE_HOME": "/s", "XDG_CACHE_HOME": "/k"}
	if _, err := Resolve(func(n string) string { return all[n] }, "", 1000); err != nil {
		t.Errorf("no home is needed, but: %v", err)
	}
}

func TestEnvironment(t *testing.T) {
	mine, missing := t.TempDir(), filepath.Join(t.TempDir(), "x")
	systemd := fmt.Sprintf("/run/user/%d", os.Getuid())
	if owner, there := ownerOf(systemd); !there || owner != os.Getuid() {
		systemd = ""
	}
	for value, want := range map[string]string{
		mine: mine, missing: missing, "relative": "relative", // Resolve ignores that
		"": systemd,
	} {
		env := Environment(func(name string) string { return map[string]string{"XDG_RUNTIME_DIR": value, "HOME": "/h"}[name] }, os.Getuid())
		if got := env("XDG_RUNTIME_DIR"); got != want {
			t.Errorf("%q became %q, want %q", value, got, want)
		}
		if env("HOME") != "/h" || env("TMPDIR") != "" {
			t.Error("another variable has changed")
		}
	}
	foreign := Environment(func(string) string { return mine }, os.Getuid()+12345)
	if got := foreign("XDG_RUNTIME_DIR"); got != "" {
		t.Errorf("a directory of another user's became %q", got)
	}
}

func TestPrivate(t *testing.T) {
	mode := func(path string) os.FileMode {
		info, err := os.Lstat(path)
		if err != nil {
			t.Fatal(err)
		}
		return info.Mode()
	}
	base := t.TempDir()
	fresh := filepath.Join(base, "a/b/c")
	for range 2 { // made, then found
		if err := Private(fresh); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []string{"a", "a/b", "a/b/c"} {
		if m := mode(filepath.Join(base, p)); m != os.ModeDir|0o700 {
			t.Errorf("%s has mode %v", p, m)
		}
	}
	link := filepath.Join(base, "link")
	if err := os.Symlink(fresh, link); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused := map[string]string{link: "not a directory", file: "not a directory"}
	for _, perm := range []os.FileMode{0o755, 0o770, 0o701, 0o720} {
		open := filepath.Join(base, perm.String())
		if err := os.Mkdir(open, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(open, perm); err != nil {
			t.Fatal(err)
		}
		refused[open] = "others may use it"
	}
	if os.Geteuid() == 0 {
		foreign := filepath.Join(base, "foreign")
		if err := os.Mkdir(foreign, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(foreign, 12345, 12345); err != nil {
			t.Fatal(err)
		}
		refused[foreign] = "another user"
	}
	for path, why := range refused {
		var np *NotPrivateError
		if err := Private(path); !errors.As(err, &np) || np.Path != path || np.Fix == "" || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: error %v, want %q", path, err, why)
		}
	}
	if err := Private(filepath.Join(file, "x")); err == nil {
		t.Error("a directory below a file was made")
	}
}
