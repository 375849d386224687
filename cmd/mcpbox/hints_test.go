package main

import "testing"

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
