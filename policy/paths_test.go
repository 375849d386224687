package policy

import (
	"errors"
	"path"
	"strings"
	"testing"
)

// TestRejectedPaths lists what no policy can declare, with a part of the reason
// that the user is told. A "" accepts: the control that the refusal beside it is
// not refusing everything.
func TestRejectedPaths(t *testing.T) {
	const machine = `
l /home/ann/slash -> /
l /home/ann/myhome -> /home/ann
l /home/ann/state -> .local/state
l /home/ann/a/loop -> loop
l /home/ann/dangling -> nowhere
m /mnt/alias = /home/ann/.config
m /mnt/policies = /home/ann/.config/mcpbox
m /mnt/proc = /proc
d /home/ann/.local/state/mcpbox/journals
m /mnt/deep/journals = /home/ann/.local/state/mcpbox/journals
k /srv/chroot/proc proc
k /srv/disk ext4
d /srv/disk/data
s /home/ann/work/sock
p /home/ann/work/pipe
c /home/ann/work/device
d /home/ann/work/.git/hooks
d /home/ann/work/.claude/worktrees/x
f /home/ann/work/.git/HEAD
d /home/ann/bin
d /home/ann/.local/share/other
d /home/ann/.config/git
d /home/ann/.config/systemd/user
d /home/ann/.cursor
f /home/ann/policies/mine.toml
d /home/ann/policies/sub
d /opt/tool
d /var/lib/tool
`
	for _, c := range []struct{ text, read, write string }{
		{"/", "whole file system", "whole file system"},
		{"/.", "whole file system", "whole file system"},
		{"/usr/..", "whole file system", "whole file system"},
		{"~/slash", "leads to /, which is the whole file system", "whole file system"},
		{"/proc", "host's processes", "host's processes"},
		{"/mnt/proc", "host's processes", "host's processes"},
		{"/sys", "devices", "devices"},
		{"/dev", "devices", "devices"},
		{"/dev/null", "lies in /dev", "lies in /dev"},
		{"/run", "run-time state", "run-time state"},
		{"/var/run", "leads to /run", "leads to /run"},
		{"/run/user/1000", "lies in /run", "lies in /run"},
		{"/run/media/ann/stick", "", ""},
		{"/run/media", "run-time state", "run-time state"},
		{"/tmp", "shared by all", "shared by all"},
		{"~", "home directory", "home directory"},
		{"~/", "home directory", "home directory"},
		{"~/.", "home directory", "home directory"},
		{"~/docs/..", "home directory", "home directory"},
		{"~/myhome", "home directory", "home directory"},
		{"/home", "holds /home/ann", "holds /home/ann"},
		{"/home/bob", "", ""},
		{"~/docs", "", ""},
		{"~/docs/", "", ""},
		{"~//docs/../work", "", ""},
		{"docs", "start with / or ~/", "start with / or ~/"},
		{"../docs", "start with / or ~/", "start with / or ~/"},
		{"", "empty", "empty"},
		{"~bob/x", "bob's home directory", "bob's home directory"},
		{"$HOME/docs", "variables", "variables"},
		{"${HOME}/docs", "variables", "variables"},
		{"~/$(id)", "variables", "variables"},
		{"~/do\x00cs", "control character", "control character"},
		{"~/do\ncs", "control character", "control character"},
		{"~/missing", "does not exist", "does not exist"},
		{"~/*", "patterns", "patterns"},
		{"~/dangling", "does not exist", "does not exist"},
		{"~/a/loop", "too many", "too many"},
		{"~/work/app/main.js/", "not a directory", "not a directory"},
		{"~/work/app/main.js/x", "not a directory", "not a directory"},
		{"~/work/app/main.js", "", ""},
		{"~/work/sock", "unix socket", "unix socket"},
		{"~/work/pipe", "FIFO", "FIFO"},
		{"~/work/device", "device", "device"},

		{"~/.local/state", "holds", "holds"},
		{"~/.local", "holds", "holds"},
		{"~/state", "own state", "own state"},
		{"~/.local/state/mcpbox", "own state", "own state"},
		{"~/.config/mcpbox", "policies", "policies"},
		{"~/.config/mcpbox/servers", "policies", "policies"},
		{"~/.config", "holds", "holds"},
		{"/mnt/alias", "holds", "holds"},
		{"/mnt/policies", "policies", "policies"},
		{"/mnt/policies/servers", "policies", "policies"},
		{"/mnt/deep/journals", "own state", "own state"},
		{"/mnt/deep", "mounted at /mnt/deep/journals", "own state"},
		{"/srv/chroot", "kernel's proc", "kernel's proc"},
		{"/srv/disk", "", ""},
		{"/srv/disk/data", "", ""},
		{"~/.cache/mcpbox", "", "package store"},
		{"~/.cache/mcpbox/packages", "", "package store"},
		{"~/.cache", "", "holds"},
		{"~/.local/share/other", "", ""},

		{"~/.local/bin", "", "mcpbox itself"},
		{"~/.local/bin/mcpbox", "", "mcpbox itself"},
		{"~/bin", "", ""},
		{"~/policies", "", "a policy of this run"},
		{"~/policies/mine.toml", "", "a policy of this run"},
		{"~/policies/sub", "", ""},
		{"~/.config/Claude", "", "MCP client"},
		{"~/.claude.json", "", "MCP client"},
		{"~/.cursor", "", "MCP client"},
		{"/usr", "", "operating system"},
		{"/etc", "", "operating system"},
		{"/etc/ssl", "", "operating system"},
		{"/boot", "", "operating system"},
		{"/var", "", "operating system"},
		{"/opt/tool", "", ""},
		{"/var/lib/tool", "", ""},

		{"~/.ssh", "", "protected name"},
		{"~/.ssh/id_ed25519", "", "protected name"},
		{"~/.config/git", "", "protected name"},
		{"~/.config/systemd/user", "", "protected name"},
		{"~/work/.git/hooks", "", "protected name"},
		{"~/work/.git", "", ""},
		{"~/work/.claude", "", "protected name"},
		{"~/work/.claude/worktrees/x", "", ""},
	} {
		for a, want := range map[access]string{read: c.read, write: c.write} {
			h := newHost(t, machine)
			p := &Policy{Sources: []string{"/home/ann/policies/mine.toml"}}
			list := []Path{{c.text, Origin{File: "p.toml", Line: 7}}}
			if p.Files.Read = list; a == write {
				p.Files.Read, p.Files.Write = nil, list
			}
			_, _, err := Spec(p, Program{Exec: "/usr/bin/true"}, h)
			switch {
			case want == "" && err != nil:
				t.Errorf("%s %q: %v", a, c.text, err)
			case want != "" && err == nil:
				t.Errorf("%s %q is accepted, want %q", a, c.text, want)
			case want != "" && !strings.Contains(err.Error(), want):
				t.Errorf("%s %q: %v, want %q", a, c.text, err, want)
			case want != "" && !strings.HasPrefix(err.Error(), "p.toml:7: "):
				t.Errorf("%s %q: %v does not name the line", a, c.text, err)
			}
		}
	}
}

