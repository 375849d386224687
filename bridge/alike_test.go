package bridge

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// A reader is how some program reads lines. Of each it returns a reading, in
// which members are sorted, numbers are doubles, which is as far as JSON goes,
// and characters outside ASCII are UTF-16; "error" if it refuses the line, and
// several readings with a space between them if it makes several messages of it.
type reader struct {
	name string
	read func(t *testing.T, lines [][]byte) []string
}

var readers = []reader{
	{"encoding/json", each(readAny)},
	{"encoding/json into structs", each(readStruct)},
	{"go-sdk", each(readSDK)},
	{"JSON.parse", program("node", "testdata/read.mjs")},
	{"json of Python, as a server", program("python3", "testdata/read.py", "server")},
	{"json of Python, as a client", program("python3", "testdata/read.py", "client")},
}

func each(read func([]byte) (string, error)) func(*testing.T, [][]byte) []string {
	return func(_ *testing.T, lines [][]byte) []string {
		var all []string
		for _, line := range lines {
			r, err := read(line)
			if err != nil {
				r = "error"
			}
			all = append(all, r)
		}
		return all
	}
}

// program is a reader that is another program.
func program(name string, args ...string) func(*testing.T, [][]byte) []string {
	return func(t *testing.T, lines [][]byte) []string {
		t.Helper()
		path, err := exec.LookPath(name)
		if err != nil && os.Getenv("MCPBOX_REQUIRE") == "" {
			t.Skipf("needs %s", name)
		} else if err != nil {
			t.Fatal(err)
		}
		var in bytes.Buffer
		for _, line := range lines {
			in.WriteString(base64.StdEncoding.EncodeToString(line) + "\n")
		}
		cmd := exec.Command(path, args...)
		cmd.Stdin, cmd.Stderr = &in, os.Stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
		if len(all) != len(lines) {
			t.Fatalf("%s read %d lines of %d", name, len(all), len(lines))
		}
		return all
	}
}

func readAny(line []byte) (string, error) {
	var v any
	if err := json.Unmarshal(line, &v); err != nil {
		return "", err
	}
	return reading(v), nil
}

