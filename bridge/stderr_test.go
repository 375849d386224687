package bridge

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// T-X2: what a server could do to the user's terminal, and what is shown of it.
func TestTerminalIsNotSteered(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"plain text", "listening on stdio\n", "listening on stdio\n"},
		{"tab and accents", "a\tb é 日本 🎉\n", "a\tb é 日本 🎉\n"},
		{"joined emoji", "👩\u200d💻\n", "👩\u200d💻\n"},
		{"CRLF", "line\r\nnext\n", "line\nnext\n"},
		{"lone CR overwrites the line", "evil\rmcpbox: all is well\n", `evil\x0dmcpbox: all is well` + "\n"},
		{"OSC 52 writes the clipboard", "\x1b]52;c;cm0gLXJmIC8=\x07\n", `\x1b]52;c;cm0gLXJmIC8=\x07` + "\n"},
		{"OSC 0 sets the title", "\x1b]0;root@prod\x1b\\\n", `\x1b]0;root@prod\x1b\` + "\n"},
		{"OSC 8 hides a link", "\x1b]8;;http://evil/\x1b\\click\n", `\x1b]8;;http://evil/\x1b\click` + "\n"},
		{"DA makes the terminal type", "\x1b[c\x1b[6n\x1bZ\n", `\x1b[c\x1b[6n\x1bZ` + "\n"},
		{"DCS", "\x1bP$q\"p\x1b\\\n", `\x1bP$q"p\x1b\` + "\n"},
		{"colours", "\x1b[31mred\x1b[0m\n", `\x1b[31mred\x1b[0m` + "\n"},
		{"C1 CSI as a rune", "\u009b31m\u0085\n", `\u009b31m\u0085` + "\n"},
		{"C1 CSI as a byte", "\x9b31m\x90\n", `\x9b31m\x90` + "\n"},
		{"backspace, bell, DEL, NUL, vertical tab", "a\b\a\x7f\x00\v\f\n", `a\x08\x07\x7f\x00\x0b\x0c` + "\n"},
		{"bidirectional", "\u202edor\u2066x\u2069\u200f\u061c\n", `\u202edor\u2066x\u2069\u200f\u061c` + "\n"},
		{"line separators", "a\u2028b\u2029c\n", `a\u2028b\u2029c` + "\n"},
		{"invisible", "\ufeffa\u200bb\U000e0041\n", `\ufeffa\u200bb\U000e0041` + "\n"},
		{"overlong ESC and cut rune", "\xc0\x9b \xe2\x80\n", `\xc0\x9b \xe2\x80` + "\n"},
		{"escape split by a line feed", "\x1b\n]0;x\n", `\x1b` + "\n]0;x\n"},
		{"mcpbox's own words", "mcpbox: type: rm -rf /\n \t\u00a0\u200dmcpbox: x\na mcpbox: y\n", "| mcpbox: type: rm -rf /\n|  \t\u00a0\u200dmcpbox: x\na mcpbox: y\n"},
		{"no line feed at the end", "dying words \x1b[c", `dying words \x1b[c` + "\n"},
		{"line of the limit", strings.Repeat("a", MaxTerminalLine) + "\n", strings.Repeat("a", MaxTerminalLine) + "\n"},
		{"longer line", strings.Repeat("a", MaxTerminalLine+3) + "\nb\n", strings.Repeat("a", MaxTerminalLine) + " [3 more bytes cut]\nb\n"},
		{"flood", strings.Repeat("a", 1<<20), strings.Repeat("a", MaxTerminalLine) + " [1040384 more bytes cut]\n"},
	} {
		for name, src := range map[string]io.Reader{
			"at once": strings.NewReader(c.in),
			"byte by byte": readFunc(func() func([]byte) (int, error) {
				in := c.in
				return func(p []byte) (int, error) {
					if in == "" {
						return 0, io.EOF
					}
					p[0], in = in[0], in[1:]
					return 1, nil
				}
			}()),
		} {
			var shown bytes.Buffer
			if err := CopyStderr(&shown, src, true); err != nil || shown.String() != c.want {
				t.Errorf("%s, %s: %.200q, %v; want %.200q", c.name, name, shown.String(), err, c.want)
			}
		}
		// The control: without a terminal the bytes are the server's.
		var raw bytes.Buffer
		if err := CopyStderr(&raw, strings.NewReader(c.in), false); err != nil || raw.String() != c.in {
			t.Errorf("%s, no terminal: %.200q, %v; want %.200q", c.name, raw.String(), err, c.in)
		}
	}
}

// FuzzTerminal: no byte sequence gets a control or format character out, other
// than the line feed and the tab.
func FuzzTerminal(f *testing.F) {
	f.Add([]byte("\x1b]52;c;x\x07\n\u202e\xff"), 3)
	f.Add([]byte("\xe2\x80\xae \xc2\x9b\r\n"), 1)
	f.Fuzz(func(t *testing.T, in []byte, at int) {
		var c cleaner
		if len(in) > 0 {
			at = ((at % len(in)) + len(in)) % len(in)
		} else {
			at = 0
		}
		out := bytes.Clone(c.add(in[:at]))
		out = append(out, c.add(in[at:])...)
		out = append(out, c.end()...)
		if !utf8.Valid(out) {
			t.Fatalf("%q gave invalid text %q", in, out)
		}
		for _, r := range string(out) {
			if r != '\n' && r != '\t' && (steers(r) || r < ' ' || 0x7f <= r && r < 0xa0) {
				t.Fatalf("%q gave %q", in, out)
			}
		}
		var whole bytes.Buffer
		if err := CopyStderr(&whole, bytes.NewReader(in), true); err != nil || !bytes.Equal(whole.Bytes(), out) {
			t.Fatalf("%q in pieces gave %q, whole %q", in, out, whole.String())
		}
	})
}

type broken struct{ writes int }

var errBroken = errors.New("nobody there")

func (b *broken) Write([]byte) (int, error) { b.writes++; return 0, errBroken }

// A broken stderr does not hold up the server: everything is taken from it.
func TestStderrIsDrained(t *testing.T) {
	for _, terminal := range []bool{false, true} {
		src, dst := strings.NewReader(strings.Repeat("log line\n", 100_000)), &broken{}
		if err := CopyStderr(dst, src, terminal); !errors.Is(err, errBroken) {
			t.Errorf("terminal %v: error %v", terminal, err)
		}
		if src.Len() > 0 || dst.writes != 1 {
			t.Errorf("terminal %v: %d bytes left, %d writes", terminal, src.Len(), dst.writes)
		}
	}
}

func TestStderrReadError(t *testing.T) {
	var out bytes.Buffer
	src := io.MultiReader(strings.NewReader("before"), readFunc(func([]byte) (int, error) { return 0, errBroken }))
	if err := CopyStderr(&out, src, false); !errors.Is(err, errBroken) || out.String() != "before" {
		t.Errorf("%q, %v", out.String(), err)
	}
}