// TestMissingDirsAreGuarded: mcpbox's directories are guarded before they exist,
// by the directory that they will be made in.
func TestMissingDirsAreGuarded(t *testing.T) {
	h := newHost(t, "d /home/ann/state")
	h.facts.State = "/home/ann/state/deep/mcpbox"
	for _, a := range []access{read, write} {
		p := &Policy{Files: Files{Read: []Path{{Text: "/home/ann/state"}}}}
		if a == write {
			p.Files.Read, p.Files.Write = nil, p.Files.Read
		}
		if _, _, err := Spec(p, Program{Exec: "/usr/bin/true"}, h); err == nil || !strings.Contains(err.Error(), "own state") {
			t.Errorf("%s: %v", a, err)
		}
	}
}

func TestFlagPathsMayBeRelative(t *testing.T) {
	h := newHost(t, "")
	s, r, err := Spec(&Policy{Files: Files{Write: []Path{{".", Origin{Flag: "--rw"}}}}}, Program{Exec: "/usr/bin/true"}, h)
	if err != nil {
		t.Fatal(err)
	}
	if s.Process.Cwd != "/home/ann/work/app" || len(r.Write) != 1 || r.Write[0] != s.Process.Cwd {
		t.Errorf("cwd %s, writes %v", s.Process.Cwd, r.Write)
	}
	_, _, err = Spec(&Policy{Files: Files{Write: []Path{{"nope", Origin{Flag: "--rw"}}}}}, Program{Exec: "/usr/bin/true"}, h)
	var e *Error
	if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), "--rw: ") {
		t.Errorf("a missing path of a flag: %v", err)
	}
}

