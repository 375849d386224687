package policy

import (
	"strings"
	"testing"
)

func TestCheckFile(t *testing.T) {
	const file = "/home/ann/.config/mcpbox/servers/x.toml"
	for _, c := range []struct{ change, want string }{
		{"", ""},
		{"chmod 0600 " + file, ""},
		{"chown 0 " + file, ""},
		{"chmod 0664 " + file, "chmod go-w"},
		{"chmod 0646 " + file, "chmod go-w"},
		{"nlink 2 " + file, "hard link"},
		{"chown 1001 " + file, "belongs to another user"},
		{"chmod 0777 /home/ann/.config", "chmod o-w /home/ann/.config"},
		{"chmod 1777 /home/ann/.config", ""},
		{"chmod 0775 /home/ann/.config", ""},
		{"chown 1001 /home/ann", "belongs to another user"},
	} {
		h := newHost(t, "f "+file+"\nchmod 0644 "+file+"\n"+c.change)
		err := CheckFile(h, file)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%q: %v, want %q", c.change, err, c.want)
		}
	}
	h := newHost(t, `
f /srv/p.toml
l /home/ann/link.toml -> /srv/p.toml
d /srv/open
chmod 0777 /srv/open
l /srv/open/link.toml -> /srv/p.toml
d /home/ann/dir.toml
p /home/ann/pipe.toml
`)
	for file, want := range map[string]string{
		"/home/ann/link.toml": "",
		"/srv/open/link.toml": "chmod o-w /srv/open", // the link can be exchanged
		"/home/ann/dir.toml":  "is a directory",
		"/home/ann/pipe.toml": "is a FIFO",
		"/home/ann/none.toml": "no such file",
		"../../link.toml":     "", // from the working directory
	} {
		err := CheckFile(h, file)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(strings.ToLower(err.Error()), strings.ToLower(want)) && !strings.Contains(err.Error(), "does not exist")) {
			t.Errorf("%s: %v, want %q", file, err, want)
		}
	}
}
