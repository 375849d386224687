package main

import "testing"

func TestInstalls(t *testing.T) {
	for _, c := range []struct {
		argv []string
		want bool
	}{
		{[]string{"npx", "-y", "@scope/server"}, true},
		{[]string{"/usr/bin/npx", "server"}, true},
		{[]string{"npm", "exec", "server"}, true},
		{[]string{"uv", "tool", "run", "server"}, true},
		{[]string{"pipx", "run", "server"}, true},
		{[]string{"uvx", "server"}, true},
		{[]string{"npm", "start"}, false},
		{[]string{"node", "npx"}, false},
		{[]string{"uv"}, false},
	} {
		if got := installs(c.argv); (got != "") != c.want {
			t.Errorf("installs(%q) = %q", c.argv, got)
		}
	}
}

func TestShellQuote(t *testing.T) {
	for in, want := range map[string]string{
		"/home/u/x-1.2_3": "/home/u/x-1.2_3",
		"/a b":            "'/a b'",
		"it's":            `'it'\''s'`,
		"":                "''",
		"$HOME":           "'$HOME'",
		"鳥":               "'鳥'",
	} {
		if got := shellQuote(in); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", in, got, want)
		}
	}
}