func reading(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return fmt.Sprint(v)
	case float64:
		return fmt.Sprintf("#%016x", math.Float64bits(v+0)) // of both zeros the one without sign
	case string:
		var b strings.Builder
		for _, c := range utf16.Encode([]rune(v)) {
			if c < 0x20 || c > 0x7e || c == '"' || c == '\\' {
				fmt.Fprintf(&b, `\%04x`, c)
			} else {
				b.WriteByte(byte(c))
			}
		}
		return `"` + b.String() + `"`
	case []any:
		var all []string
		for _, e := range v {
			all = append(all, reading(e))
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	var all []string
	for k, e := range v.(map[string]any) {
		all = append(all, reading(k)+":"+reading(e))
	}
	slices.Sort(all)
	return "{" + strings.Join(all, ",") + "}"
}

// readSDK reads as go-sdk's transport for stdio does, which reads values and not
// lines. What it does not keep of a message is added, if it is as it must be:
// other readers have it.
func readSDK(line []byte) (string, error) {
	if bytes.HasPrefix(bytes.TrimSpace(line), []byte("[")) {
		return readAny(line) // it takes batches only when that has been agreed
	}
	conn, err := (&mcp.IOTransport{Reader: io.NopCloser(bytes.NewReader(append(bytes.Clone(line), '\n'))), Writer: nowhere{}}).Connect(context.Background())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	var all []string
	for {
		m, err := conn.Read(context.Background())
		if errors.Is(err, io.EOF) {
			return strings.Join(all, " "), nil
		} else if err != nil {
			return "", err
		}
		members := map[string]any{"jsonrpc": "2.0"}
		add := func(name string, v any, err error) {
			if err == nil {
				members[name] = v
			}
		}
		switch m := m.(type) {
		case *jsonrpc.Request:
			members["method"] = m.Method
			if m.ID.IsValid() {
				members["id"] = number(m.ID.Raw())
			}
			if m.Params != nil {
				v, err := generic(m.Params)
				add("params", v, err)
			}
		case *jsonrpc.Response:
			members["id"] = number(m.ID.Raw())
			if m.Result != nil {
				v, err := generic(m.Result)
				add("result", v, err)
			}
			if m.Error != nil {
				text, err := json.Marshal(m.Error)
				if err != nil {
					return "", err
				}
				v, err := generic(text)
				add("error", v, err)
				// It keeps these three; other members say nothing to it.
				var whole struct{ Error map[string]any }
				if json.Unmarshal(line, &whole) == nil {
					for name, more := range whole.Error {
						if !slices.Contains([]string{"code", "message", "data"}, name) {
							v.(map[string]any)[name] = more
						}
					}
				}
			}
		}
		all = append(all, reading(members))
	}
}

type nowhere struct{}

func (nowhere) Write(b []byte) (int, error) { return len(b), nil }
func (nowhere) Close() error                { return nil }

func generic(text []byte) (v any, err error) { return v, json.Unmarshal(text, &v) }

func number(id any) any {
	if n, ok := id.(int64); ok {
		return float64(n)
	}
	return id
}

// compared is what the readers make of lines: for each line a reading of each.
func compared(t *testing.T, lines [][]byte) [][]string {
	t.Helper()
	all := make([][]string, len(lines))
	for _, r := range readers {
		for i, got := range r.read(t, lines) {
			all[i] = append(all[i], got)
		}
	}
	return all
}

// checkAlike fails where two readers differ, or one refuses the line. go-sdk may
// refuse one that has blanks at its end, which no reader misunderstands.
func checkAlike(t *testing.T, line []byte, readings []string) {
	t.Helper()
	for i, r := range readings {
		if r == "error" && readers[i].name == "go-sdk" && bytes.ContainsAny(bytes.TrimRight(line, "\r")[len(bytes.TrimRight(line, " \t\r")):], " \t") {
			continue
		}
		if r != readings[0] || r == "error" || strings.Contains(r, "} {") {
			t.Errorf("%q passes, and is for\n%s: %s\n%s: %s", line, readers[0].name, readings[0], readers[i].name, r)
			return
		}
	}
}

// Every line that the relay passes is one and the same message for all parsers,
// and without the relay many lines would not be.
func TestReadAlike(t *testing.T) {
	var passed, kept [][]byte
	for _, h := range hostileLines(t) {
		switch {
		case h.other == "line":
			passed = append(passed, []byte(h.line))
		case h.outcome == string(Malformed):
			kept = append(kept, []byte(h.line))
		}
	}
	for i, readings := range compared(t, passed) {
		checkAlike(t, passed[i], readings)
	}
	refused, mistaken := disagreements(compared(t, kept))
	t.Logf("%d lines pass and are read alike; of %d that do not, some parsers refuse %d, and %d mean different things to parsers that accept them",
		len(passed), len(kept), refused, mistaken)
	if len(passed) < 40 || refused < 25 || mistaken < 25 {
		t.Error("too few lines: nothing was compared")
	}
}

// disagreements counts the lines that some readers refuse and some accept, and
// those that mean different things to readers that accept them.
func disagreements(all [][]string) (refused, mistaken int) {
	for _, readings := range all {
		accepted := slices.DeleteFunc(slices.Clone(readings), func(r string) bool { return r == "error" })
		if n := len(accepted); n > 0 && n < len(readings) {
			refused++
		}
		if len(slices.Compact(accepted)) > 1 {
			mistaken++
		}
	}
	return refused, mistaken
}

// The same with lines that chance makes of those of the table, and of what
// parsers quarrel about.
func TestReadAlikeByChance(t *testing.T) {
	const lines = 40_000
	chance := rand.New(rand.NewPCG(1, 2))
	var seeds [][]byte
	for _, h := range hostileLines(t) {
		seeds = append(seeds, []byte(h.line))
		for range 10 {
			if h.other == "line" { // from these one gets to more lines that pass
				seeds = append(seeds, []byte(h.line))
			}
		}
	}
	var passed, kept [][]byte
	s := newScanner()
	for range lines {
		line := mutate(chance, seeds)
		f := s.object(bytes.TrimSuffix(line, []byte("\r")))
		var e envelope
		if f == nil {
			e, f = s.envelope()
		}
		if f == nil {
			f = s.spelling(methodPing) // as if each response were to the protocol's requests
		}
		switch {
		case f == nil && e.kind == Response && e.id == nil: // it goes nowhere
		case f == nil:
			passed = append(passed, line)
		case len(kept) < 5_000:
			kept = append(kept, line)
		}
	}
	for i, readings := range compared(t, passed) {
		if checkAlike(t, passed[i], readings); t.Failed() {
			break
		}
	}
	refused, mistaken := disagreements(compared(t, kept))
	t.Logf("%d lines pass and are read alike; of %d that do not, some parsers refuse %d, and %d mean different things to parsers that accept them",
		len(passed), len(kept), refused, mistaken)
	if len(passed) < lines/20 || refused < 50 || mistaken < 50 {
		t.Error("too few lines: nothing was compared")
	}
}

// quarrels is what mutate puts into lines.
var quarrels = []string{
	`,"name":"x"`, `,"Name":"x"`, `,"method":"x"`, `,"METHOD":"x"`, `,"id":7`, `,"Id":7`, `,"params":{}`, `,"paramſ":{}`, `,"reſult":{}`,
	`,"a":1,"a":2`, `,"K":1,"\u212a":2`, `"na\u006de":"y",`, `,"key":{"k":1},"Key":{"k":2}`, `"structuredContent":{"a":1,"A":2},`,
	"\r", "\n", "\t", " ", "\v", "\f", "\x00", "\x1f", "\x7f", "\u00a0", "\u2028", "\ufeff", "\xff", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
	`\u0000`, `\ud800`, `\udc00`, `\ud83d\ude00`, `\ud800\udc00`, `\/`, `\x`, `\u00e9`, `\u000d`, `\u000a`, `\"`, `\\`,
	"0", "-0", "-0.0", "1.0", "1e0", "1E400", "-1e-400", "9007199254740993", "123456789012345678901234567890", "00", "0x1", "1.", ".5", "NaN", "Infinity", "-Infinity", "1e", "+1",
	"true", "null", "tru", "{}", "[]", "[1,]", "{,}", `{"a":1}`, `[[]]`, `,`, `:`, `"`, `{`, `}`, `[`, `]`, `'`, `//`, `/**/`, `#`,
	`{"jsonrpc":"2.0","id":9,"method":"ping"}`, strings.Repeat("[", 200) + strings.Repeat("]", 200), strings.Repeat("[", 100) + strings.Repeat("]", 100),
}

// mutate makes a line of one or two others.
func mutate(chance *rand.Rand, seeds [][]byte) []byte {
	line := bytes.Clone(seeds[chance.IntN(len(seeds))])
	for range 1 + chance.IntN(2) {
		// A place before or after something that has a meaning, more often than not.
		at := chance.IntN(len(line) + 1)
		if near := bytes.IndexAny(line[at:], `{}[],:"`); near >= 0 && chance.IntN(4) > 0 {
			at += near + chance.IntN(2)
		}
		to := min(len(line), at+chance.IntN(4)*chance.IntN(4))
		put := []byte(quarrels[chance.IntN(len(quarrels))])
		switch chance.IntN(6) {
		case 0: // takes something away
			put = nil
		case 1: // puts in a part of another line
			other := seeds[chance.IntN(len(seeds))]
			from := chance.IntN(len(other) + 1)
			put = other[from : from+chance.IntN(len(other)-from+1)]
		case 2, 3: // only puts in
			to = at
		}
		line = slices.Concat(line[:at], put, line[to:])
	}
	// What is a line is not for the parsers to say.
	return bytes.ReplaceAll(line, []byte("\n"), []byte(" "))
}