func TestHideWins(t *testing.T) {
	h := newHost(t, `
f /home/ann/work/app/.env S
l /home/ann/work/app/env-link -> .env
d /home/ann/work/app/secret/deep
d /home/ann/work/app/a/b/key
f /usr/lib/odd
`)
	file := func(texts ...string) (list []Path) {
		for _, s := range texts {
			list = append(list, Path{Text: s})
		}
		return list
	}
	s, r, err := Spec(&Policy{Files: Files{
		Read:  file("/home/ann/work/app/secret/deep"),
		Write: file("/home/ann/work/app"),
		Hide:  file("/home/ann/work/app/env-link", "/home/ann/work/app/secret", "/usr/lib/odd", "/home/bob", "/home/ann/work/app/a/b/key"),
	}}, Program{Exec: "/usr/bin/true"}, h)
	if err != nil {
		t.Fatal(err)
	}
	for at, source := range map[string]string{
		"/home/ann/work/app/.env":     "/dev/null",
		"/home/ann/work/app/env-link": "/dev/null",
		"/home/ann/work/app/secret":   "tmpfs",
		"/usr/lib/odd":                "/dev/null",
	} {
		if m := mountAt(s, at); m == nil || m.Source != source {
			t.Errorf("%s: %v, want %s over it", at, m, source)
		}
	}
	if mountAt(s, "/home/ann/work/app/secret/deep") != nil || mountAt(s, "/home/bob") != nil {
		t.Error("a hidden path is shown")
	}
	// Its place cannot be taken by moving the directories around it.
	for _, at := range []string{"/home/ann/work/app/a", "/home/ann/work/app/a/b"} {
		if m := mountAt(s, at); m == nil || m.Source != at {
			t.Errorf("%s is not pinned: %v", at, m)
		}
	}
	if len(r.Hidden) != 5 {
		t.Errorf("hidden: %v", r.Hidden)
	}
	// Hiding the program's own directory leaves nothing to run.
	if _, _, err := Spec(&Policy{Files: Files{Hide: file("/usr/bin")}}, Program{Exec: "/usr/bin/true"}, h); err == nil {
		t.Error("a hidden program runs")
	}
	// What is to be hidden has to be there: a typing error would show it.
	if _, _, err := Spec(&Policy{Files: Files{Hide: file("/home/ann/work/app/.evn")}}, Program{Exec: "/usr/bin/true"}, h); err == nil {
		t.Error("a missing hidden path is accepted")
	}
}

func TestLocate(t *testing.T) {
	h := newHost(t, `
l /home/ann/a -> docs/../work
l /home/ann/b -> a/app
l /home/ann/docs/up -> ..
`)
	for text, want := range map[string]string{
		"/home/ann/a":               "/home/ann/work",
		"/home/ann/b":               "/home/ann/work/app",
		"/home/ann/b/..":            "/home/ann/work", // of the target, not of the text
		"/home/ann/docs/up/docs":    "/home/ann/docs",
		"/home/ann/./docs//":        "/home/ann/docs",
		"/../../home/ann":           "/home/ann",
		"/home/ann/docs/up/../ann/": "/home/ann",
	} {
		pl, err := locate(h, text)
		if err != nil || pl.path != want {
			t.Errorf("locate(%s) = %s, %v; want %s", text, pl.path, err, want)
		}
	}
}

// FuzzPath: no text of a path, on a machine full of links, leads to a box that
// shows what it must not.
func FuzzPath(f *testing.F) {
	for _, s := range []string{"~/docs", "/", "~", "~/a/../..", "/var/run/../proc", "~/l/../x", "$HOME", "~/\x00", "/mnt/alias/..", "~/up/up", "work"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	const machine = `
l /home/ann/l -> /srv/data
l /home/ann/up -> ..
l /home/ann/root -> /
l /home/ann/cfg -> .config/mcpbox/../../.config
l /srv/data/back -> /home/ann/.local/state/mcpbox
m /mnt/alias = /home/ann/.config
`
	f.Fuzz(func(t *testing.T, text string, w bool) {
		h := newHost(t, machine)
		p := &Policy{Files: Files{Read: []Path{{Text: text}}}}
		if w {
			p.Files.Read, p.Files.Write = nil, p.Files.Read
		}
		s, r, err := Spec(p, Program{Exec: "/usr/bin/true"}, h)
		if err != nil {
			return
		}
		checkInvariants(t, s)
		for _, shown := range append(r.Read, r.Write...) {
			pl, err := locate(h, shown)
			if err != nil || pl.path != shown || path.Clean(shown) != shown {
				t.Fatalf("%q is shown as %q, which is not canonical", text, shown)
			}
			for _, secret := range []string{h.facts.State, h.facts.Config, h.facts.Runtime, "/proc", "/sys", "/dev", "/home/ann"} {
				id, _ := locate(h, secret)
				for p := range h.files {
					if within(p, shown) && h.files[p].Ino == id.info.Ino {
						t.Fatalf("%q shows %s, with %s in it", text, shown, secret)
					}
				}
			}
		}
	})
}
