package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mcpbox/mcpbox/policy"
	"github.com/mcpbox/mcpbox/sandbox"
)

func TestPrintable(t *testing.T) {
	for in, want := range map[string]string{
		"":               "",
		"plain ä 鳥 \\u":  "plain ä 鳥 \\u",
		"\x1b[31mred":    `\u001b[31mred`,
		"a\rb\nc\td\x00": `a\u000db\u000ac\u0009d\u0000`,
		"\x7f\u009b31m":  `\u007f\u009b31m`,
		"a\u202eb":       `a\u202eb`, // text runs the other way
		"a\u2028b":       `a\u2028b`, // a line ends
		"a\u200bb":       `a\u200bb`, // nothing is seen
		"\U000e0041":     `\ue0041`,  // a tag
		"a\x9b31mb\xff":  `a\x9b31mb\xff`,
	} {
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
	if got, want := printableText("a\n\x1bb\n"), "a\n\\u001bb\n"; got != want {
		t.Errorf("printableText = %q, want %q", got, want)
	}
}

func TestSayErrorSaysEach(t *testing.T) {
	f, err := os.OpenFile(filepath.Join(t.TempDir(), "err"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	console{err: f}.sayError(errors.Join(errors.New("one"), errors.New("two\nthree")))
	data, err := os.ReadFile(f.Name())
	if want := "mcpbox: one\nmcpbox: two\\u000athree\n"; err != nil || string(data) != want {
		t.Errorf("said %q, %v, want %q", data, err, want)
	}
}

// Every line of what mcpbox says can be told from what the server says.
func TestSay(t *testing.T) {
	said := func(format string, args ...any) string {
		f, err := os.OpenFile(filepath.Join(t.TempDir(), "err"), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		console{err: f}.say(format, args...)
		data, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	for _, c := range []struct{ got, want string }{
		{said("one"), "mcpbox: one\n"},
		{said("%s", "a\x1bb\nmcpbox: c"), "mcpbox: a\\u001bb\\u000amcpbox: c\n"},
	} {
		if c.got != c.want {
			t.Errorf("said %q, want %q", c.got, c.want)
		}
	}
}

func TestReport(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, c := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("x"), 99},
		{&codedError{code: 7}, 7},
		{fmt.Errorf("wrapped: %w", &codedError{126, errors.New("x")}), 126},
	} {
		if got := (console{err: null}).report(c.err, 99); got != c.want {
			t.Errorf("report(%v) = %d, want %d", c.err, got, c.want)
		}
	}
}

// Two packages that may not import each other agree on this string.
func TestAnnotationUnixSockets(t *testing.T) {
	if policy.AnnotationUnixSockets != sandbox.AnnotationUnixSockets {
		t.Errorf("policy says %q, sandbox %q", policy.AnnotationUnixSockets, sandbox.AnnotationUnixSockets)
	}
}

// A stderr that is full and not read holds nobody up, and what fits is there.
func TestSayHurried(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	c := console{err: w}.hurried()
	c.say("first")
	line := strings.Repeat("x", 1000)
	began := time.Now()
	for range 1000 { // sixteen times what a pipe holds
		c.say("%s", line)
	}
	if took := time.Since(began); took > 20*sayTime {
		t.Errorf("it took %v, and one line may take %v", took, sayTime)
	}
	if !c.stuck.Load() {
		t.Error("the pipe was not full: nothing was tried")
	}
	lines := bufio.NewReader(r)
	if got, err := lines.ReadString('\n'); got != "mcpbox: first\n" {
		t.Errorf("first said %q, %v", got, err)
	}
	go io.Copy(io.Discard, lines)
	for end := time.Now().Add(deadline); c.stuck.Load(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it is stuck, although somebody reads")
		}
		c.say("again")
	}
}
